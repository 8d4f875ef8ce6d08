"""Norms."""

from __future__ import annotations

from collections.abc import Iterator

import mlx.core as mx
import numpy as np

from mlx_speak import kernels

from .case import DTYPES, NAMES, Case, float64, normal


def residual_layer_norm(dims: int, dtype: mx.Dtype = mx.float32, *, rows: int = 3) -> Case:
    x = normal(rows, dims, dtype=dtype, seed=dims, loc=3.0)  # a mean to lose digits over
    residual = normal(dims, rows, dtype=dtype, seed=dims + 1).T
    weight, bias = (normal(dims, dtype=dtype, seed=dims + i) for i in (2, 3))
    total = (x.astype(mx.float32) + residual.astype(mx.float32)).astype(dtype)
    eps, exact = 1e-5, float64(total)
    centred = exact - exact.mean(-1, keepdims=True)
    unit = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps)
    return Case(
        f"norm {NAMES[dtype]} {rows}x{dims}",
        kernels.residual_layer_norm,
        kernels.residual_layer_norm_ops,
        (x, residual, weight, bias),
        {"eps": eps},
        (exact, unit * float64(weight) + float64(bias)),
        dtype,
    )


def norm_cases() -> Iterator[Case]:
    for dtype in DTYPES:
        for dims in (1, 2, 31, 32, 33, 255, 256, 257, 1000, 1024):
            yield residual_layer_norm(dims, dtype)
