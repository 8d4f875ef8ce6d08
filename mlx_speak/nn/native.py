"""What the compiled library of `native/` computes in MLX's place on the CPU, at once.

MLX dispatches a step's operations one by one, and multiplies by quantised weights five times slower
than by those of fp32. The library computes on numbers that are there, so what it is given is
evaluated. It is made for inference: what it returns has no gradient, and where MLX is to compile or
export a function, `kernels.use("ops")` keeps it out.
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np

from .. import blas
from ..kernels import Activation, Norm, QuantizedArray, dispatch

_WORTHWHILE = 1 << 20
"""fp32 weights from which on a call costs less than MLX's dispatches."""
ACTIVATIONS: dict[Activation | None, int] = {None: 0, "relu": 1, "gelu_tanh": 2}


def serves(*arrays: mx.array | None) -> bool:
    """Whether the library is there, and for these arrays: in fp32, on the CPU."""
    if blas.library() is None or dispatch.gpu() is not None or not dispatch.is_auto():
        return False
    return all(array is None or array.dtype == mx.float32 for array in arrays)


def call(name: str, *arguments: Any) -> None:
    """Call a function of the library.

    Args:
        name: of the function, without `mlx_speak_`.
        arguments: MLX arrays, which are evaluated; NumPy arrays, contiguous where they are results;
            None for an array that is not there; whatever else `ctypes` passes.

    Raises:
        MemoryError: there is none for what it needs.
    """
    at = Addresses()
    passed = [at(x) if isinstance(x, mx.array | np.ndarray) else x for x in arguments]
    if getattr(blas.library(), f"mlx_speak_{name}")(*passed):
        raise MemoryError(f"no memory for {name}")


class Addresses:
    """Where the numbers of arrays lie for as long as this is there, in rows: else they are copied.

    Raises:
        ValueError: an array stands for others, in a function that MLX compiles or exports.
    """

    def __init__(self) -> None:
        self._held: list[np.ndarray] = []

    def __call__(self, array: mx.array | np.ndarray | None) -> ctypes.c_void_p:
        """Of one array; null for none."""
        if array is None:
            return ctypes.c_void_p()
        numbers = np.ascontiguousarray(np.array(array, copy=False))
        self._held.append(numbers)
        return ctypes.c_void_p(numbers.__array_interface__["data"][0])


class Linear(NamedTuple):
    """The parameters of a linear layer."""

    weight: mx.array | QuantizedArray | None
    """(outputs, inputs); None if the layer has more to it."""
    bias: mx.array | None = None
    """(outputs,)."""

    def fits(self) -> bool:
        """Whether the library multiplies by it."""
        if isinstance(self.weight, QuantizedArray):
            return self.weight.fits(mx.float32) and serves(self.bias)
        return self.weight is not None and serves(self.weight, self.bias)


def projection(
    x: mx.array,
    weight: mx.array | QuantizedArray,
    bias: mx.array | None = None,
    *,
    norm: Norm | None = None,
    activation: Activation | None = None,
    residual: mx.array | None = None,
) -> mx.array | None:
    """As `kernels.projection`; None if it is not for the library.

    Quantised weights are; those of fp32 where they are many and `x` is a single row: for more rows
    MLX's dispatches do not count.
    """
    linear = Linear(weight, bias)
    outputs, inputs = weight.shape
    if not isinstance(weight, QuantizedArray) and (x.size != inputs or weight.size < _WORTHWHILE):
        return None
    beside = (norm.weight, norm.bias) if norm else ()
    if not x.size or not linear.fits() or not serves(x, residual, *beside):
        return None
    at = Addresses()
    out = np.empty((*x.shape[:-1], outputs), np.float32)
    try:
        layer = ctypes.byref(linear_struct(at, linear))
        before = norm and ctypes.byref(norm_struct(at, norm))
        arguments = (layer, x.size // inputs, at(x), before, ACTIVATIONS[activation], at(residual))
    except ValueError:
        return None
    call("projection", *arguments, out)
    return mx.array(out)


def attention(
    queries: mx.array,
    cached: mx.array | tuple[mx.array, mx.array],
    length: int,
    own: mx.array | None = None,
) -> mx.array | None:
    """A single token's attention; None if it is not for the library.

    Args:
        queries: (1, num_heads, 1, head_dims).
        cached: keys and values (2, 1, num_heads, capacity, head_dims), in one array or in two.
        length: how many of them are there.
        own: the token's, (2, 1, num_heads, 1, head_dims), if it attends to itself too.

    Returns:
        (1, num_heads, 1, head_dims).
    """
    batch, heads, tokens, dims = queries.shape
    arrays = cached if isinstance(cached, tuple) else (cached,)
    if batch * tokens != 1 or not serves(queries, *arrays, own):
        return None
    try:
        keys, values = cached if isinstance(cached, tuple) else np.array(cached, copy=False)
        key, value = (None, None) if own is None else np.array(own, copy=False)
        out = np.empty(queries.shape, np.float32)
        sizes = (heads, dims, length, keys.shape[2])
        call("attend", *sizes, queries, keys, values, key, value, out)
    except ValueError:
        return None
    return mx.array(out)


class LinearStruct(ctypes.Structure):
    """`linear` of projection.h."""

    _fields_ = (
        *((name, ctypes.c_int) for name in ("inputs", "outputs", "bits", "group")),
        *((name, ctypes.c_void_p) for name in ("weight", "scales", "offsets", "bias")),
    )


class NormStruct(ctypes.Structure):
    """`norm` of projection.h."""

    _fields_ = (("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p), ("eps", ctypes.c_float))


def linear_struct(at: Addresses, linear: Linear) -> LinearStruct:
    """A layer for the library, for as long as `at` is there."""
    assert linear.weight is not None
    outputs, inputs = linear.weight.shape
    if isinstance(linear.weight, QuantizedArray):
        sizes = (linear.weight.bits, linear.weight.group_size)
        arrays: tuple[mx.array | None, ...] = linear.weight.arrays
    else:
        sizes, arrays = (0, 0), (linear.weight, None, None)
    return LinearStruct(inputs, outputs, *sizes, *map(at, arrays), at(linear.bias))


def norm_struct(at: Addresses, norm: Norm) -> NormStruct:
    """As `linear_struct`."""
    return NormStruct(at(norm.weight), at(norm.bias), norm.eps)
