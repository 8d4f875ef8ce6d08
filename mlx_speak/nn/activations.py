"""Activations that MLX does not have."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import mlx.core as mx

from .fused import compiler_works


def snake(
    x: mx.array, alpha: mx.array, affine: tuple[mx.array, mx.array] | None = None
) -> mx.array:
    """x + sin²(αx) / α: periodic, for signals that are (Ziyin et al., 2020, arXiv:2006.08195).

    Args:
        x: (..., channels).
        alpha: (channels,), the frequency each channel prefers; not zero.
        affine: if given, scale and shift to apply to x first, the last line of a normalisation.
            On the CPU, where memory counts, it then costs no pass over the signal of its own.
    """
    scale, shift = affine or (None, None)
    if mx.default_device().type != mx.DeviceType.cpu:
        x = x if scale is None or shift is None else x * scale + shift
        return x + mx.square(mx.sin(alpha * x)) / alpha
    turns = alpha / math.pi
    half_turns = x * (turns if scale is None else scale * turns)
    half_turns = half_turns if shift is None else half_turns + shift * turns
    unit_snake = _compiled_unit_snake(x.shape) if compiler_works() else _unit_snake
    return unit_snake(half_turns.astype(mx.float32)).astype(x.dtype) * (1 / alpha)


# sin²(πr) / r² as a polynomial in r², for |r| ≤ ½: minimax of the absolute error of sin²,
# which is 6e-9 in exact arithmetic and 3e-7 in float32.
_COEFFICIENTS = (9.8696029, -32.469581, 42.725385, -30.085953, 12.990730, -3.2729462)

# Adding and taking away 1.5 · 2²³ rounds a float32 below 2²² to the nearest whole number.
_ROUND = 12582912.0


def _unit_snake(half_turns: mx.array) -> mx.array:
    """y + sin²(y) for y = π · half_turns, without the sine: MLX calls libm's on the CPU.

    sin² repeats every half turn, so the whole ones are taken away, which float32 does exactly.
    The sum is arranged to be eleven operations deep, which is what MLX fuses into one loop.
    """
    rest = half_turns - ((half_turns + _ROUND) - _ROUND)
    z = rest * rest
    z2 = z * z
    c0, c1, c2, c3, c4, c5 = _COEFFICIENTS
    low = z * (c0 + c1 * z)
    high = (z * z2) * ((c2 + c3 * z) + z2 * (c4 + c5 * z))
    return math.pi * half_turns + (low + high)


@functools.lru_cache(maxsize=64)
def _compiled_unit_snake(shape: tuple[int, ...]) -> Callable[[mx.array], mx.array]:
    """`_unit_snake` in one loop, for one shape.

    A function compiled for any shape is not fused into one loop, and one that sees many shapes
    keeps them all; this way those that are not used go.
    """
    return mx.compile(lambda half_turns: _unit_snake(half_turns))
