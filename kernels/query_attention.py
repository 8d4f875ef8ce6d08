"""Attention over the encoded source together with the projection of its queries."""

from __future__ import annotations

import mlx.core as mx

from . import attention
from .cross_attention import HEADERS, check_mask, cross_attention_ops, everywhere
from .dispatch import Backend, Kernel, Operation, expect_shape
from .projection import HEADERS as PROJECTION_HEADERS
from .projection import MAX_ROWS, Norm, check, layer, projection_ops
from .quantized import QuantizedArray

KERNEL = Kernel(
    "query_attention",
    inputs=(
        *("x", "norm_weight", "norm_bias", "eps", "weight", "scales", "offsets", "bias"),
        *("keys", "values", "mask"),
    ),
    outputs=("out",),
    headers=(*PROJECTION_HEADERS, *HEADERS),
)
OPERATION = Operation(
    "query_attention",
    (KERNEL,),
    f"{attention.SHAPES}, at most {MAX_ROWS} in all; a weight of that dtype or of 4 or 8 bits",
)


def query_attention(
    x: mx.array,
    weight: mx.array | QuantizedArray,
    bias: mx.array | None,
    keys: mx.array,
    values: mx.array,
    *,
    norm: Norm | None = None,
    mask: mx.array | None = None,
) -> mx.array:
    """`cross_attention(norm(x) @ weight.T + bias, keys, values)`: queries that need no memory.

    A threadgroup finds the queries of its head, and so a layer has a dispatch less. There are only
    as many threadgroups as heads to read the weight, which is little where it was read by more.

    Args:
        x: (batch, tokens, inputs).
        weight: (num_heads · head_dim, inputs).
        bias: (num_heads · head_dim,).
        keys, values: (batch, num_heads, source_length, head_dim).
        norm: the layer norm of `x`.
        mask: as `cross_attention` takes it.

    Returns:
        (batch, num_heads, tokens, head_dim), in the dtype of `x`.

    Raises:
        ValueError: the shapes do not belong together, or the mask is not boolean.
    """
    for name, array, axes in (("x", x, 3), ("keys", keys, 4)):
        if array.ndim != axes:
            raise ValueError(f"{name} has {array.ndim} axes: expected {axes}")
    check(x, weight, bias, norm)
    batch, tokens, _ = x.shape
    _, heads, length, dims = keys.shape
    expect_shape("weight", weight, (heads * dims, x.shape[2]))
    for name, array in (("keys", keys), ("values", values)):
        expect_shape(name, array, (batch, heads, length, dims))
    check_mask(mask, keys)
    backend = query_attention_backend(x, weight, bias, keys, values, norm=norm)
    if backend == "ops":
        return query_attention_ops(x, weight, bias, keys, values, norm=norm, mask=mask)
    parameters, constants = layer(weight, bias, norm)
    if not isinstance(weight, QuantizedArray):  # it has no scales and offsets
        parameters[4:4] = [weight, weight]
        constants |= {"BITS": 0, "GROUP_SIZE": 0}
    inputs = [x, *parameters, keys, values, everywhere(keys) if mask is None else mask]
    shape = (batch, heads, tokens, dims)
    return attention.dispatch(KERNEL, backend, shape, inputs, **constants)[0]


def query_attention_backend(
    x: mx.array,
    weight: mx.array | QuantizedArray,
    bias: mx.array | None,
    keys: mx.array,
    values: mx.array,
    *,
    norm: Norm | None = None,
) -> Backend:
    """What `query_attention` of such arrays, without a mask, runs on."""
    batch, heads, _, dims = keys.shape
    tokens = x.shape[1]
    return OPERATION.backend(
        batch * tokens <= MAX_ROWS
        and check(x, weight, bias, norm)
        and attention.applies((batch, heads, tokens, dims), x, keys, values)
    )


def query_attention_ops(
    x: mx.array,
    weight: mx.array | QuantizedArray,
    bias: mx.array | None,
    keys: mx.array,
    values: mx.array,
    *,
    norm: Norm | None = None,
    mask: mx.array | None = None,
) -> mx.array:
    """`query_attention` in plain MLX."""
    batch, heads, _, dims = keys.shape
    queries = projection_ops(x, weight, bias, norm=norm)
    queries = queries.reshape(batch, -1, heads, dims).transpose(0, 2, 1, 3)
    return cross_attention_ops(queries, keys, values, mask=mask)
