"""Attention of a decoder's tokens over the encoded source."""

from __future__ import annotations

import mlx.core as mx

from . import attention
from .dispatch import Backend, Kernel, Operation, expect_shape

KERNEL = Kernel(
    "cross_attention",
    inputs=("queries", "keys", "values", "mask"),
    outputs=("out",),
    headers=("attention.h",),
)
OPERATION = Operation("cross_attention", (KERNEL,), attention.SHAPES)


def cross_attention(
    queries: mx.array, keys: mx.array, values: mx.array, *, mask: mx.array | None = None
) -> mx.array:
    """Attend from some tokens of each sentence to its source.

    The kernel reads each key and value once for all tokens of the sentence, beams for instance.

    Args:
        queries: (batch, num_heads, tokens, head_dim).
        keys, values: (batch, num_heads, source_length, head_dim).
        mask: boolean (batch, 1, 1, source_length), True where the source has a token and no
            padding; by default everywhere. A source without any has no defined result.

    Returns:
        (batch, num_heads, tokens, head_dim), in the queries' dtype.

    Raises:
        ValueError: the shapes do not belong together, or the mask is not boolean.
    """
    attention.check(queries, keys, values)
    shape = (queries.shape[0], 1, 1, keys.shape[2])
    if mask is not None:
        expect_shape("mask", mask, shape)
        if mask.dtype != mx.bool_:
            raise ValueError(f"mask is of {mask.dtype}: expected booleans")
    backend = cross_attention_backend(queries, keys, values)
    if backend == "ops":
        return cross_attention_ops(queries, keys, values, mask=mask)
    if mask is None:
        mask = mx.broadcast_to(_EVERYWHERE, shape)  # one byte in memory, of stride 0
    return attention.dispatch(KERNEL, backend, [queries, keys, values, mask])


def cross_attention_backend(*arrays: mx.array) -> Backend:
    """What `cross_attention` of such arrays, in its order and without a mask, runs on."""
    return OPERATION.backend(attention.applies(*arrays))


def cross_attention_ops(
    queries: mx.array, keys: mx.array, values: mx.array, *, mask: mx.array | None = None
) -> mx.array:
    """`cross_attention` in plain MLX."""
    return attention.attend_ops(queries, keys, values, mask)


_EVERYWHERE = mx.array(True)
