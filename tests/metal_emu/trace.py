"""What MLX makes of a call of a custom kernel: the whole Metal text, the grid, the threadgroup.

On Linux a kernel of `mx.fast.metal_kernel` cannot be called, but `mx.export_function` can trace the
call, and hands over the primitive with everything MLX would send to the GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx


@dataclass(frozen=True)
class InputInfo:
    """What the kernel's signature takes beside an input's data, since its text mentions it."""

    shape: bool
    strides: bool
    ndim: bool


@dataclass(frozen=True)
class KernelCall:
    """One dispatch, as MLX would encode it."""

    name: str
    source: str
    """The text that MLX generates, less what it puts before every kernel (its `utils.h`)."""
    grid: tuple[int, int, int]
    """In threads."""
    threadgroup: tuple[int, int, int]
    inputs: tuple[InputInfo, ...]
    row_contiguous: bool
    """Whether MLX copies inputs that are not contiguous before the kernel reads them."""


def trace(kernel: Any, inputs: Sequence[mx.array], **call: Any) -> KernelCall:
    """Trace one call of a kernel that `mx.fast.metal_kernel` made.

    Args:
        kernel: what `mx.fast.metal_kernel` returned.
        inputs: the arrays of the call.
        call: its other keyword arguments.
    """
    calls: list[tuple[Any, ...]] = []

    def keep(node: dict[str, Any]) -> None:
        if node["type"] == "primitive" and node["name"] == "CustomKernel":
            calls.append(node["arguments"])

    mx.export_function(keep, lambda *arrays: kernel(inputs=list(arrays), **call), *inputs)
    (arguments,) = calls
    return KernelCall(
        name=arguments[0],
        source=arguments[1],
        grid=tuple(arguments[2:5]),
        threadgroup=tuple(arguments[5:8]),
        inputs=tuple(InputInfo(*info) for info in arguments[8]),
        row_contiguous=arguments[9],
    )
