"""The best k of each row, in two stages: MLX sorts a row, or leaves it to a single threadgroup."""

from __future__ import annotations

import functools

import mlx.core as mx

from .dispatch import DTYPES, Kernel, Operation

GROUPS = 16
KEYS = 8
PART = 32 * GROUPS * KEYS
"""Numbers that a threadgroup holds: 63 of them share NLLB's vocabulary."""
MAX_K = 64
"""So many that the best 64 of each part of that vocabulary are one part again."""

PARTS = Kernel(
    "top_k_parts", inputs=("logits", "k"), outputs=("values", "indices"), headers=("top_k.h",)
)
BEST = Kernel(
    "top_k_best", inputs=("values", "indices"), outputs=("scores", "places"), headers=("top_k.h",)
)
OPERATION = Operation(
    "top_k", (PARTS, BEST), f"fp32, fp16 and bf16, k up to {MAX_K} and {PART} / (length / {PART})"
)


def top_k(scores: mx.array, k: int) -> tuple[mx.array, mx.array]:
    """The best scores of each row and where they stand, best first, and of equal ones the first.

    Args:
        scores: (..., length), none of them NaN; where some are, the indices are of no meaning.
        k: how many; at most `length`.

    Returns:
        Scores (..., k) and indices (..., k), uint32.

    Raises:
        ValueError: there are not so many.
    """
    length = scores.shape[-1] if scores.ndim else 0
    if not 0 < k <= length:
        raise ValueError(
            f"scores has the shape {scores.shape}: expected (..., length ≥ k = {k} > 0)"
        )
    parts = -(-length // PART)
    fits = k <= MAX_K and (parts == 1 or parts * k <= PART)
    backend = OPERATION.backend(scores.dtype in DTYPES and scores.size > 0 and fits)
    if backend == "ops":
        return top_k_ops(scores, k)
    rows, shape = scores.size // length, (*scores.shape[:-1], k)
    template = {"GROUPS": GROUPS, "KEYS": KEYS, "MAX_K": MAX_K}
    threadgroup = (32 * GROUPS, 1, 1)
    values, indices = PARTS(
        backend,
        [scores.reshape(rows, length), _count(k)],
        template={"T": scores.dtype, **template},
        grid=(32 * GROUPS, parts, rows),
        threadgroup=threadgroup,
        outputs=[((rows, parts, k), scores.dtype), ((rows, parts, k), mx.uint32)],
    )
    if parts == 1:
        return values.reshape(shape), indices.reshape(shape)
    best, places = BEST(
        backend,
        [values, indices],
        template=template,
        grid=(32 * GROUPS, rows, 1),
        threadgroup=threadgroup,
        outputs=[(shape, scores.dtype), (shape, mx.uint32)],
    )
    return best, places


@functools.lru_cache(maxsize=MAX_K)
def _count(k: int) -> mx.array:
    return mx.array([k], mx.int32)


def top_k_ops(scores: mx.array, k: int) -> tuple[mx.array, mx.array]:
    """`top_k` in plain MLX.

    Sorting 256,000 scores takes a hundred times as long as finding their maximum. The best k lie
    in the k blocks with the highest maxima, so only those blocks are sorted.
    """
    size = scores.shape[-1]
    whole = size // _BLOCK
    if whole <= k:
        return _sorted_top_k(scores, k)
    blocks = scores[..., : whole * _BLOCK].reshape(*scores.shape[:-1], whole, _BLOCK)
    maxima = blocks.max(axis=-1)
    if size % _BLOCK:
        rest = scores[..., whole * _BLOCK :].max(axis=-1, keepdims=True)
        maxima = mx.concatenate([maxima, rest], axis=-1)
    _, best = _sorted_top_k(maxima, k)
    indices = (best[..., None] * _BLOCK + mx.arange(_BLOCK, dtype=best.dtype)).flatten(-2)
    inside = mx.take_along_axis(scores, mx.minimum(indices, size - 1), axis=-1)
    found, order = _sorted_top_k(mx.where(indices < size, inside, -mx.inf), k)
    return found, mx.take_along_axis(indices, order, axis=-1)


# Scores a block; near the square root of the largest vocabularies, so that both sorts are short.
_BLOCK = 256


def _sorted_top_k(scores: mx.array, k: int) -> tuple[mx.array, mx.array]:
    """The same of rows that are short enough to be partitioned whole."""
    indices = mx.arange(scores.shape[-1], dtype=mx.uint32)
    if k < scores.shape[-1]:
        indices = mx.argpartition(-scores, k - 1, axis=-1)[..., :k]
        # In their order of old, so that of equals the first one stays first.
        indices = mx.sort(indices, axis=-1)
        scores = mx.take_along_axis(scores, indices, axis=-1)
    else:
        indices = mx.broadcast_to(indices, scores.shape)
    order = mx.argsort(-scores, axis=-1)
    return mx.take_along_axis(scores, order, -1), mx.take_along_axis(indices, order, -1)
