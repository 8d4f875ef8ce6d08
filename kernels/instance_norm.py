"""Adaptive instance norm with the activation behind it: one dispatch, or two where rows are many.

A GPU normalises over time what lies in memory channel by channel: all rows have been read before
the first can be written. Up to `PART` rows, a threadgroup keeps its 32 channels in registers and
the signal is read once. Beyond, one dispatch finds the moments of parts and another one puts them
together: the signal is read twice, by as many threadgroups as there are parts.
"""

from __future__ import annotations

import mlx.core as mx

from .dispatch import DTYPES, Kernel, Operation, expect_shape, fused_on_gpu, scalar

GROUPS = 16
ROWS = 32
"""Numbers that a thread keeps."""
PART = GROUPS * ROWS

_STYLE = ("gamma", "beta", "slopes", "eps")
_HEADERS = ("instance_norm.h",)
WHOLE = Kernel("instance_norm", inputs=("x", *_STYLE), outputs=("out",), headers=_HEADERS)
MOMENTS = Kernel(
    "instance_moments", inputs=("x",), outputs=("means", "variances"), headers=_HEADERS
)
PARTS = Kernel(
    "instance_norm_parts",
    inputs=("x", "means", "variances", *_STYLE),
    outputs=("out",),
    headers=_HEADERS,
)
OPERATION = Operation(
    "instance_norm",
    (WHOLE, MOMENTS, PARTS),
    f"fp32, fp16 and bf16; one dispatch up to {PART} rows and two beyond",
)


def instance_norm(
    x: mx.array,
    gamma: mx.array,
    beta: mx.array,
    *,
    eps: float,
    snake: mx.array | None = None,
    negative_slope: float = 1.0,
    moments: tuple[mx.array, mx.array] | None = None,
) -> mx.array:
    """Normalise each channel over time, style it, and activate it (AdaIN, Huang & Belongie, 2017).

    Args:
        x: (batch, length, channels).
        gamma, beta: (batch, 1, channels), of the style: the norm becomes (1 + gamma) · norm + beta.
        eps: added to the variance.
        snake: (channels,), not zero: if given, x + sin²(snake · x) / snake follows.
        negative_slope: of the leaky ReLU that follows otherwise; with 1 none does.
        moments: mean and variance to normalise with, each (batch or 1, 1, channels); by default
            those of `x`, the variance divided by the length.

    Returns:
        (batch, length, channels) in the dtype of `x`; what comes between is fp32.

    Raises:
        ValueError: the shapes do not belong together.
    """
    if x.ndim != 3:
        raise ValueError(f"x has the shape {x.shape}: expected (batch, length, channels)")
    batch, length, channels = x.shape
    for name, array in (("gamma", gamma), ("beta", beta)):
        expect_shape(name, array, (batch, 1, channels))
    if snake is not None:
        expect_shape("snake", snake, (channels,))
    for array in moments or ():
        expect_shape("moments", array, (1 if array.shape[:1] == (1,) else batch, 1, channels))
    arrays = [x, gamma, beta, *([] if snake is None else [snake]), *(moments or ())]
    backend = OPERATION.backend(all(array.dtype in DTYPES for array in arrays) and x.size > 0)
    if backend == "ops":
        return instance_norm_ops(
            x, gamma, beta, eps=eps, snake=snake, negative_slope=negative_slope, moments=moments
        )
    slopes = mx.broadcast_to(scalar(negative_slope), (channels,)) if snake is None else snake
    style = [gamma, beta, slopes, scalar(eps)]
    parts = -(-length // PART)
    grid = (32 * GROUPS, -(-channels // 32), batch * parts)
    threadgroup = (32 * GROUPS, 1, 1)
    if moments is None and parts > 1:
        mean, variance = MOMENTS(
            backend,
            [x],
            template={"GROUPS": GROUPS, "ROWS": ROWS},
            grid=grid,
            threadgroup=threadgroup,
            outputs=[((batch, parts, channels), mx.float32)] * 2,
        )
        moments = mean, variance
    known = [mx.broadcast_to(array, (batch, *array.shape[1:])) for array in moments or ()]
    (out,) = (PARTS if known else WHOLE)(
        backend,
        [x, *known, *style],
        template={"T": x.dtype, "SNAKE": snake is not None, "GROUPS": GROUPS, "ROWS": ROWS},
        grid=grid,
        threadgroup=threadgroup,
        outputs=[(x.shape, x.dtype)],
    )
    return out


def instance_norm_ops(
    x: mx.array,
    gamma: mx.array,
    beta: mx.array,
    *,
    eps: float,
    snake: mx.array | None = None,
    negative_slope: float = 1.0,
    moments: tuple[mx.array, mx.array] | None = None,
) -> mx.array:
    """`instance_norm` in plain MLX: the moments, and the rest as one pointwise function."""
    if moments is None:
        wide = x.astype(mx.float32)
        moments = mx.mean(wide, axis=1, keepdims=True), mx.var(wide, axis=1, keepdims=True)
    if snake is None:
        return styled_leaky_relu(x, *moments, gamma, beta, scalar(eps), scalar(negative_slope))
    return styled_snake(x, *moments, gamma, beta, scalar(eps), snake)


def _styled(x: mx.array, mean: mx.array, variance: mx.array, gamma: mx.array, beta: mx.array,
            eps: mx.array) -> mx.array:  # fmt: skip
    scale = (1 + gamma) * mx.rsqrt(variance + eps)
    return (x.astype(mx.float32) - mean) * scale + beta


@fused_on_gpu
def styled_snake(x: mx.array, *norm_and_frequency: mx.array) -> mx.array:
    """Normalise, style, and add the snake: pointwise, with every number of a channel given."""
    *norm, snake = norm_and_frequency
    y = _styled(x, *norm)
    return (y + mx.square(mx.sin(snake * y)) / snake).astype(x.dtype)


@fused_on_gpu
def styled_leaky_relu(x: mx.array, *norm_and_slope: mx.array) -> mx.array:
    """Normalise, style, and let a leaky ReLU follow: pointwise, as above."""
    *norm, slope = norm_and_slope
    y = _styled(x, *norm)
    return mx.where(y < 0, slope * y, y).astype(x.dtype)
