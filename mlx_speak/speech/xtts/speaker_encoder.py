"""Who speaks: a recording to one vector, for the decoder.

A residual network with squeeze-and-excitation and attentive statistics pooling, as in Heo et al.,
"Clova baseline system for the VoxCeleb Speaker Recognition Challenge 2020" (arXiv:2009.14153).
Images are (batch, frames, bands, channels). Batch norms are scales and shifts here, or part of
the convolution before them.
"""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import mlx.nn as nn

from ...nn.conv import Conv2d
from .mel import speaker_mel

_BANDS = 64


class Affine(nn.Module):
    """A scale and a shift for each channel."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = mx.ones((channels,))
        self.bias = mx.zeros((channels,))

    def __call__(self, x: mx.array) -> mx.array:
        return x * self.weight + self.bias


class ResidualBlock(nn.Module):
    """Two convolutions, and a gate for each channel that looks at the whole recording."""

    def __init__(self, in_channels: int, channels: int, stride: int):
        super().__init__()
        self.conv1 = Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.norm = Affine(channels)
        self.conv2 = Conv2d(channels, channels, 3, 1, 1)
        hidden = max(channels // 8, 1)
        self.squeeze = nn.Linear(channels, hidden)
        self.excite = nn.Linear(hidden, channels)
        if stride > 1 or in_channels != channels:
            self.shortcut = Conv2d(in_channels, channels, 1, stride)

    def __call__(self, x: mx.array) -> mx.array:
        y = self.conv2(self.norm(nn.relu(self.conv1(x))))
        gate = self.excite(nn.relu(self.squeeze(y.mean(axis=(1, 2)))))
        y = y * mx.sigmoid(gate)[:, None, None]
        return nn.relu(y + (self.shortcut(x) if "shortcut" in self else x))


class SpeakerEncoder(nn.Module):
    """Samples at 16 kHz to an embedding of length one."""

    def __init__(self, dims: int, layers: Sequence[int], num_filters: Sequence[int]):
        super().__init__()
        self.conv = Conv2d(1, num_filters[0], 3, 1, 1)
        self.norm = Affine(num_filters[0])
        before = (num_filters[0], *num_filters)
        self.layers = [
            [
                ResidualBlock(
                    before[i] if block == 0 else channels,
                    channels,
                    2 if i > 0 and block == 0 else 1,
                )
                for block in range(count)
            ]
            for i, (count, channels) in enumerate(zip(layers, num_filters, strict=True))
        ]
        features = num_filters[-1] * _BANDS // 2 ** (len(num_filters) - 1)
        self.attention_in = nn.Linear(features, 128)
        self.attention_norm = Affine(128)
        self.attention_out = nn.Linear(128, features)
        self.embedding = nn.Linear(2 * features, dims)

    def __call__(self, samples: mx.array) -> mx.array:
        """(batch, n) float32 at 16,000 Hz → (batch, dims)."""
        x = mx.log(speaker_mel(samples, _BANDS) + 1e-6)
        x = x - x.mean(axis=1, keepdims=True)
        x = x * mx.rsqrt(mx.square(x).mean(axis=1, keepdims=True) + 1e-5)
        x = x.astype(self.conv.weight.dtype)[..., None]
        x = self.norm(nn.relu(self.conv(x)))
        for layer in self.layers:
            for block in layer:
                x = block(x)
        x = x.swapaxes(2, 3).flatten(2)  # (batch, frames, channels · bands)
        weights = self.attention_out(self.attention_norm(nn.relu(self.attention_in(x))))
        weights = mx.softmax(weights, axis=1)
        mean = (x * weights).sum(axis=1)
        variance = (mx.square(x) * weights).sum(axis=1) - mx.square(mean)
        deviation = mx.sqrt(mx.maximum(variance, 1e-5))
        embedding = self.embedding(mx.concatenate([mean, deviation], axis=-1))
        return embedding / mx.linalg.norm(embedding, axis=-1, keepdims=True)
