"""Self-attention of a decoder's newest tokens, which enter the cache on the way."""

from __future__ import annotations

import mlx.core as mx

from . import attention
from .dispatch import Backend, Kernel, Operation, expect_shape

KERNEL = Kernel(
    "decode_attention",
    inputs=("queries", "keys_values", "new_keys_values", "mask"),
    outputs=("out", "extended"),
    headers=("attention.h",),
)
OPERATION = Operation(
    "decode_attention", (KERNEL,), f"{attention.SHAPES}, a cache that is not empty"
)


def decode_attention(
    queries: mx.array,
    keys_values: mx.array,
    new_keys_values: mx.array,
    *,
    mask: mx.array | None = None,
) -> tuple[mx.array, mx.array]:
    """Attend from the newest tokens to those in a cache and to one another, and extend the cache.

    The kernel reads the cache where it lies, a slice of a larger array too, and writes what it has
    read to another one, the new keys and values behind it. To write these alone in place would take
    a dispatch of its own, and MLX does not do it: it copies an array that something in flight
    reads (`eval` in mlx/backend/metal/eval.cpp holds the buffers of a command buffer until its
    end), so that it would be read twice.

    Args:
        queries: (batch, num_heads, tokens, head_dim).
        keys_values: (2, batch, num_heads, length, head_dim), of the tokens before; length may be 0.
        new_keys_values: (2, batch, num_heads, tokens, head_dim), of these tokens.
        mask: boolean (batch, 1, tokens, length + tokens), True where a token sees a slot: so the
            beams of a sentence follow their own pasts in one cache. By default each token sees the
            cache, itself, and the tokens before it. One that sees nothing has no defined result.

    Returns:
        (batch, num_heads, tokens, head_dim), in the queries' dtype, and the keys and values of all,
        (2, batch, num_heads, length + tokens, head_dim).

    Raises:
        ValueError: the shapes do not belong together, or the mask is not boolean.
    """
    for name, array, axes in (("queries", queries, 4), ("keys_values", keys_values, 5)):
        if array.ndim != axes:
            raise ValueError(f"{name} has {array.ndim} axes: expected {axes}")
    batch, heads, tokens, dims = queries.shape
    slots = keys_values.shape[3] + tokens
    expect_shape("keys_values", keys_values, (2, batch, heads, slots - tokens, dims))
    expect_shape("new_keys_values", new_keys_values, (2, *queries.shape))
    if mask is not None:
        expect_shape("mask", mask, (batch, 1, tokens, slots))
        if mask.dtype != mx.bool_:
            raise ValueError(f"mask is of {mask.dtype}: expected booleans")
    backend = decode_attention_backend(queries, keys_values, new_keys_values)
    if backend == "ops":
        return decode_attention_ops(queries, keys_values, new_keys_values, mask=mask)
    # Which the kernel takes where there is none, too, and does not read.
    inputs = [queries, keys_values, new_keys_values, _NO_MASK if mask is None else mask]
    out, extended = attention.dispatch(
        KERNEL,
        backend,
        queries.shape,
        inputs,
        (2, batch, heads, slots, dims),
        MASKED=mask is not None,
    )
    return out, extended


def decode_attention_backend(*arrays: mx.array) -> Backend:
    """What `decode_attention` of such arrays, in its order and without a mask, runs on."""
    return OPERATION.backend(attention.applies(arrays[0].shape, *arrays))


def decode_attention_ops(
    queries: mx.array,
    keys_values: mx.array,
    new_keys_values: mx.array,
    *,
    mask: mx.array | None = None,
) -> tuple[mx.array, mx.array]:
    """`decode_attention` in plain MLX."""
    extended = mx.concatenate([keys_values, new_keys_values], axis=3)
    keys, values = extended
    causal = "causal" if queries.shape[2] > 1 else None
    out = attention.attend_ops(queries, keys, values, causal if mask is None else mask)
    return out, extended


# Made of numbers, not of arrays: one that waits for its evaluation would belong to a thread.
_NO_MASK = mx.array([[[[True]]]])
