"""The highest of each row, in two stages: MLX's own kernel leaves a row to a single threadgroup."""

from __future__ import annotations

import mlx.core as mx

from .dispatch import DTYPES, Kernel, Operation

PART = 4096
"""Numbers that a threadgroup of the first stage reads: 63 of them share NLLB's vocabulary."""
PART_GROUPS = 16
BEST_GROUPS = 2

PARTS = Kernel(
    "argmax_parts", inputs=("logits",), outputs=("values", "indices"), headers=("argmax.h",)
)
BEST = Kernel("argmax_best", inputs=("values", "indices"), outputs=("out",), headers=("argmax.h",))
OPERATION = Operation("argmax", (PARTS, BEST), "fp32, fp16 and bf16")


def argmax(logits: mx.array) -> mx.array:
    """The index of the highest number of each row; of equal ones the first.

    Args:
        logits: (..., length), none of them NaN; where some are, the result is an index all the
            same, of no meaning.

    Returns:
        (...), uint32.

    Raises:
        ValueError: there is nothing to choose from.
    """
    if not logits.ndim or not logits.shape[-1]:
        raise ValueError(f"logits has the shape {logits.shape}: expected (..., length), not empty")
    length = logits.shape[-1]
    backend = OPERATION.backend(logits.dtype in DTYPES and logits.size > 0)
    if backend == "ops":
        return argmax_ops(logits)
    rows, parts = logits.size // length, -(-length // PART)
    values, indices = PARTS(
        backend,
        [logits.reshape(rows, length)],
        template={"PART": PART, "GROUPS": PART_GROUPS},
        grid=(32 * PART_GROUPS, parts, rows),
        threadgroup=(32 * PART_GROUPS, 1, 1),
        outputs=[((rows, parts), mx.float32), ((rows, parts), mx.uint32)],
    )
    (out,) = BEST(
        backend,
        [values, indices],
        template={"GROUPS": BEST_GROUPS},
        grid=(32 * BEST_GROUPS, rows, 1),
        threadgroup=(32 * BEST_GROUPS, 1, 1),
        outputs=[(logits.shape[:-1], mx.uint32)],
    )
    return out


def argmax_ops(logits: mx.array) -> mx.array:
    """`argmax` in plain MLX."""
    return mx.argmax(logits, axis=-1)
