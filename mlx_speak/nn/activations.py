"""Activations that MLX does not have."""

from __future__ import annotations

import functools
import math

import mlx.core as mx


def snake(x: mx.array, alpha: mx.array) -> mx.array:
    """x + sin²(αx) / α: periodic, for signals that are (Ziyin et al., 2020, arXiv:2006.08195).

    Args:
        x: (..., channels).
        alpha: (channels,), the frequency each channel prefers; not zero.
    """
    if mx.default_device().type == mx.DeviceType.cpu:
        half_turns = (x * (alpha / math.pi)).astype(mx.float32)
        squared_sine = _compiled_squared_sine() or _squared_sine
        return x + squared_sine(half_turns).astype(x.dtype) / alpha
    return x + mx.square(mx.sin(alpha * x)) / alpha


# sin²(πr) / r² as a polynomial in r², for |r| ≤ ½: minimax of the absolute error of sin²,
# which is 6e-9 in exact arithmetic and 3e-7 in float32.
_COEFFICIENTS = (9.8696029, -32.469581, 42.725385, -30.085953, 12.990730, -3.2729462)

# Adding and taking away 1.5 · 2²³ rounds a float32 below 2²² to the nearest whole number.
_ROUND = 12582912.0


def _squared_sine(half_turns: mx.array) -> mx.array:
    """sin²(π · half_turns), without the sine, for which MLX calls libm once an element on the CPU.

    sin² repeats every half turn, so the whole ones are taken away, which float32 does exactly.
    The polynomial is summed in pairs: eleven operations deep is what MLX fuses into one loop.
    """
    rest = half_turns - ((half_turns + _ROUND) - _ROUND)
    z = rest * rest
    c0, c1, c2, c3, c4, c5 = _COEFFICIENTS
    z2 = z * z
    return z * ((c0 + c1 * z) + z2 * ((c2 + c3 * z) + z2 * (c4 + c5 * z)))


@functools.cache
def _compiled_squared_sine():
    """`_squared_sine` in one loop; None where MLX's compiler for the CPU, g++, does not work.

    Without g++ MLX runs the operations one by one of its own accord, but with a broken one, or
    with a temporary folder that cannot be written, it raises when the result is evaluated.
    """
    compiled = mx.compile(_squared_sine, shapeless=True)
    try:
        mx.eval(compiled(mx.zeros((8,))))
    except RuntimeError:
        return None
    return compiled
