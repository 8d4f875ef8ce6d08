"""Embeddings with their positions, in one dispatch on a GPU."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from mlx_speak import kernels

from .projection import kernel_weight


def embed(
    ids: mx.array,
    table: nn.Module,
    positions: mx.array,
    *,
    scale: float = 1.0,
    blank: int | None = None,
) -> mx.array:
    """`table(ids) * scale + positions`.

    Args:
        ids: (...).
        table: an embedding, quantised or not.
        positions: broadcast to (..., dims).
        blank: a token that gets no position.

    Returns:
        (..., dims).
    """
    if (weight := kernel_weight(table)) is not None:
        return kernels.embedding(ids, weight, positions, scale=scale, blank=blank)
    return kernels.add_positions(table(ids), ids, positions, scale=scale, blank=blank)
