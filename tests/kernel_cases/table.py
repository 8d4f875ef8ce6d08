"""Embeddings with their positions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import numpy as np

from mlx_speak import kernels

from .case import DTYPES, NAMES, Case, float64, normal


def embedding(
    tokens: int,
    dtype: mx.Dtype = mx.float32,
    *,
    dims: int = 40,
    batch: int = 1,
    bits: int | None = None,
    group_size: int = 32,
    alike: bool = False,
    places: mx.Dtype = mx.float32,
) -> Case:
    """Every third token is a blank; positions are `alike` for all tokens, or each has its own."""
    vocabulary = 50
    dims = -(-dims // group_size) * group_size if bits else dims
    weight: Any = normal(dims, vocabulary, dtype=dtype, seed=dims).T
    if bits:
        weight = kernels.QuantizedArray.of(weight, group_size=group_size, bits=bits)
    order = np.arange(batch * tokens).reshape(tokens, batch).T
    ids = np.where(order % 3 == 2, 1, vocabulary - 1 - order * 7 % 40)
    shape = (1, dims) if alike else (batch, dims, tokens)
    positions = normal(*shape, dtype=places, seed=tokens)
    positions = positions if alike else positions.swapaxes(1, 2)
    seen = (ids != 1)[..., None]
    return Case(
        f"embedding {NAMES[dtype]} {batch}x{tokens}x{dims}, {bits=} {alike=} {places=}",
        kernels.embedding,
        kernels.embedding_ops,
        (mx.array(ids, mx.int32), weight, positions),
        {"scale": 5.5, "blank": 1},
        (float64(weight)[ids] * 5.5 + seen * float64(positions),),
        dtype,
        5.5,  # the scale; plain MLX rounds before it
    )


def embedding_cases() -> Iterator[Case]:
    for dtype in DTYPES:
        yield from (embedding(n, dtype, batch=2, places=dtype) for n in (5, 9))
        yield from (embedding(9, dtype, bits=bits, dims=300) for bits in (8, 4))
    yield from (embedding(9, dims=dims, alike=True) for dims in (31, 32, 33, 255, 256, 257, 1024))
    yield embedding(1, dims=1)
