"""Convolution blocks styled by AdaIN, shared by the prosody predictor, decoder and generator."""

from __future__ import annotations

import math
from collections.abc import Sequence

import mlx.core as mx
import mlx.nn as nn

from ...nn.conv import Conv1d, ConvTranspose1d
from ...nn.norm import AdaptiveInstanceNorm, Moments


class StyledBlock(nn.Module):
    """Two styled convolutions beside a shortcut; optionally twice as many frames come out.

    `AdainResBlk1d` of StyleTTS 2 (Li et al., 2023, arXiv:2306.07691).
    """

    def __init__(self, in_dim: int, out_dim: int, style_dim: int, *, upsample: bool = False):
        super().__init__()
        self.upsample = upsample
        self.norm1 = AdaptiveInstanceNorm(style_dim, in_dim)
        self.norm2 = AdaptiveInstanceNorm(style_dim, out_dim)
        self.conv1 = Conv1d(in_dim, out_dim, 3, padding=1)
        self.conv2 = Conv1d(out_dim, out_dim, 3, padding=1)
        if in_dim != out_dim:
            self.shortcut = Conv1d(in_dim, out_dim, 1, bias=False)
        if upsample:
            self.pool = ConvTranspose1d(
                in_dim, in_dim, 3, stride=2, padding=1, output_padding=1, groups=in_dim
            )

    def __call__(self, x: mx.array, style: mx.array) -> mx.array:
        """(batch, frames, in_dim), (batch, style_dim) → (batch, frames or 2 · frames, out_dim)."""
        y = self.norm1(x, style, negative_slope=0.2)
        if self.upsample:
            y = self.pool(y)
        y = self.norm2(self.conv1(y), style, negative_slope=0.2)
        if "shortcut" in self:
            x = self.shortcut(x)
        if self.upsample:  # repeating frames commutes with the 1×1 convolution: after it is cheaper
            x = mx.repeat(x, 2, axis=1)
        return self.conv2(y, residual=x) * (1 / math.sqrt(2))


class SnakeBlock(nn.Module):
    """Pairs of a dilated and a plain convolution, each styled and passed through snake.

    `AdaINResBlock1` of StyleTTS 2: the residual block of HiFi-GAN (Kong et al., 2020,
    arXiv:2010.05646) with AdaIN and the snake activation.
    """

    def __init__(self, channels: int, kernel_size: int, dilations: Sequence[int], style_dim: int):
        super().__init__()
        self.dilated = [
            Conv1d(
                channels,
                channels,
                kernel_size,
                padding=(kernel_size - 1) * dilation // 2,
                dilation=dilation,
            )
            for dilation in dilations
        ]
        self.plain = [
            Conv1d(channels, channels, kernel_size, padding=(kernel_size - 1) // 2)
            for _ in dilations
        ]
        self.norm1 = [AdaptiveInstanceNorm(style_dim, channels) for _ in dilations]
        self.norm2 = [AdaptiveInstanceNorm(style_dim, channels) for _ in dilations]
        self.alpha1 = [mx.ones((channels,)) for _ in dilations]
        self.alpha2 = [mx.ones((channels,)) for _ in dilations]

    @property
    def reach(self) -> int:
        """Frames on either side of one that it depends on, but for the norms' statistics."""
        convs = (*self.dilated, *self.plain)
        return sum(conv.dilation * (conv.weight.shape[1] // 2) for conv in convs)

    def __call__(self, x: mx.array, style: mx.array, moments: Moments | None = None) -> mx.array:
        """(batch, frames, channels), (batch, style_dim) → (batch, frames, channels).

        `moments` are those of `AdaptiveInstanceNorm`, asked in the order of the layers.
        """
        for index, (dilated, plain) in enumerate(zip(self.dilated, self.plain, strict=True)):
            norm1, norm2 = self.norm1[index], self.norm2[index]
            y = dilated(norm1(x, style, snake=self.alpha1[index], moments=moments))
            x = plain(norm2(y, style, snake=self.alpha2[index], moments=moments), residual=x)
        return x
