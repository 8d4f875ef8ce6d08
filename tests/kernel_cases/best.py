"""The best of a row."""

from __future__ import annotations

from collections.abc import Iterator

import mlx.core as mx
import numpy as np

from mlx_speak import kernels

from .case import DTYPES, NAMES, Case, float64, normal


def argmax(
    length: int, dtype: mx.Dtype = mx.float32, *, rows: int = 2, peak: int | None = None
) -> Case:
    """`peak` stands above all others; without one half of them are highest, and the first wins."""
    logits = mx.minimum(normal(length, rows, dtype=dtype, seed=length).T - 10, -10)
    if peak is not None:
        logits[:, peak] = -9
    return Case(
        f"argmax {NAMES[dtype]} {rows}x{length}, peak={peak}",
        kernels.argmax,
        kernels.argmax_ops,
        (logits,),
        {},
        (np.argmax(float64(logits), axis=-1).astype(np.float64),),
        dtype,
    )


def argmax_cases() -> Iterator[Case]:
    for dtype in DTYPES:
        for length in (1, 2, 31, 32, 33, 511, 513, 4095, 4096, 4097, 8193):
            yield argmax(length, dtype)
            yield argmax(length, dtype, peak=length - 1)
    for peak in (None, 0, 4095, 4096, 200_000, 256_205):
        yield argmax(256_206, mx.bfloat16, rows=1, peak=peak)  # NLLB's vocabulary
