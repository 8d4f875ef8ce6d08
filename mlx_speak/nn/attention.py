"""Multi-head attention on projected tensors, for every model in the house."""

from __future__ import annotations

import math

import mlx.core as mx


def split_heads(x: mx.array, num_heads: int) -> mx.array:
    """(batch, length, dims) → (batch, num_heads, length, dims / num_heads)."""
    batch, length, dims = x.shape
    return x.reshape(batch, length, num_heads, dims // num_heads).transpose(0, 2, 1, 3)


def merge_heads(x: mx.array) -> mx.array:
    """(batch, num_heads, length, head_dims) → (batch, length, num_heads · head_dims)."""
    batch, num_heads, length, head_dims = x.shape
    return x.transpose(0, 2, 1, 3).reshape(batch, length, num_heads * head_dims)


def attend(
    queries: mx.array,
    keys: mx.array,
    values: mx.array,
    *,
    num_heads: int,
    mask: mx.array | None = None,
) -> mx.array:
    """Scaled dot-product attention over projected queries, keys and values.

    Args:
        queries: (batch, query_length, dims).
        keys: (batch, key_length, dims).
        values: (batch, key_length, dims).
        num_heads: divides dims.
        mask: broadcast to (batch, num_heads, query_length, key_length); boolean (True attends)
            or added to the scores, in the queries' dtype.

    Returns:
        (batch, query_length, dims), before the output projection.
    """
    out = mx.fast.scaled_dot_product_attention(
        split_heads(queries, num_heads),
        split_heads(keys, num_heads),
        split_heads(values, num_heads),
        scale=1 / math.sqrt(queries.shape[-1] // num_heads),
        mask=mask,
    )
    return merge_heads(out)
