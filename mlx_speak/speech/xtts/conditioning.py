"""What XTTS's GPT is told of a speaker: recordings to 32 latents.

An attention encoder as in Tortoise (Betker, 2023, arXiv:2305.07243), then a Perceiver resampler
(Alayrac et al., 2022, arXiv:2204.14198), which makes any length 32 vectors.
"""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from ...nn.attention import attend, merge_heads, split_heads
from ...nn.transformer import FeedForward, SelfAttention

LATENTS = 32
_HEADS, _HEAD_DIMS = 8, 64  # of the resampler, whatever the size of the model


class EncoderBlock(nn.Module):
    """Self-attention whose residual connection starts behind the norm."""

    def __init__(self, dims: int, heads: int):
        super().__init__()
        self.norm = nn.GroupNorm(_groups(dims), dims, pytorch_compatible=True)
        self.attention = SelfAttention(dims, heads)

    def __call__(self, x: mx.array) -> mx.array:
        x = self.norm(x)
        return x + self.attention(x)


class ConditioningEncoder(nn.Module):
    """(batch, frames, bands) → (batch, frames, dims)."""

    def __init__(self, bands: int, dims: int, heads: int, blocks: int = 6):
        super().__init__()
        self.init = nn.Linear(bands, dims)
        self.blocks = [EncoderBlock(dims, heads) for _ in range(blocks)]

    def __call__(self, mel: mx.array) -> mx.array:
        x = self.init(mel)
        for block in self.blocks:
            x = block(x)
        return x


class ResamplerAttention(nn.Module):
    """The latents attend to themselves and to what they resample."""

    def __init__(self, dims: int):
        super().__init__()
        inner = _HEADS * _HEAD_DIMS
        self.query = nn.Linear(dims, inner, bias=False)
        self.key_value = nn.Linear(dims, 2 * inner, bias=False)
        self.output = nn.Linear(inner, dims, bias=False)

    def __call__(self, latents: mx.array, context: mx.array) -> mx.array:
        seen = mx.concatenate([latents, context], axis=1)
        keys, values = mx.split(self.key_value(seen), 2, axis=-1)
        queries, keys, values = (
            split_heads(x, _HEADS) for x in (self.query(latents), keys, values)
        )
        return self.output(merge_heads(attend(queries, keys, values)))


class GatedFeedForward(FeedForward):
    """GEGLU (Shazeer, 2020): half of the hidden values open gates for the other half."""

    def __init__(self, dims: int):
        hidden = 4 * dims * 2 // 3
        super().__init__(dims, hidden, _gated_gelu)
        self.up = nn.Linear(dims, 2 * hidden)


def _gated_gelu(x: mx.array) -> mx.array:
    values, gates = mx.split(x, 2, axis=-1)
    return values * nn.gelu(gates)


class ResamplerLayer(nn.Module):
    def __init__(self, dims: int):
        super().__init__()
        self.attention = ResamplerAttention(dims)
        self.feed_forward = GatedFeedForward(dims)

    def __call__(self, latents: mx.array, context: mx.array) -> mx.array:
        latents = latents + self.attention(latents, context)
        return latents + self.feed_forward(latents)


class PerceiverResampler(nn.Module):
    """(batch, frames, dims) → (batch, 32, dims)."""

    def __init__(self, dims: int, depth: int = 2):
        super().__init__()
        self.latents = mx.random.normal((LATENTS, dims)) * 0.02
        self.layers = [ResamplerLayer(dims) for _ in range(depth)]
        # Dividing by the length and multiplying by √dims is RMS norm without its epsilon.
        self.norm = nn.RMSNorm(dims, eps=1e-24)

    def __call__(self, context: mx.array) -> mx.array:
        latents = mx.broadcast_to(self.latents, (context.shape[0], *self.latents.shape))
        for layer in self.layers:
            latents = layer(latents, context)
        return self.norm(latents)


class Conditioner(nn.Module):
    """A mel spectrogram (batch, frames, bands) to latents (batch, 32, dims)."""

    def __init__(self, bands: int, dims: int, heads: int):
        super().__init__()
        self.encoder = ConditioningEncoder(bands, dims, heads)
        self.resampler = PerceiverResampler(dims)

    def __call__(self, mel: mx.array) -> mx.array:
        return self.resampler(self.encoder(mel))


def _groups(channels: int) -> int:
    """Groups that coqui's code normalises so many channels in: 32 at XTTS's true size."""
    groups = 8 if channels <= 16 else 16 if channels <= 64 else 32
    while channels % groups:
        groups //= 2
    return groups
