"""A residual connection and the layer norm that follows it, in one dispatch.

It serves post-norm transformers: Bergamot, and PL-BERT in Kokoro. Pre-norm ones (NLLB, XTTS) have
both within `projection`, which norms what it reads and adds what it writes to.
"""

from __future__ import annotations

import mlx.core as mx

from .dispatch import DTYPES, Kernel, Operation, expect_shape, scalar

GROUPS = 8
"""SIMD groups that share a row: four numbers a thread at NLLB's 1024."""

KERNEL = Kernel(
    "residual_layer_norm",
    inputs=("x", "residual", "weight", "bias", "eps"),
    outputs=("sum", "normed"),
    headers=("reduction.h",),
)
OPERATION = Operation("residual_layer_norm", (KERNEL,), "one dtype")


def residual_layer_norm(
    x: mx.array, residual: mx.array, weight: mx.array, bias: mx.array, *, eps: float
) -> tuple[mx.array, mx.array]:
    """Add what a sublayer found to what went into it, and norm the sum for the next one.

    Args:
        x, residual: (..., dims).
        weight, bias: (dims,), of the norm.
        eps: added to the variance.

    Returns:
        `x + residual`, and its layer norm, both (..., dims) in the dtype of `x`.

    Raises:
        ValueError: the shapes do not belong together.
    """
    if not x.ndim:
        raise ValueError("x has no axes: expected (..., dims)")
    dims = x.shape[-1]
    expect_shape("residual", residual, x.shape)
    expect_shape("weight", weight, (dims,))
    expect_shape("bias", bias, (dims,))
    one_dtype = x.dtype == residual.dtype == weight.dtype == bias.dtype
    backend = OPERATION.backend(one_dtype and x.dtype in DTYPES and x.size > 0)
    if backend == "ops":
        return residual_layer_norm_ops(x, residual, weight, bias, eps=eps)
    rows = x.size // dims
    total, normed = KERNEL(
        backend,
        [x.reshape(rows, dims), residual.reshape(rows, dims), weight, bias, scalar(eps)],
        template={"T": x.dtype, "GROUPS": GROUPS},
        grid=(32 * GROUPS, rows, 1),
        threadgroup=(32 * GROUPS, 1, 1),
        outputs=[(x.shape, x.dtype)] * 2,
    )
    return total, normed


def residual_layer_norm_ops(
    x: mx.array, residual: mx.array, weight: mx.array, bias: mx.array, *, eps: float
) -> tuple[mx.array, mx.array]:
    """`residual_layer_norm` in plain MLX."""
    total = x + residual
    return total, mx.fast.layer_norm(total, weight, bias, eps)
