"""A transposed convolution with its overlap-add, in one dispatch.

MLX's own writes the input with zeros between its frames, unfolds that, and multiplies: of what it
reads and multiplies, all but one part in `stride` is zero.
"""

from __future__ import annotations

import functools

import mlx.core as mx
import mlx.nn as nn

from .dispatch import DTYPES, Kernel, Operation, expect_shape, scalar

GROUPS = 8
ROWS = 4
FRAMES = GROUPS * ROWS
COLUMNS = 64
DEPTH = 16
MAX_TAPS = 4
"""Input frames that an output frame may see: each takes 4 KB of a threadgroup's memory, of 32."""

KERNEL = Kernel(
    "conv_transpose1d",
    inputs=("x", "weight", "bias", "slope", "sizes"),
    outputs=("out",),
)
OPERATION = Operation(
    "conv_transpose1d",
    (KERNEL,),
    f"one dtype, no groups, at most {MAX_TAPS} input frames to an output frame",
)


def conv_transpose1d(
    x: mx.array,
    weight: mx.array,
    bias: mx.array | None = None,
    *,
    stride: int,
    padding: int = 0,
    output_padding: int = 0,
    groups: int = 1,
    negative_slope: float = 1.0,
) -> mx.array:
    """Transposed convolution over time, channels last, behind a leaky ReLU.

    Args:
        x: (batch, length, channels).
        weight: (out_channels, kernel_size, channels / groups).
        bias: (out_channels,).
        stride: output frames per input frame.
        padding: frames cut from both ends.
        output_padding: frames then added at the end; less than `stride`.
        groups: blocks of channels convolved apart.
        negative_slope: of the leaky ReLU that `x` passes first; with 1 it passes none.

    Returns:
        (batch, (length − 1) · stride − 2 · padding + kernel_size + output_padding, out_channels),
        in the dtype of `x`.

    Raises:
        ValueError: the shapes do not belong together, or nothing comes out.
    """
    if x.ndim != 3 or weight.ndim != 3:
        raise ValueError(
            f"x and weight have the shapes {x.shape} and {weight.shape}: expected 3 axes"
        )
    batch, length, channels = x.shape
    out_channels, kernel_size, _ = weight.shape
    expect_shape("weight", weight, (out_channels, kernel_size, channels // groups))
    if bias is not None:
        expect_shape("bias", bias, (out_channels,))
    frames = (length - 1) * stride - 2 * padding + kernel_size + output_padding
    if frames < 1:
        raise ValueError(f"x has {length} frames, which padding of {padding} leaves nothing of")
    taps = -(-kernel_size // stride)
    arrays = [x, weight, *([] if bias is None else [bias])]
    one_dtype = x.dtype in DTYPES and all(array.dtype == x.dtype for array in arrays)
    backend = OPERATION.backend(one_dtype and x.size > 0 and groups == 1 and taps <= MAX_TAPS)
    if backend == "ops":
        return conv_transpose1d_ops(
            x,
            weight,
            bias,
            stride=stride,
            padding=padding,
            output_padding=output_padding,
            groups=groups,
            negative_slope=negative_slope,
        )
    if bias is None:
        bias = mx.broadcast_to(scalar(0.0), (out_channels,))
    blocks = -(-(frames + padding) // (FRAMES * stride))
    (out,) = KERNEL(
        backend,
        [x, weight, bias, scalar(negative_slope), _sizes(stride, padding, output_padding)],
        template={"T": x.dtype, "TAPS": taps, "GROUPS": GROUPS, "ROWS": ROWS, "DEPTH": DEPTH},
        grid=(32 * GROUPS, -(-stride * out_channels // COLUMNS), batch * blocks),
        threadgroup=(32 * GROUPS, 1, 1),
        outputs=[((batch, frames, out_channels), x.dtype)],
    )
    return out


@functools.lru_cache(maxsize=64)
def _sizes(*sizes: int) -> mx.array:
    return mx.array(sizes, mx.int32)


def conv_transpose1d_ops(
    x: mx.array,
    weight: mx.array,
    bias: mx.array | None = None,
    *,
    stride: int,
    padding: int = 0,
    output_padding: int = 0,
    groups: int = 1,
    negative_slope: float = 1.0,
) -> mx.array:
    """`conv_transpose1d` in plain MLX."""
    if negative_slope != 1:
        x = nn.leaky_relu(x, negative_slope)
    y = mx.conv_transpose1d(x, weight, stride, padding, 1, output_padding, groups)
    return y if bias is None else y + bias
