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
        self.up = ConvTranspose1d(
            2 * channels, channels, kernel_size, stride=rate, padding=(kernel_size - rate) // 2
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

    def __call__(self, x: mx.array, source: mx.array, style: mx.array) -> mx.array:
        """Upsample and shape.

        Args:
            x: (batch, frames, 2 · channels).
            source: (batch, source_frames, n_fft + 2), magnitudes and phases of the excitation.
            style: (batch, style_dim).

        Returns:
            (batch, frames · rate, channels), one frame more in the last stage.
        """
        x = self.up(nn.leaky_relu(x, 0.1))
        if self.is_last:  # one frame more, as the source's centred transform has
            x = mx.concatenate([x[:, 1:2], x], axis=1)
        x = x + self.source_block(self.source_conv(source), style)
        total = self.blocks[0](x, style)
        for block in self.blocks[1:]:
            total = total + block(x, style)
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
        source = self.spectrum(excitation)
        for stage in self.stages:
            x = stage(x, source, style)
        x = self.conv_post(nn.leaky_relu(x, 0.01))
        log_magnitude, phase = mx.split(x, 2, axis=-1)
        magnitude, phase = mx.exp(log_magnitude), mx.sin(phase)
        return istft(
            magnitude * mx.cos(phase), magnitude * mx.sin(phase), self.n_fft, self.hop_length
        )
