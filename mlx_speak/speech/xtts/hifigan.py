"""XTTS's decoder: the GPT's latents and a speaker's embedding to samples, window by window.

HiFi-GAN (Kong et al., 2020, arXiv:2010.05646), told of the speaker before and after every
upsampling. It is a convolutional network of finite reach, and interpolation is local: so a window
of an utterance needs a few latents around it, and windows are the same samples as the whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn

from ...nn.conv import Conv1d, ConvTranspose1d
from ...nn.resize import interpolate, interpolated_from, resized_length


@dataclass(frozen=True)
class DecoderConfig:
    """Sizes that coqui's code has, not its config.json."""

    upsample_initial_channel: int = 512
    upsample_rates: tuple[int, ...] = (8, 8, 2, 2)
    upsample_kernel_sizes: tuple[int, ...] = (16, 16, 4, 4)
    resblock_kernel_sizes: tuple[int, ...] = (3, 7, 11)
    resblock_dilations: tuple[int, ...] = (1, 3, 5)

    @property
    def samples_per_frame(self) -> int:
        """Samples that come out for each frame that goes in."""
        return math.prod(self.upsample_rates)


class ResidualBlock(nn.Module):
    """Pairs of a dilated and a plain convolution, each behind a leaky ReLU."""

    def __init__(self, channels: int, kernel_size: int, dilations: Sequence[int]):
        super().__init__()
        half = kernel_size // 2
        self.dilated = [
            Conv1d(channels, channels, kernel_size, padding=half * dilation, dilation=dilation)
            for dilation in dilations
        ]
        self.plain = [Conv1d(channels, channels, kernel_size, padding=half) for _ in dilations]

    @property
    def reach(self) -> int:
        """Frames on either side of one that it depends on."""
        return sum(conv.padding for conv in (*self.dilated, *self.plain))

    def __call__(self, x: mx.array) -> mx.array:
        """(batch, frames, channels) → the same."""
        for dilated, plain in zip(self.dilated, self.plain, strict=True):
            x = x + plain(nn.leaky_relu(dilated(nn.leaky_relu(x, 0.1)), 0.1))
        return x


class Stage(nn.Module):
    """One upsampling: (batch, frames, in_channels) → (batch, frames · rate, channels)."""

    def __init__(self, config: DecoderConfig, index: int, speaker_dims: int):
        super().__init__()
        channels = config.upsample_initial_channel >> (index + 1)
        rate, kernel_size = config.upsample_rates[index], config.upsample_kernel_sizes[index]
        self.rate = rate
        self.up = ConvTranspose1d(
            2 * channels, channels, kernel_size, stride=rate, padding=(kernel_size - rate) // 2
        )
        self.condition = nn.Linear(speaker_dims, channels)
        self.blocks = [
            ResidualBlock(channels, size, config.resblock_dilations)
            for size in config.resblock_kernel_sizes
        ]

    def input_of(self, begin: int, end: int) -> tuple[int, int]:
        """The input frames, within an endless input, that output frames `begin` … `end` need."""
        reach = max(block.reach for block in self.blocks)
        # One input frame on either side, for the overlap of the upsampling.
        return (begin - reach) // self.rate - 1, -(-(end + reach) // self.rate) + 1

    def __call__(self, x: mx.array, speaker: mx.array) -> mx.array:
        x = self.up(nn.leaky_relu(x, 0.1)) + self.condition(speaker)[:, None]
        total = self.blocks[0](x)
        for block in self.blocks[1:]:
            total = total + block(x)
        return total * (1 / len(self.blocks))


class Decoder(nn.Module):
    """Latents to samples.

    Args:
        dims, speaker_dims: of a latent and of a speaker's embedding.
        scales: by which a latent becomes frames, one interpolation after the other.
    """

    def __init__(
        self, config: DecoderConfig, dims: int, speaker_dims: int, scales: Sequence[float]
    ):
        super().__init__()
        self.scales = tuple(scales)
        self.samples_per_frame = config.samples_per_frame
        self.conv_pre = Conv1d(dims, config.upsample_initial_channel, 7, padding=3)
        self.condition = nn.Linear(speaker_dims, config.upsample_initial_channel)
        self.stages = [Stage(config, i, speaker_dims) for i in range(len(config.upsample_rates))]
        channels = config.upsample_initial_channel >> len(config.upsample_rates)
        self.conv_post = Conv1d(channels, 1, 7, padding=3, bias=False)

    def __call__(self, latents: mx.array, speaker: mx.array, speed: float = 1.0) -> mx.array:
        """Decode a whole utterance.

        Args:
            latents: (batch, codes, dims).
            speaker: (batch, speaker_dims).
            speed: above 1 is faster.

        Returns:
            (batch, frames(codes, speed) · samples_per_frame).
        """
        frames = self.frames(latents.shape[1], speed)
        return self.render(latents, speaker, begin=0, end=frames, speed=speed, complete=True)

    def frames(self, codes: int, speed: float = 1.0) -> int:
        """How many frames so many codes are."""
        for scale in self._scales(speed):
            codes = resized_length(codes, scale)
        return codes

    def ready(self, codes: int, speed: float = 1.0) -> int:
        """How many frames of so many codes stay as they are whatever codes come after them."""
        for scale in self._scales(speed):  # what lies between two that are there
            codes = max(math.floor((codes - 0.5) * scale - 0.5), 0)
        return max(codes - (self._spans(0, 1, _ENDLESS)[0][1] - 1), 0)

    def render(
        self,
        latents: mx.array,
        speaker: mx.array,
        *,
        begin: int,
        end: int,
        speed: float = 1.0,
        complete: bool = False,
    ) -> mx.array:
        """Decode the frames `begin` … `end`.

        Args:
            latents: (batch, codes, dims), from the utterance's first on.
            speaker, speed: as `__call__` takes them.
            begin, end: no further than `ready` says, or `frames` where `latents` are complete.

        Returns:
            (batch, (end − begin) · samples_per_frame).
        """
        frames = self.frames(latents.shape[1], speed) if complete else _ENDLESS
        spans = self._spans(begin, end, frames)
        x = self._interpolate(latents, *spans[0], speed, complete)
        speaker = speaker.astype(self.conv_pre.weight.dtype)
        x = self.conv_pre(x) + self.condition(speaker)[:, None]
        low = spans[0][0]
        for stage, (first, last) in zip(self.stages, spans[1:], strict=True):
            x = stage(x[:, first - low : last - low], speaker)
            low = first * stage.rate
        x = mx.tanh(self.conv_post(nn.leaky_relu(x, 0.01))[..., 0])
        cut = begin * self.samples_per_frame - low
        return x[:, cut : cut + (end - begin) * self.samples_per_frame]

    def _scales(self, speed: float) -> tuple[float, ...]:
        return self.scales if speed == 1 else (1 / speed, *self.scales)

    def _interpolate(
        self, latents: mx.array, begin: int, end: int, speed: float, complete: bool
    ) -> mx.array:
        """The frames `begin` … `end` that go in, from those latents only that they lie between."""
        scales = self._scales(speed)
        lengths = [latents.shape[1]]
        for scale in scales:
            lengths.append(resized_length(lengths[-1], scale) if complete else _ENDLESS)
        spans = [(begin, end)]
        for scale, length in zip(scales[::-1], lengths[-2::-1], strict=True):
            spans.insert(0, interpolated_from(*spans[0], scale, length - 1))
        x = latents[:, slice(*spans[0])].astype(self.conv_pre.weight.dtype)
        for index, scale in enumerate(scales):
            first, last = spans[index + 1]
            x = interpolate(x, scale, begin=first, end=last, offset=spans[index][0])
        return x

    def _spans(self, begin: int, end: int, frames: int) -> list[tuple[int, int]]:
        """The input frames that the frames `begin` … `end` need, of all and then of each stage."""
        ratio = self.samples_per_frame
        reach = self.conv_post.padding
        low, high = begin * ratio - reach, end * ratio + reach
        spans = []
        for stage in reversed(self.stages):
            ratio //= stage.rate
            low, high = stage.input_of(low, high)
            low, high = max(low, 0), min(high, frames * ratio)
            spans.append((low, high))
        reach = self.conv_pre.padding
        spans.append((max(low - reach, 0), min(high + reach, frames)))
        return spans[::-1]


_ENDLESS = 1 << 40
"""Frames of an utterance whose end is not known."""
