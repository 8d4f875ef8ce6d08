"""Convolutions over time, channels last: (batch, length, channels).

MLX's own convolutions serve everywhere but on the CPU, where MLX 0.32 runs dilated and transposed
ones in a plain loop (fifty times the time of a matrix product) and copies the whole unfolded input
of the others. There `conv.c` computes the long ones; the others, and all where it cannot be
compiled, `_cpu_conv1d` turns into large matrix products.
"""

from __future__ import annotations

import ctypes
import math
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from .. import kernels
from ..kernels import dispatch
from . import native

# Below this many frames it does not pay to lay the weights out for `conv.c` (measured on x86-64
# with AVX-512 for 128 to 1024 channels and 3 to 11 taps).
_LEAST_FRAMES = 400

# Below this many rows a product is too small to earn its own pass over the weights (measured on
# x86-64 with AVX2 and AVX-512 for 128 to 1024 channels and 3 to 11 taps).
_LEAST_ROWS = 128


def conv1d(
    x: mx.array,
    weight: mx.array,
    bias: mx.array | None = None,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    residual: mx.array | None = None,
) -> mx.array:
    """Cross-correlation over time, as `torch.nn.functional.conv1d` but channels last.

    Args:
        x: (batch, length, in_channels).
        weight: (out_channels, kernel_size, in_channels / groups).
        bias: (out_channels,).
        stride: step between output frames.
        padding: zeros added at both ends.
        dilation: distance between taps.
        groups: blocks of channels convolved apart.
        residual: (batch, frames, out_channels) to add to what comes out.

    Returns:
        (batch, frames, out_channels), with frames =
        (length + 2 · padding − dilation · (kernel_size − 1) − 1) // stride + 1.
    """
    if _on_cpu():
        frames = _check(x, weight, stride, padding, dilation, groups)
        if groups == 1 and frames >= _LEAST_FRAMES and native.serves(x, weight, bias, residual):
            image = x[:, None], weight[:, None], bias, residual
            return _convolve_in_c(*image, (1, frames), stride, (0, padding), dilation)[:, 0]
        y = _cpu_conv1d(x, weight, stride, padding, dilation, groups)
    else:
        y = mx.conv1d(x, weight, stride, padding, dilation, groups)
    if bias is None or residual is None:
        added = residual if bias is None else bias
        return y if added is None else y + added
    return add_bias_and_residual(y, bias, residual)


@dispatch.fused_on_gpu
def add_bias_and_residual(x: mx.array, bias: mx.array, residual: mx.array) -> mx.array:
    """One pass over a long signal in place of two."""
    return x + bias + residual


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
    """Transposed convolution over time, as `torch.nn.functional.conv_transpose1d`, channels last.

    Args:
        x: (batch, length, in_channels).
        weight: (out_channels, kernel_size, in_channels / groups).
        bias: (out_channels,).
        stride: output frames per input frame.
        padding: frames cut from both ends.
        output_padding: frames then added at the end; less than `stride`.
        groups: blocks of channels convolved apart.
        negative_slope: of a leaky ReLU that `x` passes first; with 1 it passes none.

    Returns:
        (batch, (length − 1) · stride − 2 · padding + kernel_size + output_padding, out_channels).
    """
    if not _on_cpu():
        return kernels.conv_transpose1d(
            x,
            weight,
            bias,
            stride=stride,
            padding=padding,
            output_padding=output_padding,
            groups=groups,
            negative_slope=negative_slope,
        )
    if negative_slope != 1:
        x = nn.leaky_relu(x, negative_slope)
    y = _cpu_conv_transpose1d(x, weight, stride, padding, output_padding, groups)
    return y if bias is None else y + bias


def _on_cpu() -> bool:
    return dispatch.gpu() is None


def _check(
    x: mx.array, weight: mx.array, stride: int, padding: int, dilation: int, groups: int
) -> int:
    """The number of output frames of a convolution that can be done."""
    _, taps, channels = weight.shape
    if x.ndim != 3 or x.shape[-1] != channels * groups:
        raise ValueError(f"input {x.shape} does not fit weight {weight.shape}, {groups} group(s)")
    return _output_frames(x.shape[1], taps, stride, padding, dilation)


def _convolve_in_c(
    x: mx.array,
    weight: mx.array,
    bias: mx.array | None,
    residual: mx.array | None,
    out_size: tuple[int, int],
    stride: int,
    padding: tuple[int, int],
    dilation: int,
) -> mx.array:
    """By `conv.c`, of images: a signal has one row. Sizes and padding are of rows and columns."""
    out_channels, *taps, _ = weight.shape
    shape = (*x.shape, *out_size, out_channels, *taps, stride, *padding, dilation)
    out = np.empty((len(x), *out_size, out_channels), np.float32)
    native.call("convolve", (ctypes.c_int * len(shape))(*shape), x, weight, bias, residual, out)
    return mx.array(out)


def _cpu_conv1d(
    x: mx.array, weight: mx.array, stride: int, padding: int, dilation: int, groups: int
) -> mx.array:
    """`conv1d` as matrix products, without unfolding the input in memory where it is long.

    Each output frame is the product of a row, its `kernel_size` input frames side by side, with
    the weights. Rows of neighbouring frames overlap, but those of every `period`-th frame follow
    one another in memory without a gap: they are a matrix already. So one product for each of the
    `period` phases does the whole, and nothing is copied. A dilated convolution is the same on
    `dilation` interleaved signals; these, and those of a batch, are laid end to end.
    """
    out_channels, taps, channels = weight.shape
    if groups > 1:
        if groups == x.shape[-1] == out_channels:
            return _depthwise_conv1d(x, weight, stride, padding, dilation)
        return mx.conv1d(x, weight, stride, padding, dilation, groups)
    if x.dtype != mx.float32:  # the BLAS has no other floats, and MLX's own products are slow
        x32, weight = x.astype(mx.float32), weight.astype(mx.float32)
        return _cpu_conv1d(x32, weight, stride, padding, dilation, 1).astype(x.dtype)

    batch, length, _ = x.shape
    frames = _output_frames(length, taps, stride, padding, dilation)
    period = max(taps // stride, 1)
    rows = -(-frames // (period * dilation)) + 1  # of each signal and phase; the last is not used
    signals = batch * dilation
    if signals * rows < _LEAST_ROWS or period * stride != taps or min(stride, dilation) > 1:
        return _unfolded_conv1d(x, weight, stride, padding, dilation)

    row = taps * channels
    x = _pad(x, padding, rows * taps * dilation - padding - length)
    x = x.reshape(batch, rows * taps, dilation, channels).swapaxes(1, 2)
    x = mx.as_strided(x, (period, signals * rows - 1, row), (stride * channels, row, 1))
    # The weights get the phases' axis: with two axes, MLX would copy the phases into one matrix.
    y = x @ weight.reshape(1, out_channels, row).swapaxes(1, 2)
    strides = (dilation * rows, 1, signals * rows - 1, rows)
    y = mx.as_strided(
        y,
        (batch, rows - 1, period, dilation, out_channels),
        (*(out_channels * n for n in strides), 1),
    )
    return y.reshape(batch, -1, out_channels)[:, :frames]


def _unfolded_conv1d(
    x: mx.array, weight: mx.array, stride: int, padding: int, dilation: int
) -> mx.array:
    """`conv1d` as one product over a copy of the input that repeats every frame for every tap."""
    if dilation == 1:
        return mx.conv1d(x, weight, stride, padding)  # which does just that
    out_channels, taps, channels = weight.shape
    x = _pad(x, padding, padding)
    batch, length, _ = x.shape
    rows = mx.as_strided(
        x,
        (batch, _output_frames(length, taps, stride, 0, dilation), taps, channels),
        (length * channels, stride * channels, dilation * channels, 1),
    )
    return rows.flatten(2) @ weight.reshape(out_channels, -1).T


def _depthwise_conv1d(
    x: mx.array, weight: mx.array, stride: int, padding: int, dilation: int
) -> mx.array:
    """`conv1d` where every channel has a kernel of its own, weight (channels, kernel_size, 1)."""
    taps = weight.shape[1]
    x = _pad(x, padding, padding)
    frames = _output_frames(x.shape[1], taps, stride, 0, dilation)
    span = (frames - 1) * stride + 1
    shifted = (x[:, tap * dilation :][:, :span:stride] * weight[:, tap, 0] for tap in range(taps))
    return sum(shifted, start=mx.array(0, x.dtype))


def _cpu_conv_transpose1d(
    x: mx.array, weight: mx.array, stride: int, padding: int, output_padding: int, groups: int
) -> mx.array:
    """`conv_transpose1d` as a `conv1d` that computes `stride` output frames at once.

    Output frame q · stride + p sums the taps p, p + stride, … over the input frames q, q − 1, …:
    for each p a convolution with every `stride`-th tap, in reverse.
    """
    batch, length, _ = x.shape
    out_channels, kernel_size, _ = weight.shape
    taps = -(-kernel_size // stride)
    weight = _pad(weight, 0, taps * stride - kernel_size)
    weight = weight.reshape(out_channels, taps, stride, -1)[:, ::-1]
    if groups == 1:
        stacked = weight.transpose(2, 0, 1, 3).reshape(stride * out_channels, taps, -1)
        y = conv1d(x, stacked, padding=taps - 1)
    else:
        phases = [
            conv1d(x, weight[:, :, p], padding=taps - 1, groups=groups) for p in range(stride)
        ]
        y = mx.stack(phases, axis=2)
    y = y.reshape(batch, -1, out_channels)
    frames = (length - 1) * stride - 2 * padding + kernel_size + output_padding
    y = _pad(y, 0, output_padding)
    return y[:, padding : padding + frames]


def _pad(x: mx.array, before: int, after: int) -> mx.array:
    return mx.pad(x, [(0, 0), (before, after), (0, 0)]) if before or after else x


def _output_frames(length: int, taps: int, stride: int, padding: int, dilation: int) -> int:
    frames = (length + 2 * padding - dilation * (taps - 1) - 1) // stride + 1
    if frames < 1:
        raise ValueError(f"{length} frames and {padding} of padding are shorter than the kernel")
    return frames


class _Convolution(nn.Module):
    """`weight` (out, kernel, in / groups), `bias` (out,), and how to apply them."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        bias: bool = True,
    ):
        super().__init__()
        scale = 1 / math.sqrt(in_channels // groups * kernel_size)
        shape = (out_channels, kernel_size, in_channels // groups)
        self.weight = mx.random.uniform(-scale, scale, shape)
        if bias:
            self.bias = mx.zeros((out_channels,))
        self.stride = stride
        self.padding = padding
        self.groups = groups


class Conv1d(_Convolution):
    """`conv1d` with parameters; keyword arguments are those of the function, and `bias`."""

    def __init__(self, *channels_and_kernel_size: int, dilation: int = 1, **options: Any):
        super().__init__(*channels_and_kernel_size, **options)
        self.dilation = dilation

    def __call__(self, x: mx.array, residual: mx.array | None = None) -> mx.array:
        """(batch, length, in_channels) → (batch, frames, out_channels), `residual` added."""
        return conv1d(
            x,
            self.weight,
            self.get("bias"),
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
            residual=residual,
        )


class ConvTranspose1d(_Convolution):
    """`conv_transpose1d` with parameters; keyword arguments as the function's, and `bias`."""

    def __init__(
        self,
        *channels_and_kernel_size: int,
        output_padding: int = 0,
        negative_slope: float = 1.0,
        **options: Any,
    ):
        super().__init__(*channels_and_kernel_size, **options)
        self.output_padding = output_padding
        self.negative_slope = negative_slope

    def __call__(self, x: mx.array) -> mx.array:
        """(batch, length, in_channels) → (batch, frames, out_channels)."""
        return conv_transpose1d(
            x,
            self.weight,
            self.get("bias"),
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
            groups=self.groups,
            negative_slope=self.negative_slope,
        )


class Conv2d(nn.Conv2d):
    """`mlx.nn.Conv2d`; on the CPU, where MLX copies the unfolded image, by `conv.c`.

    Stride and dilation are the same in both directions.
    """

    def __call__(self, x: mx.array) -> mx.array:
        """(batch, rows, columns, in_channels) → (batch, out_rows, out_columns, out_channels)."""
        bias, dilation = self.get("bias"), self.dilation
        dilation = dilation if isinstance(dilation, int) else dilation[0]
        if self.groups > 1 or not native.serves(x, self.weight, bias):
            return super().__call__(x)
        stride = self.stride[0]
        rows, columns = (
            _output_frames(length, taps, stride, padding, dilation)
            for length, taps, padding in zip(
                x.shape[1:3], self.weight.shape[1:3], self.padding, strict=True
            )
        )
        steps = (stride, self.padding, dilation)
        return _convolve_in_c(x, self.weight, bias, None, (rows, columns), *steps)
