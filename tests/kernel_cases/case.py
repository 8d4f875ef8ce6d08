"""A call of a kernel with its result, and the numbers for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_speak.kernels import QuantizedArray

Array = np.ndarray[Any, Any]

DTYPES = (mx.float32, mx.float16, mx.bfloat16)
NAMES = {mx.float32: "float32", mx.float16: "float16", mx.bfloat16: "bfloat16"}

_UNITS = {mx.float32: 2.0**-24, mx.float16: 2.0**-11, mx.bfloat16: 2.0**-8}
"""Half a unit in the last place, relative."""


@dataclass(frozen=True)
class Case:
    """One call of an operation."""

    name: str
    operation: Callable[..., Any]
    ops: Callable[..., Any]
    arguments: tuple[mx.array, ...]
    options: dict[str, Any]
    expected: tuple[Array, ...]
    """In float64, of the arguments as they are rounded to their dtype."""
    dtype: mx.Dtype
    rounding: float = 1.0
    """How many times as far sums may be off as elsewhere."""

    def problem(self, call: Callable[..., Any], arithmetic: float = 1e-6) -> str | None:
        """What is wrong with a result of the operation, or of its reference, if anything.

        Args:
            arithmetic: how far the sums may be off. The kernels', in fp32 over some hundred terms
                of size 1, are within 1e-6; beyond it a result may be off by its own rounding alone.
        """
        results = call(*self.arguments, **self.options)
        results = results if isinstance(results, tuple) else (results,)
        for result, expected in zip(results, self.expected, strict=True):
            got = float64(result)
            if got.shape != expected.shape:
                return f"shape {got.shape} instead of {expected.shape}"
            if result.dtype not in (self.dtype, mx.uint32):
                return f"dtype {result.dtype} instead of {self.dtype}"
            allowed = np.zeros(expected.shape)
            if result.dtype != mx.uint32:
                size = np.abs(expected)
                allowed = _UNITS[self.dtype] * size * 1.001 + arithmetic * self.rounding * (
                    1 + size
                )
            wrong = ~(np.abs(got - expected) <= allowed)  # NaN is wrong too
            if wrong.any():
                at = np.unravel_index(np.argmax(wrong), wrong.shape)
                return f"{wrong.sum()} wrong, at {at} {got[at]} instead of {expected[at]}"
        return None


def float64(x: mx.array | QuantizedArray) -> Array:
    """The numbers of an array as they are: of a quantised one, what its codes stand for."""
    if isinstance(x, QuantizedArray):
        codes = np.array(x.packed)[..., None] >> np.arange(0, 32, x.bits, dtype=np.uint32)
        codes = (codes & (2**x.bits - 1)).reshape(*x.scales.shape, x.group_size)
        exact = codes * float64(x.scales)[..., None] + float64(x.offsets)[..., None]
        return exact.reshape(x.shape)
    return np.array(x if x.dtype == mx.uint32 else x.astype(mx.float32)).astype(np.float64)


def normal(*shape: int, dtype: mx.Dtype, seed: int, loc: float = 0.0) -> mx.array:
    return (mx.random.normal(shape, key=mx.random.key(seed)) + loc).astype(dtype)
