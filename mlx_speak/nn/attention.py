"""Multi-head attention on projected tensors, for every model in the house."""

from __future__ import annotations

import math
from typing import TypeAlias

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from mlx_speak import kernels

from . import native
from .activations import exp2_nonpositive
from .cache import KeyValueCache
from .projection import kernel_norm, kernel_weight, project

# Queries up to which a decoder may ask for one or for several at once and wants the same answer.
_FEW_QUERIES = 32


def split_heads(x: mx.array, num_heads: int) -> mx.array:
    """(batch, length, dims) → (batch, num_heads, length, dims / num_heads)."""
    batch, length, dims = x.shape
    return x.reshape(batch, length, num_heads, dims // num_heads).transpose(0, 2, 1, 3)


def merge_heads(x: mx.array) -> mx.array:
    """(batch, num_heads, length, head_dims) → (batch, length, num_heads · head_dims)."""
    batch, num_heads, length, head_dims = x.shape
    return x.transpose(0, 2, 1, 3).reshape(batch, length, num_heads * head_dims)


Mask: TypeAlias = "mx.array | str | None"


def attend(queries: mx.array, keys: mx.array, values: mx.array, *, mask: Mask = None) -> mx.array:
    """Scaled dot-product attention over projected queries, keys and values.

    Args:
        queries: (batch, num_heads, query_length, head_dims).
        keys: (batch, num_heads, key_length, head_dims).
        values: (batch, num_heads, key_length, head_dims).
        mask: broadcast to (batch, num_heads, query_length, key_length), boolean (True attends) or
            added to the scores in the queries' dtype; or "causal": the last query sees every key.

    Returns:
        (batch, num_heads, query_length, head_dims).
    """
    scale = 1 / math.sqrt(queries.shape[-1])
    if mask is None and _is_costly_on_cpu(queries, keys):
        return _attend_on_cpu(queries * (scale * math.log2(math.e)), keys, values)
    return mx.fast.scaled_dot_product_attention(queries, keys, values, scale=scale, mask=mask)


def _is_costly_on_cpu(queries: mx.array, keys: mx.array) -> bool:
    on_cpu = mx.default_device().type == mx.DeviceType.cpu
    in_float32 = queries.dtype == keys.dtype == mx.float32
    return on_cpu and in_float32 and queries.shape[2] > _FEW_QUERIES


def _attend_on_cpu(queries: mx.array, keys: mx.array, values: mx.array) -> mx.array:
    """Attention with powers of two: MLX's softmax calls libm's exponential for every score.

    Without `softmax.c`, dividing by the weights' sum is left to the end, where there is less to
    divide.
    """
    scores = queries @ keys.swapaxes(-1, -2)
    if native.serves(scores):
        shares = np.empty(scores.shape, np.float32)
        rows, columns = math.prod(scores.shape[:-1]), scores.shape[-1]
        native.call("softmax", rows, columns, scores, shares)
        return mx.array(shares) @ values
    weights = exp2_nonpositive(scores - scores.max(axis=-1, keepdims=True))
    return (weights @ values) / weights.sum(axis=-1, keepdims=True)


def attend_extending(
    queries: mx.array, keys_values: mx.array, cache: KeyValueCache, mask: Mask = None
) -> tuple[mx.array, KeyValueCache]:
    """Attend from a decoder's newest tokens to those in a cache and to one another.

    Args:
        queries: (batch, num_heads, tokens, head_dims).
        keys_values: (2, batch, num_heads, tokens, head_dims).
        cache: of the tokens before.
        mask: as `attend` takes it, over cache.length + tokens slots.

    Returns:
        (batch, num_heads, tokens, head_dims) and the cache that holds these tokens too.
    """
    arrays = (queries, cache.keys_values[:, :, :, : cache.length], keys_values)
    if kernels.decode_attention_backend(*arrays) != "ops":
        batch, _, tokens, _ = queries.shape
        length = cache.length + tokens
        if seen := _booleans(mask, (batch, 1, tokens, length), none_is_default=tokens == 1):
            out, extended = kernels.decode_attention(*arrays, mask=seen[0])
            return out, KeyValueCache(extended, length)
    if mask is None:
        out = native.attention(queries, cache.keys_values, cache.length, keys_values)
        if out is not None:
            return out, cache.extend(keys_values)
    cache = cache.extend(keys_values)
    return attend(queries, *cache.filled, mask=mask), cache


def attend_across(
    x: mx.array,
    query: nn.Module,
    keys: mx.array,
    values: mx.array,
    mask: Mask = None,
    *,
    norm: nn.LayerNorm | None = None,
) -> mx.array:
    """Attend from a decoder's few tokens to the encoded source.

    Args:
        x: (batch, tokens, dims).
        query: the linear layer that makes queries of it.
        keys, values, mask: as `attend` takes them.
        norm: of `x`.

    Returns:
        (batch, num_heads, tokens, head_dims).
    """
    if (weight := kernel_weight(query)) is not None:
        layer, fused = (x, weight, query.get("bias"), keys, values), kernel_norm(norm)
        on_kernel = kernels.query_attention_backend(*layer, norm=fused) != "ops"
        if on_kernel and (seen := _source_mask(mask, keys)):
            return kernels.query_attention(*layer, norm=fused, mask=seen[0])
    queries = split_heads(project(x, query, norm=norm), keys.shape[1])
    on_kernel = kernels.cross_attention_backend(queries, keys, values) != "ops"
    if on_kernel and (seen := _source_mask(mask, keys)):
        return kernels.cross_attention(queries, keys, values, mask=seen[0])
    if mask is None:
        out = native.attention(queries, (keys, values), keys.shape[2])
        if out is not None:
            return out
    return attend(queries, keys, values, mask=mask)


def _source_mask(mask: Mask, keys: mx.array) -> tuple[mx.array | None] | None:
    """As `_booleans`, of a mask over the source."""
    if isinstance(mask, str):
        return None
    return _booleans(mask, (keys.shape[0], 1, 1, keys.shape[2]), none_is_default=True)


def _booleans(
    mask: Mask, shape: tuple[int, ...], none_is_default: bool
) -> tuple[mx.array | None] | None:
    """The mask as the kernels take it, in a tuple, or None if they do not."""
    if mask is None:
        return (None,) if none_is_default else None
    if isinstance(mask, str):
        return (None,)
    fits = mask.ndim == 4 and all(n in (1, m) for n, m in zip(mask.shape, shape, strict=True))
    return (mx.broadcast_to(mask, shape),) if fits and mask.dtype == mx.bool_ else None
