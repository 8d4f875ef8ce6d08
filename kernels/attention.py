"""What the attention operations share: their checks, grids and constants."""

from __future__ import annotations

import math
from collections.abc import Sequence

import mlx.core as mx

from .dispatch import DTYPES, Backend, Kernel, expect_shape
from .quantized import QuantizedArray

MAX_QUERIES = 8
"""Tokens that one dispatch serves: each of them takes registers in every lane."""
HEAD_DIMS = (64, 128)

SHAPES = f"at most {MAX_QUERIES} tokens, heads of {' or '.join(map(str, HEAD_DIMS))}, one dtype"


def check(
    queries: mx.array, keys: mx.array | QuantizedArray, values: mx.array | QuantizedArray
) -> None:
    """Raise a ValueError unless keys and values are those of the queries' sentences and heads."""
    for name, array in (("queries", queries), ("keys", keys)):
        if len(array.shape) != 4:
            raise ValueError(f"{name} has {len(array.shape)} axes: expected 4")
    batch, heads, _, dims = queries.shape
    length = keys.shape[2]
    expect_shape("keys", keys, (batch, heads, length, dims))
    expect_shape("values", values, (batch, heads, length, dims))


def applies(shape: Sequence[int], *arrays: mx.array) -> bool:
    """Whether the kernels are made for queries of a shape and for such arrays."""
    return (
        arrays[0].dtype in DTYPES
        and all(array.dtype == arrays[0].dtype for array in arrays)
        and shape[3] in HEAD_DIMS
        and 1 <= shape[2] <= MAX_QUERIES
        and all(0 not in array.shape for array in arrays)
    )


def dispatch(
    kernel: Kernel,
    backend: Backend,
    shape: Sequence[int],
    inputs: list[mx.array],
    *more: Sequence[int],
    **template: int,
) -> list[mx.array]:
    """Run an attention kernel.

    Args:
        shape: of the queries.
        inputs: the first is of the dtype of what it writes.
        more: shapes of what it writes beside what attention finds.
        template: constants beside those of the queries' shape.
    """
    batch, heads, tokens, dims = shape
    dtype = inputs[0].dtype
    room = next(room for room in (1, 2, 4, MAX_QUERIES) if tokens <= room)
    groups = _groups(room, dims)
    out, *others = kernel(
        backend,
        inputs,
        template={
            "T": dtype,
            "HEAD_DIM": dims,
            "QUERIES": room,
            "GROUPS": groups,
            **template,
        },
        grid=(32 * groups, heads, batch),
        threadgroup=(32 * groups, 1, 1),
        outputs=[(shape, dtype) for shape in ((batch, tokens, heads, dims), *more)],
    )
    # So they lie in memory, for the product that follows: to merge the heads copies nothing.
    return [out.transpose(0, 2, 1, 3), *others]


def _groups(queries: int, head_dim: int) -> int:
    """SIMD groups of a threadgroup, among which the slots are shared out.

    Queries and sums stand in registers, and a GPU that has too few of them for all threads of a
    threadgroup refuses to run it: Apple's have some hundred for each of 512.
    """
    return 16 if queries * head_dim <= 512 else 8


def attend_ops(
    queries: mx.array, keys: mx.array, values: mx.array, mask: mx.array | str | None
) -> mx.array:
    """Scaled dot-product attention as MLX has it."""
    scale = 1 / math.sqrt(queries.shape[-1])
    return mx.fast.scaled_dot_product_attention(queries, keys, values, scale=scale, mask=mask)
