"""Adaptive instance norm."""

from __future__ import annotations

from collections.abc import Iterator

import mlx.core as mx
import numpy as np

from mlx_speak import kernels

from .case import DTYPES, NAMES, Array, Case, float64, normal


def activated(x: Array, snake: Array | None, negative_slope: float) -> Array:
    if snake is None:
        return np.where(x < 0, negative_slope * x, x)
    return x + np.sin(snake * x) ** 2 / snake


def instance_norm(
    length: int,
    dtype: mx.Dtype = mx.float32,
    *,
    channels: int = 40,
    batch: int = 1,
    snake: bool = True,
    foretold: bool = False,
) -> Case:
    """Rows that do not follow one another, about a mean that costs digits; `foretold` moments are
    not those of `x`."""
    # Two rows may lie so near one another that dividing by their distance magnifies the rounding of
    # their mean: it is small there.
    loc = 2.0 if length > 2 else 0.0
    rows = normal(batch, channels, 2 * length, dtype=dtype, seed=length, loc=loc).swapaxes(1, 2)
    x = rows[:, 1::2]
    style = normal(batch, 1, 2 * channels, dtype=dtype, seed=channels) * 0.5
    gamma, beta = mx.split(style.astype(dtype), 2, axis=-1)
    alpha = (mx.abs(normal(channels, dtype=dtype, seed=length + 1)) + 0.3).astype(dtype)
    eps, exact = 1e-5, float64(x)
    mean, variance = exact.mean(1, keepdims=True), exact.var(1, keepdims=True)
    options = {"eps": eps, **({"snake": alpha} if snake else {"negative_slope": 0.2})}
    if foretold:
        moments = normal(1, 1, channels, dtype=mx.float32, seed=3), mx.full((1, 1, channels), 1.7)
        options["moments"] = moments
        mean, variance = map(float64, moments)
    styled = (exact - mean) / np.sqrt(variance + eps) * (1 + float64(gamma)) + float64(beta)
    expected = activated(styled, float64(alpha) if snake else None, 0.2)
    return Case(
        f"instance norm {NAMES[dtype]} {batch}x{length}x{channels}, {snake=}, {foretold=}",
        kernels.instance_norm,
        kernels.instance_norm_ops,
        (x, gamma, beta),
        options,
        (expected,),
        dtype,
    )


def instance_norm_cases() -> Iterator[Case]:
    for dtype in DTYPES:
        for length in (1, 2, 15, 16, 17, 33, 511, 512, 513, 1100):
            yield instance_norm(length, dtype)
        yield instance_norm(19, dtype, channels=65)
        yield instance_norm(700, dtype, foretold=True)
    yield from (instance_norm(19, channels=channels) for channels in (1, 31, 32, 33))
    yield instance_norm(30, batch=3, foretold=True)
    yield instance_norm(9000, channels=3)  # more parts than SIMD groups
    yield instance_norm(700, mx.float16, batch=2, snake=False)
    yield from (instance_norm(length, mx.bfloat16, snake=False) for length in (5, 40))
