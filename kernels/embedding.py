"""Embeddings with their positions: a look-up, a factor and a sum in one dispatch."""

from __future__ import annotations

import mlx.core as mx

from .dispatch import DTYPES, Kernel, Operation, expect_shape, scalar
from .quantized import QuantizedArray

GROUPS = 8
"""SIMD groups of a token: four numbers a thread at NLLB's 1024."""

KERNEL = Kernel(
    "embedding",
    inputs=("ids", "weight", "scales", "offsets", "positions", "scale"),
    outputs=("out",),
    headers=("quantized.h",),
)
OPERATION = Operation("embedding", (KERNEL,), "a table of fp32, fp16, bf16 or of 4 or 8 bits")


def embedding(
    ids: mx.array,
    weight: mx.array | QuantizedArray,
    positions: mx.array,
    *,
    scale: float = 1.0,
    blank: int | None = None,
) -> mx.array:
    """`weight[ids] * scale + positions`.

    Args:
        ids: (...), int32 or uint32, each below `vocabulary`.
        weight: (vocabulary, dims).
        positions: broadcast to (..., dims).
        blank: a token that gets no position.

    Returns:
        (..., dims), in the dtype of the weight.

    Raises:
        ValueError: the shapes do not belong together.
    """
    shape = (*ids.shape, weight.shape[-1])
    if len(weight.shape) != 2:
        raise ValueError(f"weight has {len(weight.shape)} axes: expected 2")
    expect_shape("positions", positions, (*positions.shape[:-1], shape[-1]))
    if isinstance(weight, QuantizedArray):
        arrays, constants, dtype = weight.arrays, weight.constants, weight.scales.dtype
        applies = weight.fits(dtype)
    else:  # it has no scales and offsets
        arrays, constants, dtype = (weight,) * 3, {"BITS": 0, "GROUP_SIZE": 0}, weight.dtype
        applies = True
    applies = (
        applies
        and dtype in DTYPES
        and positions.dtype in DTYPES
        and ids.dtype in (mx.int32, mx.uint32)
        and ids.size > 0
        and 0 not in weight.shape
    )
    backend = OPERATION.backend(applies)
    if backend == "ops":
        return embedding_ops(ids, weight, positions, scale=scale, blank=blank)
    places = mx.broadcast_to(positions, shape).reshape(ids.size, shape[-1])
    (out,) = KERNEL(
        backend,
        [ids.reshape(ids.size), *arrays, places, scalar(scale)],
        template={
            "T": dtype,
            "GROUPS": GROUPS,
            "BLANK": -1 if blank is None else blank,
            **constants,
        },
        grid=(32 * GROUPS, ids.size, 1),
        threadgroup=(32 * GROUPS, 1, 1),
        outputs=[(shape, dtype)],
    )
    return out


def embedding_ops(
    ids: mx.array,
    weight: mx.array | QuantizedArray,
    positions: mx.array,
    *,
    scale: float = 1.0,
    blank: int | None = None,
) -> mx.array:
    """`embedding` in plain MLX."""
    if isinstance(weight, QuantizedArray):
        packed, scales, offsets = (array[ids] for array in weight.arrays)
        found = QuantizedArray(packed, scales, offsets, weight.group_size, weight.bits)
        rows = found.dequantized()
    else:
        rows = weight[ids]
    return add_positions(rows, ids, positions, scale=scale, blank=blank)


def add_positions(
    rows: mx.array, ids: mx.array, positions: mx.array, *, scale: float, blank: int | None
) -> mx.array:
    """`rows * scale + positions`, of rows (..., dims) that were looked up, in plain MLX.

    `ids`, `positions` and `blank` are those of `embedding`.
    """
    found = positions.astype(rows.dtype)
    if blank is not None:
        found = mx.where((ids != blank)[..., None], found, 0)
    return (rows if scale == 1 else rows * scale) + found
