"""What is done in C on the CPU, where MLX has a plain loop or many passes for it."""

from __future__ import annotations

import ctypes
from typing import Any

import mlx.core as mx
import numpy as np

from .. import blas
from ..kernels import dispatch


def serves(*arrays: mx.array | None) -> bool:
    """Whether these can be worked on in C: in float32, on the CPU, with a library at hand."""
    if dispatch.gpu() is not None or blas.library() is None:
        return False
    return all(array is None or array.dtype == mx.float32 for array in arrays)


def call(name: str, *arguments: Any) -> None:
    """Call a function of the library; the number of threads it may use comes last.

    Args:
        name: of the function, without `mlx_speak_`.
        arguments: MLX arrays, which are evaluated; NumPy arrays, contiguous, for the results;
            None for an array that is not there; whatever else `ctypes` passes.

    Raises:
        MemoryError: there is none for its state.
    """
    library = blas.library()
    assert library is not None
    # Copies only what is not laid out in rows; `held` keeps it alive through the call.
    held = [
        np.ascontiguousarray(np.array(argument, copy=False))
        if isinstance(argument, mx.array)
        else argument
        for argument in arguments
    ]
    passed = [
        ctypes.c_void_p(argument.ctypes.data) if isinstance(argument, np.ndarray) else argument
        for argument in held
    ]
    if getattr(library, f"mlx_speak_{name}")(*passed, library.mlx_speak_blas_threads()):
        raise MemoryError(f"no memory for the state of {name}")
