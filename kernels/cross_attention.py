"""Attention of a decoder's tokens over the encoded source."""

from __future__ import annotations

import mlx.core as mx

from . import attention
from .dispatch import Backend, Kernel, Operation, expect_shape
from .quantized import QuantizedArray

HEADERS = ("attention.h", "cross_attention.h")

KERNEL = Kernel(
    "cross_attention",
    inputs=("queries", "keys", "values", "mask"),
    outputs=("out",),
    headers=HEADERS,
)
QUANTIZED = Kernel(
    "quantized_cross_attention",
    inputs=(
        "queries",
        *("keys", "key_scales", "key_offsets"),
        *("values", "value_scales", "value_offsets"),
        "mask",
    ),
    outputs=("out",),
    headers=("attention.h", "quantized.h"),
)
OPERATION = Operation("cross_attention", (KERNEL,), attention.SHAPES)
QUANTIZED_OPERATION = Operation(
    "quantized_cross_attention", (QUANTIZED,), f"{attention.SHAPES}, 4 or 8 bits"
)


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
    check_mask(mask, keys)
    backend = cross_attention_backend(queries, keys, values)
    if backend == "ops":
        return cross_attention_ops(queries, keys, values, mask=mask)
    mask = everywhere(keys) if mask is None else mask
    return attention.dispatch(KERNEL, backend, queries.shape, [queries, keys, values, mask])[0]


def quantized_cross_attention(
    queries: mx.array,
    keys: QuantizedArray,
    values: QuantizedArray,
    *,
    mask: mx.array | None = None,
) -> mx.array:
    """`cross_attention` over a source's keys and values of 4 or 8 bits: less memory to read."""
    attention.check(queries, keys, values)
    check_mask(mask, keys)
    alike = (keys.group_size, keys.bits) == (values.group_size, values.bits)
    applies = alike and keys.fits(queries.dtype) and values.fits(queries.dtype)
    backend = QUANTIZED_OPERATION.backend(
        applies and attention.applies(queries.shape, queries) and 0 not in keys.shape
    )
    if backend == "ops":
        return quantized_cross_attention_ops(queries, keys, values, mask=mask)
    mask = everywhere(keys) if mask is None else mask
    inputs = [queries, *keys.arrays, *values.arrays, mask]
    return attention.dispatch(QUANTIZED, backend, queries.shape, inputs, **keys.constants)[0]


def cross_attention_backend(*arrays: mx.array) -> Backend:
    """What `cross_attention` of such arrays, in its order and without a mask, runs on."""
    return OPERATION.backend(attention.applies(arrays[0].shape, *arrays))


def cross_attention_ops(
    queries: mx.array, keys: mx.array, values: mx.array, *, mask: mx.array | None = None
) -> mx.array:
    """`cross_attention` in plain MLX."""
    return attention.attend_ops(queries, keys, values, mask)


def quantized_cross_attention_ops(
    queries: mx.array,
    keys: QuantizedArray,
    values: QuantizedArray,
    *,
    mask: mx.array | None = None,
) -> mx.array:
    """`quantized_cross_attention` in plain MLX."""
    return attention.attend_ops(queries, keys.dequantized(), values.dequantized(), mask)


def check_mask(mask: mx.array | None, keys: mx.array | QuantizedArray) -> None:
    """Raise a ValueError unless it is one of the source whose keys these are."""
    if mask is not None:
        expect_shape("mask", mask, (keys.shape[0], 1, 1, keys.shape[2]))
        if mask.dtype != mx.bool_:
            raise ValueError(f"mask is of {mask.dtype}: expected booleans")


_EVERYWHERE = mx.array(True)


def everywhere(keys: mx.array | QuantizedArray) -> mx.array:
    """A mask that masks nothing: one byte in memory, of stride 0."""
    return mx.broadcast_to(_EVERYWHERE, (keys.shape[0], 1, 1, keys.shape[2]))
