"""Convolutions over time, channels last: (batch, length, channels)."""

from __future__ import annotations

import math

import mlx.core as mx
import mlx.nn as nn


def conv1d(
    x: mx.array,
    weight: mx.array,
    bias: mx.array | None = None,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
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

    Returns:
        (batch, frames, out_channels), with frames =
        (length + 2 · padding − dilation · (kernel_size − 1) − 1) // stride + 1.
    """
    y = mx.conv1d(x, weight, stride, padding, dilation, groups)
    return y if bias is None else y + bias


def conv_transpose1d(
    x: mx.array,
    weight: mx.array,
    bias: mx.array | None = None,
    *,
    stride: int,
    padding: int = 0,
    output_padding: int = 0,
    groups: int = 1,
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

    Returns:
        (batch, (length − 1) · stride − 2 · padding + kernel_size + output_padding, out_channels).
    """
    y = mx.conv_transpose1d(x, weight, stride, padding, 1, output_padding, groups)
    return y if bias is None else y + bias


class Conv1d(nn.Module):
    """`conv1d` with `weight` (out, kernel, in / groups) and `bias` (out,)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
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
        self.dilation = dilation
        self.groups = groups

    def __call__(self, x: mx.array) -> mx.array:
        return conv1d(
            x,
            self.weight,
            self.get("bias"),
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
        )


class ConvTranspose1d(nn.Module):
    """`conv_transpose1d` with `weight` (out, kernel, in / groups) and `bias` (out,)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        output_padding: int = 0,
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
        self.output_padding = output_padding
        self.groups = groups

    def __call__(self, x: mx.array) -> mx.array:
        return conv_transpose1d(
            x,
            self.weight,
            self.get("bias"),
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
            groups=self.groups,
        )
