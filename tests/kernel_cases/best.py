"""The best of a row, one or several."""

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


def top_k(
    length: int, dtype: mx.Dtype = mx.float32, *, k: int = 5, rows: int = 2, last: bool = False
) -> Case:
    """Each of the best k but one is as high as another one; `last` of the row is among them."""
    rng = np.random.default_rng(length + k)
    logits = np.minimum(float64(normal(rows, length, dtype=dtype, seed=length)) - 10, -10)
    for row in logits:
        at = rng.permutation(length)[:k]
        at[0] = length - 1 if last else at[0]
        row[np.unique(at)] = rng.permutation(np.arange(k) // 2 - 4.0)[: len(np.unique(at))]
    scores = mx.array(np.ascontiguousarray(logits.T), dtype).T
    exact = float64(scores)
    order = np.argsort(-exact, axis=-1, kind="stable")[:, :k]
    return Case(
        f"top {k} {NAMES[dtype]} {rows}x{length}, {last=}",
        kernels.top_k,
        kernels.top_k_ops,
        (scores, k),
        {},
        (np.take_along_axis(exact, order, -1), order.astype(np.float64)),
        dtype,
    )


def top_k_cases() -> Iterator[Case]:
    for dtype in DTYPES:
        for length in (5, 31, 32, 33, 511, 513, 4095, 4096, 4097, 8193):
            yield top_k(length, dtype, last=length % 2 == 1)
        yield top_k(200, dtype, k=64)
    yield top_k(1, k=1)
    yield top_k(64, k=64)
    yield top_k(4500, k=1)
    yield top_k(256_206, mx.bfloat16, k=64, rows=1, last=True)  # NLLB's vocabulary
