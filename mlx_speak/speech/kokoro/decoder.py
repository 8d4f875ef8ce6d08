"""The decoder: aligned text features, pitch and energy to the features of the generator."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from ...nn.conv import Conv1d
from .blocks import StyledBlock
from .generator import Generator, GeneratorConfig

HIDDEN = 1024
TEXT_RESIDUAL = 64


class Decoder(nn.Module):
    """Styled blocks that each see the inputs again; the last one doubles the frames."""

    def __init__(self, dim: int, style_dim: int, config: GeneratorConfig, sample_rate: int):
        super().__init__()
        joined = HIDDEN + TEXT_RESIDUAL + 2
        out_dim = config.upsample_initial_channel
        self.encode = StyledBlock(dim + 2, HIDDEN, style_dim)
        self.decode = [
            StyledBlock(joined, HIDDEN, style_dim),
            StyledBlock(joined, HIDDEN, style_dim),
            StyledBlock(joined, HIDDEN, style_dim),
            StyledBlock(joined, out_dim, style_dim, upsample=True),
        ]
        self.f0_conv = Conv1d(1, 1, 3, stride=2, padding=1)
        self.energy_conv = Conv1d(1, 1, 3, stride=2, padding=1)
        self.text_residual = Conv1d(dim, TEXT_RESIDUAL, 1)
        self.generator = Generator(config, style_dim, sample_rate)

    def __call__(self, text: mx.array, f0: mx.array, energy: mx.array, style: mx.array) -> mx.array:
        """Features for the generator.

        Args:
            text: (batch, frames, dim), text features repeated for their durations.
            f0: (batch, 2 · frames) in hertz.
            energy: (batch, 2 · frames).
            style: (batch, style_dim).

        Returns:
            (batch, 2 · frames, upsample_initial_channel).
        """
        curves = [self.f0_conv(f0[:, :, None]), self.energy_conv(energy[:, :, None])]
        x = self.encode(mx.concatenate([text, *curves], axis=-1), style)
        inputs = [self.text_residual(text), *curves]
        for block in self.decode:
            x = block(mx.concatenate([x, *inputs], axis=-1), style)
        return x
