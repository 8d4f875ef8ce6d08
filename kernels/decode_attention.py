"""Self-attention of a decoder's newest tokens over a cache, which need not hold them yet."""

from __future__ import annotations

import mlx.core as mx

from . import attention
from .dispatch import Backend, Kernel, Operation, expect_shape

KERNEL = Kernel(
    "decode_attention",
    inputs=("queries", "keys", "values", "new_keys", "new_values", "mask"),
    outputs=("out",),
    headers=("attention.h",),
)
OPERATION = Operation(
    "decode_attention", (KERNEL,), f"{attention.SHAPES}, a cache that is not empty"
)


def decode_attention(
    queries: mx.array,
    keys: mx.array,
    values: mx.array,
    new_keys: mx.array,
    new_values: mx.array,
    *,
    mask: mx.array | None = None,
) -> mx.array:
    """Attend from the newest tokens to those in a cache and to one another.

    The kernel reads the cache where it lies, a slice of larger arrays too, and the new keys and
    values beside it: appending these to the cache is nothing that attention waits for.

    Args:
        queries: (batch, num_heads, tokens, head_dim).
        keys, values: (batch, num_heads, length, head_dim), of the tokens before; length may be 0.
        new_keys, new_values: as `queries`, of these tokens.
        mask: boolean (batch, 1, tokens, length + tokens), True where a token sees a slot: so the
            beams of a sentence follow their own pasts in one cache. By default each token sees the
            cache, itself, and the tokens before it. One that sees nothing has no defined result.

    Returns:
        (batch, num_heads, tokens, head_dim), in the queries' dtype.

    Raises:
        ValueError: the shapes do not belong together, or the mask is not boolean.
    """
    attention.check(queries, keys, values)
    expect_shape("new_keys", new_keys, queries.shape)
    expect_shape("new_values", new_values, queries.shape)
    batch, _, tokens, _ = queries.shape
    slots = keys.shape[2] + tokens
    if mask is not None:
        expect_shape("mask", mask, (batch, 1, tokens, slots))
        if mask.dtype != mx.bool_:
            raise ValueError(f"mask is of {mask.dtype}: expected booleans")
    backend = decode_attention_backend(queries, keys, values, new_keys, new_values)
    if backend == "ops":
        return decode_attention_ops(queries, keys, values, new_keys, new_values, mask=mask)
    inputs = [queries, keys, values, new_keys, new_values]
    if mask is None:  # which the kernel takes nevertheless, and does not read
        return attention.dispatch(KERNEL, backend, [*inputs, _NO_MASK], MASKED=False)
    return attention.dispatch(KERNEL, backend, [*inputs, mask], MASKED=True)


def decode_attention_backend(*arrays: mx.array) -> Backend:
    """What `decode_attention` of such arrays, in its order and without a mask, runs on."""
    return OPERATION.backend(attention.applies(*arrays))


def decode_attention_ops(
    queries: mx.array,
    keys: mx.array,
    values: mx.array,
    new_keys: mx.array,
    new_values: mx.array,
    *,
    mask: mx.array | None = None,
) -> mx.array:
    """`decode_attention` in plain MLX, which copies the cache."""
    keys = mx.concatenate([keys, new_keys], axis=2)
    values = mx.concatenate([values, new_values], axis=2)
    causal = "causal" if queries.shape[2] > 1 else None
    return attention.attend_ops(queries, keys, values, causal if mask is None else mask)


# Made of numbers, not of arrays: one that waits for its evaluation would belong to a thread.
_NO_MASK = mx.array([[[[True]]]])
