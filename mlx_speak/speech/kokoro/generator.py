"""iSTFTNet: features and a harmonic source to a waveform.

iSTFTNet (Kaneko et al., 2022, arXiv:2203.02395) upsamples to a few hundred frames a second of
spectrum and leaves the rest to an inverse Fourier transform; StyleTTS 2 styles its blocks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn

from ...nn.conv import Conv1d, ConvTranspose1d
from ...nn.norm import Moments
from ...nn.spectral import istft, stft
from .blocks import SnakeBlock
from .source import HarmonicSource


@dataclass(frozen=True)
class GeneratorConfig:
    """The `istftnet` part of Kokoro's config.json."""

    upsample_rates: tuple[int, ...] = (10, 6)
    upsample_kernel_sizes: tuple[int, ...] = (20, 12)
    upsample_initial_channel: int = 512
    resblock_kernel_sizes: tuple[int, ...] = (3, 7, 11)
    resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    gen_istft_n_fft: int = 20
    gen_istft_hop_size: int = 5

    @property
    def samples_per_frame(self) -> int:
        """Samples that come out for each frame that goes in."""
        return math.prod(self.upsample_rates) * self.gen_istft_hop_size


class Stage(nn.Module):
    """One upsampling: the features and the source's spectrum meet at the same frame rate."""

    def __init__(self, config: GeneratorConfig, index: int, style_dim: int):
        super().__init__()
        channels = config.upsample_initial_channel >> (index + 1)
        rate, kernel_size = config.upsample_rates[index], config.upsample_kernel_sizes[index]
        self.rate = rate
        self.up = ConvTranspose1d(
            2 * channels,
            channels,
            kernel_size,
            stride=rate,
            padding=(kernel_size - rate) // 2,
            negative_slope=0.1,
        )
        left = math.prod(config.upsample_rates[index + 1 :])  # upsampling still to come
        self.is_last = left == 1
        bins = config.gen_istft_n_fft + 2
        self.source_conv = (
            Conv1d(bins, channels, 1)
            if self.is_last
            else Conv1d(bins, channels, 2 * left, stride=left, padding=(left + 1) // 2)
        )
        self.source_block = SnakeBlock(channels, 11 if self.is_last else 7, (1, 3, 5), style_dim)
        self.blocks = [
            SnakeBlock(channels, size, dilations, style_dim)
            for size, dilations in zip(
                config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True
            )
        ]

    def input_of(self, begin: int, end: int) -> tuple[int, int]:
        """The input frames, within an endless input, that output frames `begin` … `end` need."""
        # One frame more than the blocks reach, for the edge of the source's convolution, and one
        # input frame, for the overlap of the upsampling.
        reach = 1 + self.source_block.reach + max(block.reach for block in self.blocks)
        return (begin - reach) // self.rate - 1, -(-(end + reach) // self.rate) + 1

    def __call__(
        self, x: mx.array, source: mx.array, style: mx.array, moments: Moments | None = None
    ) -> mx.array:
        """Upsample and shape.

        Args:
            x: (batch, frames, 2 · channels).
            source: (batch, source_frames, n_fft + 2), magnitudes and phases of the excitation.
            style: (batch, style_dim).
            moments: as `SnakeBlock` takes them.

        Returns:
            (batch, frames · rate, channels), one frame more in the last stage.
        """
        x = self.up(x)
        if self.is_last:  # one frame more, as the source's centred transform has
            x = mx.concatenate([x[:, 1:2], x], axis=1)
        x = x + self.source_block(self.source_conv(source), style, moments)
        total = self.blocks[0](x, style, moments)
        for block in self.blocks[1:]:
            total = total + block(x, style, moments)
        return total * (1 / len(self.blocks))


class Generator(nn.Module):
    """Features at 80 frames a second, pitch and style to samples."""

    def __init__(self, config: GeneratorConfig, style_dim: int, sample_rate: int):
        super().__init__()
        self.n_fft = config.gen_istft_n_fft
        self.hop_length = config.gen_istft_hop_size
        self.source = HarmonicSource(sample_rate, config.samples_per_frame)
        self.stages = [Stage(config, i, style_dim) for i in range(len(config.upsample_rates))]
        channels = config.upsample_initial_channel >> len(config.upsample_rates)
        self.conv_post = Conv1d(channels, self.n_fft + 2, 7, padding=3)

    def spectrum(self, excitation: mx.array) -> mx.array:
        """(batch, samples) → (batch, 1 + samples / hop, n_fft + 2), magnitudes and phases."""
        real, imag = stft(excitation, self.n_fft, self.hop_length)
        # The first frame is its own mirror image, so its spectrum is real but for rounding.
        # Whether a phase there is π or −π must not depend on that.
        imag = mx.concatenate([mx.zeros_like(imag[:, :1]), imag[:, 1:]], axis=1)
        magnitude = mx.sqrt(mx.square(real) + mx.square(imag))
        return mx.concatenate([magnitude, mx.arctan2(imag, real)], axis=-1)

    def __call__(self, x: mx.array, style: mx.array, excitation: mx.array) -> mx.array:
        """Render the waveform.

        Args:
            x: (batch, frames, upsample_initial_channel).
            style: (batch, style_dim).
            excitation: (batch, frames · samples_per_frame), of `source`.

        Returns:
            (batch, frames · samples_per_frame).
        """
        return self.render(x, self.spectrum(excitation), style)

    def render(
        self,
        x: mx.array,
        source: mx.array,
        style: mx.array,
        moments: Moments | None = None,
        *,
        begin: int = 0,
        end: int | None = None,
    ) -> mx.array:
        """Render the waveform of the frames `begin` … `end`.

        AdaIN normalises over the whole utterance. With `moments` that do not depend on it the
        generator is a convolutional network of finite reach, and the windows of an utterance,
        rendered one by one, are the same samples as the whole, to rounding.

        Args:
            x, style: as `__call__` takes them.
            source: (batch, 1 + frames · samples_per_frame / hop, n_fft + 2), of `spectrum`.
            moments: as `SnakeBlock` takes them; needed unless the window is the whole.
            begin, end: in frames of x.

        Returns:
            (batch, (end − begin) · samples_per_frame).
        """
        end = x.shape[1] if end is None else end
        spans = self._spans(begin, end, x.shape[1])
        x = x[:, slice(*spans[0])]
        for index, (stage, (low, high)) in enumerate(zip(self.stages, spans, strict=False)):
            left = self._ratio(index)
            x = stage(x, source[:, low * left : high * left + 1], style, moments)
            if not stage.is_last:
                first, last = spans[index + 1]
                x = x[:, first - low * stage.rate : last - low * stage.rate]
        x = self.conv_post(nn.leaky_relu(x, 0.01))
        log_magnitude, phase = mx.split(x, 2, axis=-1)
        samples = istft(log_magnitude, phase, self.n_fft, self.hop_length, polar=True)
        per_frame = self._ratio(0) * self.hop_length
        cut = (begin * self._ratio(0) - low * left) * self.hop_length
        return samples[:, cut : cut + (end - begin) * per_frame]

    @property
    def norm_channels(self) -> list[int]:
        """Channels of every norm, in the order in which `render` asks for its moments."""
        return [
            norm.fc.weight.shape[0] // 2
            for stage in self.stages
            for block in (stage.source_block, *stage.blocks)
            for pair in zip(block.norm1, block.norm2, strict=True)
            for norm in pair
        ]

    def _ratio(self, index: int) -> int:
        """Frames of the source's spectrum for one that goes into a stage."""
        return math.prod(stage.rate for stage in self.stages[index:])

    def _spans(self, begin: int, end: int, frames: int) -> list[tuple[int, int]]:
        """For each stage the input frames that the frames `begin` … `end` of x need of it."""
        # What comes after the last stage reaches as far as its kernel and half a window.
        reach = self.conv_post.weight.shape[1] // 2 + self.n_fft // (2 * self.hop_length) + 1
        low, high = begin * self._ratio(0) - reach, end * self._ratio(0) + reach
        spans = []
        for index in reversed(range(len(self.stages))):
            low, high = self.stages[index].input_of(low, high)
            whole = frames * self._ratio(0) // self._ratio(index)
            low, high = max(low, 0), min(high, whole)
            spans.append((low, high))
        return spans[::-1]
