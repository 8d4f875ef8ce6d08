"""Attention of a decoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import mlx.core as mx
import numpy as np

from mlx_speak import kernels

from .case import DTYPES, NAMES, Array, Case, float64, normal
from .projection import normed


def attended(
    queries: mx.array | Array, keys: Sequence[Any], values: Sequence[Any], mask: Array | None
) -> Array:
    """Softmax attention in float64; `mask` broadcast to (batch, heads, queries, slots)."""
    q = float64(queries) if isinstance(queries, mx.array) else queries
    k, v = (np.concatenate([float64(part) for part in parts], 2) for parts in (keys, values))
    scores = np.einsum("bhqd,bhkd->bhqk", q, k) / np.sqrt(q.shape[-1])
    if mask is not None:
        scores = np.where(mask, scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return np.einsum("bhqk,bhkd->bhqd", weights / weights.sum(-1, keepdims=True), v)


def projected(
    batch: int, heads: int, tokens: int, dims: int, *, dtype: mx.Dtype, seed: int
) -> tuple[mx.array, mx.array]:
    """Queries; keys and values (2, …): as a model has them, views into the product of all three."""
    product = normal(batch, tokens, 3, heads, dims, dtype=dtype, seed=seed)
    parts = product.transpose(2, 0, 3, 1, 4)
    return parts[0], parts[1:]


def cached(
    batch: int, heads: int, length: int, dims: int, *, dtype: mx.Dtype, seed: int
) -> mx.array:
    """Keys and values as a cache has them: the first slots of a larger array."""
    capacity = -(-(length + 1) // 64) * 64
    return normal(2, batch, heads, capacity, dims, dtype=dtype, seed=seed)[:, :, :, :length]


def decode_attention(
    length: int,
    dtype: mx.Dtype = mx.float32,
    *,
    tokens: int = 1,
    dims: int = 64,
    batch: int = 1,
    heads: int = 2,
    masked: bool = False,
) -> Case:
    queries, new = projected(batch, heads, tokens, dims, dtype=dtype, seed=length)
    old = cached(batch, heads, length, dims, dtype=dtype, seed=length + 1)
    slots, options = length + tokens, {}
    mask = np.tril(np.ones((slots, slots), bool))[None, None, length:]
    if masked:
        mask = np.random.default_rng(length).random((batch, 1, tokens, slots)) < 0.5
        mask |= np.eye(slots, dtype=bool)[None, None, length:]  # each sees itself
        options["mask"] = mx.array(mask)
    return Case(
        f"decode {NAMES[dtype]} {batch}x{heads}x{tokens}x{dims} over {length}, masked={masked}",
        kernels.decode_attention,
        kernels.decode_attention_ops,
        (queries, old, new),
        options,
        (
            attended(queries, [old[0], new[0]], [old[1], new[1]], mask),
            np.concatenate([float64(old), float64(new)], 3),
        ),
        dtype,
    )


def cross_attention(
    length: int,
    dtype: mx.Dtype = mx.float32,
    *,
    tokens: int = 1,
    dims: int = 64,
    batch: int = 2,
    heads: int = 1,
    masked: bool = False,
    bits: int | None = None,
    group_size: int = 32,
) -> Case:
    queries = projected(batch, heads, tokens, dims, dtype=dtype, seed=length)[0]
    keys, values = (
        normal(batch, heads, length, dims, dtype=dtype, seed=length + i) for i in (1, 2)
    )
    mask, options = None, {}
    if masked:  # the second sentence is half as long, and its padding stands in front of it
        lengths = np.maximum(1, length // (1 + np.arange(batch)))
        mask = (np.arange(length) >= length - lengths[:, None])[:, None, None]
        options["mask"] = mx.array(mask)
    name = f"cross {NAMES[dtype]} {batch}x{heads}x{tokens}x{dims} over {length}, masked={masked}"
    calls = kernels.cross_attention, kernels.cross_attention_ops
    if bits:
        name += f", {bits} bits by {group_size}"
        calls = kernels.quantized_cross_attention, kernels.quantized_cross_attention_ops
        keys, values = (
            kernels.QuantizedArray.of(array, group_size=group_size, bits=bits)
            for array in (keys, values)
        )
    return Case(
        name,
        *calls,
        (queries, keys, values),
        options,
        (attended(queries, [keys], [values], mask),),
        dtype,
    )


def query_attention(
    length: int,
    dtype: mx.Dtype = mx.float32,
    *,
    inputs: int = 70,
    tokens: int = 1,
    dims: int = 64,
    batch: int = 1,
    heads: int = 2,
    masked: bool = False,
    norm: bool = True,
    bias: bool = True,
    bits: int | None = None,
    group_size: int = 32,
) -> Case:
    """As `cross_attention`, of queries that `inputs` numbers a token are still to make."""
    across = cross_attention(
        length, dtype, tokens=tokens, dims=dims, batch=batch, heads=heads, masked=masked
    )
    _, keys, values = across.arguments
    inputs = -(-inputs // group_size) * group_size if bits else inputs
    outputs = heads * dims
    x = normal(batch, inputs, tokens, dtype=dtype, seed=length, loc=1.0).swapaxes(1, 2)
    weight: Any = normal(outputs, inputs, dtype=dtype, seed=inputs) / float(np.sqrt(inputs))
    if bits:
        weight = kernels.QuantizedArray.of(weight, group_size=group_size, bits=bits)
    shift = normal(outputs, dtype=dtype, seed=inputs + 1) if bias else None
    queries, options = float64(x), dict(across.options)
    if norm:
        queries, options["norm"] = normed(queries, dtype)
    queries = queries @ float64(weight).T + (0 if shift is None else float64(shift))
    queries = queries.reshape(batch, tokens, heads, dims).swapaxes(1, 2)
    mask = np.array(options["mask"]) if masked else None
    return Case(
        f"{across.name}, {inputs=} {norm=} {bias=} {bits=}",
        kernels.query_attention,
        kernels.query_attention_ops,
        (x, weight, shift, keys, values),
        options,
        (attended(queries, [keys], [values], mask),),
        dtype,
        # Plain MLX rounds the queries to the dtype, and the scores are sums over all of them.
        4.0,
    )


EDGES = (1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 97, 300)
"""One, and what lies below, at and above the number of SIMD groups, their width and a cache's
growth; odd; large."""


def quantized_cross_attention(
    length: int, dtype: mx.Dtype = mx.float32, *, bits: int = 8, **options: Any
) -> Case:
    return cross_attention(length, dtype, bits=bits, **options)


def quantized_attention_cases() -> Iterator[Case]:
    for dtype in DTYPES:
        for bits in (4, 8):
            for length in (1, 16, 33, 97):
                yield quantized_cross_attention(length, dtype, bits=bits)
        yield quantized_cross_attention(37, dtype, tokens=8, dims=128, heads=3, masked=True)
    for tokens in (2, 4, 5):
        yield quantized_cross_attention(40, tokens=tokens, masked=True, group_size=64)
        yield quantized_cross_attention(9, tokens=tokens, bits=4, dims=128, group_size=128)


def query_attention_cases() -> Iterator[Case]:
    """What is not yet shown of its parts: `projection` and `cross_attention` have the same."""
    for dtype in DTYPES:
        yield from (query_attention(length, dtype) for length in (16, 33, 97))
        yield from (query_attention(33, dtype, bits=bits) for bits in (8, 4))
    yield from (query_attention(33, inputs=inputs) for inputs in (9, 255, 256, 257, 1024))
    yield query_attention(1, inputs=1)
    yield from (query_attention(40, tokens=tokens, masked=True) for tokens in (2, 3, 4, 5, 8))
    yield query_attention(21, tokens=2, batch=4, heads=3, masked=True, bias=False)
    yield query_attention(9, tokens=3, bits=4, dims=128, group_size=64, norm=False)


def attention_cases(case: Callable[..., Case]) -> Iterator[Case]:
    for dtype in DTYPES:
        yield from (case(length, dtype) for length in EDGES)
    for tokens in (2, 3, 4, 5, 8):
        for masked in (False, True):
            for length in (1, 31, 40):
                yield case(length, tokens=tokens, masked=masked)
    for dtype in (mx.float16, mx.bfloat16):
        yield case(33, dtype, tokens=4, dims=128, masked=True)
        yield case(33, dtype, dims=128)
    for dtype in DTYPES:
        yield case(37, dtype, tokens=8, dims=128, batch=2, heads=3)
