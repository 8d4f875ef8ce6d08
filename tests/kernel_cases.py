"""Calls of every kernel, each with its result in float64.

The references are NumPy's, written from the definitions: they share nothing with the kernels, nor
with the operations in plain MLX, and both are compared with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np

from mlx_speak import kernels

Array = np.ndarray[Any, Any]

DTYPES = (mx.float32, mx.float16, mx.bfloat16)
NAMES = {mx.float32: "float32", mx.float16: "float16", mx.bfloat16: "bfloat16"}

_UNITS = {mx.float32: 2.0**-24, mx.float16: 2.0**-11, mx.bfloat16: 2.0**-8}
"""Half a unit in the last place, relative."""


@dataclass(frozen=True)
class Case:
    """One call of an operation."""

    name: str
    operation: Callable[..., Any]
    ops: Callable[..., Any]
    arguments: tuple[mx.array, ...]
    options: dict[str, Any]
    expected: tuple[Array, ...]
    """In float64, of the arguments as they are rounded to their dtype."""
    dtype: mx.Dtype

    def problem(self, call: Callable[..., Any], arithmetic: float = 1e-6) -> str | None:
        """What is wrong with a result of the operation, or of its reference, if anything.

        Args:
            arithmetic: how far the sums may be off. The kernels', in fp32 over some hundred terms
                of size 1, are within 1e-6; beyond it a result may be off by its own rounding alone.
        """
        results = call(*self.arguments, **self.options)
        results = results if isinstance(results, tuple) else (results,)
        for result, expected in zip(results, self.expected, strict=True):
            got = float64(result)
            if got.shape != expected.shape:
                return f"shape {got.shape} instead of {expected.shape}"
            if result.dtype not in (self.dtype, mx.uint32):
                return f"dtype {result.dtype} instead of {self.dtype}"
            allowed = np.zeros(expected.shape)
            if result.dtype != mx.uint32:
                size = np.abs(expected)
                allowed = _UNITS[self.dtype] * size * 1.001 + arithmetic * (1 + size)
            wrong = ~(np.abs(got - expected) <= allowed)  # NaN is wrong too
            if wrong.any():
                at = np.unravel_index(np.argmax(wrong), wrong.shape)
                return f"{wrong.sum()} wrong, at {at} {got[at]} instead of {expected[at]}"
        return None


def float64(x: mx.array) -> Array:
    return np.array(x if x.dtype == mx.uint32 else x.astype(mx.float32)).astype(np.float64)


def normal(*shape: int, dtype: mx.Dtype, seed: int, loc: float = 0.0) -> mx.array:
    return (mx.random.normal(shape, key=mx.random.key(seed)) + loc).astype(dtype)


def attended(
    queries: mx.array, keys: Sequence[mx.array], values: Sequence[mx.array], mask: Array | None
) -> Array:
    """Softmax attention in float64; `mask` broadcast to (batch, heads, queries, slots)."""
    q = float64(queries)
    k, v = (np.concatenate([float64(part) for part in parts], 2) for parts in (keys, values))
    scores = np.einsum("bhqd,bhkd->bhqk", q, k) / np.sqrt(q.shape[-1])
    if mask is not None:
        scores = np.where(mask, scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return np.einsum("bhqk,bhkd->bhqd", weights / weights.sum(-1, keepdims=True), v)


def projected(
    batch: int, heads: int, tokens: int, dims: int, *, dtype: mx.Dtype, seed: int
) -> list[mx.array]:
    """Queries, keys and values as a model has them: views into the product of all three."""
    product = normal(batch, tokens, 3 * heads * dims, dtype=dtype, seed=seed)
    parts = mx.split(product, 3, axis=-1)
    return [part.reshape(batch, tokens, heads, dims).transpose(0, 2, 1, 3) for part in parts]


def cached(
    batch: int, heads: int, length: int, dims: int, *, dtype: mx.Dtype, seed: int
) -> list[mx.array]:
    """Keys and values as a cache has them: the first slots of larger arrays."""
    capacity = -(-(length + 1) // 64) * 64
    arrays = (normal(batch, heads, capacity, dims, dtype=dtype, seed=seed + i) for i in range(2))
    return [array[:, :, :length] for array in arrays]


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
    queries, new_keys, new_values = projected(batch, heads, tokens, dims, dtype=dtype, seed=length)
    keys, values = cached(batch, heads, length, dims, dtype=dtype, seed=length + 1)
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
        (queries, keys, values, new_keys, new_values),
        options,
        (attended(queries, [keys, new_keys], [values, new_values], mask),),
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
    return Case(
        f"cross {NAMES[dtype]} {batch}x{heads}x{tokens}x{dims} over {length}, masked={masked}",
        kernels.cross_attention,
        kernels.cross_attention_ops,
        (queries, keys, values),
        options,
        (attended(queries, [keys], [values], mask),),
        dtype,
    )


def residual_layer_norm(dims: int, dtype: mx.Dtype = mx.float32, *, rows: int = 3) -> Case:
    x = normal(rows, dims, dtype=dtype, seed=dims, loc=3.0)  # a mean to lose digits over
    residual = normal(dims, rows, dtype=dtype, seed=dims + 1).T
    weight, bias = (normal(dims, dtype=dtype, seed=dims + i) for i in (2, 3))
    total = (x.astype(mx.float32) + residual.astype(mx.float32)).astype(dtype)
    eps, exact = 1e-5, float64(total)
    centred = exact - exact.mean(-1, keepdims=True)
    unit = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps)
    return Case(
        f"norm {NAMES[dtype]} {rows}x{dims}",
        kernels.residual_layer_norm,
        kernels.residual_layer_norm_ops,
        (x, residual, weight, bias),
        {"eps": eps},
        (exact, unit * float64(weight) + float64(bias)),
        dtype,
    )


def argmax(
    length: int, dtype: mx.Dtype = mx.float32, *, rows: int = 2, peak: int | None = None
) -> Case:
    """`peak` stands above all others; without one half of them are highest, and the first wins."""
    logits = mx.minimum(normal(length, rows, dtype=dtype, seed=length).T - 10, -10)
    if peak is not None:
        logits[:, peak] = -9
    return Case(
        f"argmax {NAMES[dtype]} {rows}x{length}, peak={peak}",
        kernels.argmax,
        kernels.argmax_ops,
        (logits,),
        {},
        (np.argmax(float64(logits), axis=-1).astype(np.float64),),
        dtype,
    )


EDGES = (1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 97, 300)
"""One, and what lies below, at and above the number of SIMD groups, their width and a cache's
growth; odd; large."""


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


def norm_cases() -> Iterator[Case]:
    for dtype in DTYPES:
        for dims in (1, 2, 31, 32, 33, 255, 256, 257, 1000, 1024):
            yield residual_layer_norm(dims, dtype)


def argmax_cases() -> Iterator[Case]:
    for dtype in DTYPES:
        for length in (1, 2, 31, 32, 33, 511, 513, 4095, 4096, 4097, 8193):
            yield argmax(length, dtype)
            yield argmax(length, dtype, peak=length - 1)
    for peak in (None, 0, 4095, 4096, 200_000, 256_205):
        yield argmax(256_206, mx.bfloat16, rows=1, peak=peak)  # NLLB's vocabulary


SETS: dict[str, Callable[[], Iterator[Case]]] = {
    "decode_attention": lambda: attention_cases(decode_attention),
    "cross_attention": lambda: attention_cases(cross_attention),
    "residual_layer_norm": norm_cases,
    "argmax": argmax_cases,
}

SMALL: dict[str, list[Case]] = {
    "decode_attention": [
        decode_attention(21, tokens=3),
        decode_attention(21, mx.bfloat16, tokens=3, heads=1, masked=True),
    ],
    "cross_attention": [
        cross_attention(21, tokens=3, masked=True),
        cross_attention(5, mx.float16, heads=1),
    ],
    "residual_layer_norm": [residual_layer_norm(300), residual_layer_norm(33, mx.bfloat16)],
    "argmax": [argmax(4500), argmax(4500, mx.float16, rows=1, peak=4095)],
}
"""For the sanitizers, which are slow, and for planted bugs: odd sizes, several threadgroups, both
variants of an optional mask, one fp32 and one 16-bit dtype each."""

assert set(SETS) == set(SMALL) == {operation.name for operation in kernels.OPERATIONS}
