"""Activations that MLX does not have."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from . import native
from .fused import compiler_works, fuse


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
    if native.serves(x, alpha) and (scale is None or scale.size == x.shape[-1]):
        slope = turns if scale is None else scale * turns
        offset = mx.zeros_like(turns) if shift is None else shift * turns
        out = np.empty(x.shape, np.float32)
        sizes = (x.size // x.shape[-1], x.shape[-1])
        native.call("snake", *sizes, x, slope, offset, 1 / alpha, out)
        return mx.array(out)
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


def gelu_tanh(x: mx.array) -> mx.array:
    """x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³))), GELU as BERT's first code had it.

    As `mlx.nn.gelu_approx`, but on the CPU eight times as fast: MLX calls libm's tanh there.
    """
    if mx.default_device().type != mx.DeviceType.cpu or x.dtype != mx.float32:
        return nn.gelu_approx(x)
    return _gelu_tanh(x)


# tanh(x) = x · P(x²) / Q(x²) for |x| ≤ _TANH_LIMIT, beyond which it is 1 in float32: the
# approximant of Eigen (generic_fast_tanh_float), within 3e-7.
_TANH_LIMIT = 7.9053111
_TANH_ABOVE = (
    *(4.89352456e-3, 6.37261929e-4, 1.48572236e-5, 5.12229709e-8),
    *(-8.60467152e-11, 2.00018790e-13, -2.76076848e-16),
)
_TANH_BELOW = (4.89352519e-3, 2.26843463e-3, 1.18534706e-4, 1.19825839e-6)


def _rational_tanh(x: mx.array) -> mx.array:
    x = mx.minimum(mx.maximum(x, -_TANH_LIMIT), _TANH_LIMIT)
    z = x * x
    z2 = z * z
    a0, a1, a2, a3, a4, a5, a6 = _TANH_ABOVE
    b0, b1, b2, b3 = _TANH_BELOW
    above = (a0 + a1 * z) + z2 * ((a2 + a3 * z) + z2 * ((a4 + a5 * z) + z2 * a6))
    return x * above / ((b0 + b1 * z) + z2 * (b2 + b3 * z))


@fuse
def _gelu_tanh(x: mx.array) -> mx.array:
    scale = math.sqrt(2 / math.pi)
    return (0.5 * x) * (1 + _rational_tanh(x * (scale + scale * 0.044715 * (x * x))))


# 2ʸ for |y| ≤ ½ as a polynomial in y, Taylor's to the seventh power: within 1e-8.
_EXP2 = tuple(math.log(2) ** power / math.factorial(power) for power in range(8))


def exp2_nonpositive(x: mx.array) -> mx.array:
    """2ˣ of a float32 array that is nowhere above 0, in arithmetic that the CPU does in vectors.

    Below −126 it is 2⁻¹²⁶. A relative error of 2e-7.
    """
    fraction, exponent = _exp2_parts(x)
    return fraction * exponent.view(mx.float32)


@fuse
def _exp2_parts(x: mx.array) -> tuple[mx.array, mx.array]:
    """2ˣ as 2ʸ for |y| ≤ ½, and the bits of the float that it is to be multiplied by."""
    x = mx.maximum(x, -126)
    whole = (x + _ROUND) - _ROUND
    y = x - whole
    y2 = y * y
    c0, c1, c2, c3, c4, c5, c6, c7 = _EXP2
    power = (c0 + c1 * y) + y2 * ((c2 + c3 * y) + y2 * ((c4 + c5 * y) + y2 * (c6 + c7 * y)))
    # A float's exponent, in excess of 127, stands in the bits from the 24th on.
    return power, (whole.astype(mx.int32) + 127) << 23


# sin(2πv) / v as a polynomial in v², for |v| ≤ ¼: Taylor's to the eleventh power, within 6e-8.
_SINE = tuple(
    (-1) ** n * (2 * math.pi) ** (2 * n + 1) / math.factorial(2 * n + 1) for n in range(6)
)


def sine_of_turns(turns: mx.array) -> mx.array:
    """sin(2π · turns), on the CPU without libm: within 4e-7 besides the rounding of `turns`."""
    if mx.default_device().type != mx.DeviceType.cpu or turns.dtype != mx.float32:
        return mx.sin(2 * math.pi * turns)
    return _sine_of_turns(turns)


@fuse
def _sine_of_turns(turns: mx.array) -> mx.array:
    """The cosine a quarter turn before, which depends on the distance to the last whole turn."""
    before = turns - 0.25
    before = before - ((before + _ROUND) - _ROUND)
    v = 0.25 - mx.abs(before)
    z = v * v
    z2 = z * z
    c0, c1, c2, c3, c4, c5 = _SINE
    return v * ((c0 + c1 * z) + z2 * ((c2 + c3 * z) + z2 * (c4 + c5 * z)))
