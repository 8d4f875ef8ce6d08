"""Prosody: how long each phoneme lasts, and the pitch and energy of each frame."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from ...nn.conv import Conv1d
from ...nn.lstm import BiLSTM
from ...nn.norm import AdaptiveLayerNorm
from .blocks import StyledBlock


class DurationEncoder(nn.Module):
    """Bidirectional LSTMs with styled layer norms; the style joins the features at each layer."""

    def __init__(self, dim: int, style_dim: int, depth: int):
        super().__init__()
        self.lstms = [BiLSTM(dim + style_dim, dim // 2) for _ in range(depth)]
        self.norms = [AdaptiveLayerNorm(style_dim, dim) for _ in range(depth)]

    def __call__(self, x: mx.array, style: mx.array) -> mx.array:
        """(batch, length, dim), (batch, style_dim) → (batch, length, dim + style_dim)."""
        batch, length, _ = x.shape
        styles = mx.broadcast_to(style[:, None], (batch, length, style.shape[-1]))
        x = mx.concatenate([x, styles], axis=-1)
        for lstm, norm in zip(self.lstms, self.norms, strict=True):
            x = mx.concatenate([norm(lstm(x), style), styles], axis=-1)
        return x


class ProsodyPredictor(nn.Module):
    """StyleTTS 2's predictor of durations, pitch (F0) and energy (N in the reference)."""

    def __init__(self, dim: int, style_dim: int, depth: int, max_duration: int):
        super().__init__()
        self.text_encoder = DurationEncoder(dim, style_dim, depth)
        self.duration_lstm = BiLSTM(dim + style_dim, dim // 2)
        self.duration_proj = nn.Linear(dim, max_duration)
        self.frame_lstm = BiLSTM(dim + style_dim, dim // 2)
        self.f0 = _curve_blocks(dim, style_dim)
        self.energy = _curve_blocks(dim, style_dim)
        self.f0_proj = Conv1d(dim // 2, 1, 1)
        self.energy_proj = Conv1d(dim // 2, 1, 1)

    def durations(self, features: mx.array, speed: float = 1.0) -> mx.array:
        """Frames of each phoneme.

        Args:
            features: (batch, length, dim + style_dim) of `text_encoder`.
            speed: above 1 shortens every phoneme.

        Returns:
            (batch, length) int32, at least 1.
        """
        logits = self.duration_proj(self.duration_lstm(features))
        frames = mx.sigmoid(logits).sum(axis=-1) / speed
        return mx.maximum(mx.round(frames), 1).astype(mx.int32)

    def curves(self, frames: mx.array, style: mx.array) -> tuple[mx.array, mx.array]:
        """Pitch and energy, two values a frame.

        Args:
            frames: (batch, frames, dim + style_dim), the features repeated for their durations.
            style: (batch, style_dim).

        Returns:
            F0 in hertz (unvoiced near or below zero) and energy, each (batch, 2 · frames).
        """
        shared = self.frame_lstm(frames)
        f0, energy = shared, shared
        for block in self.f0:
            f0 = block(f0, style)
        for block in self.energy:
            energy = block(energy, style)
        return self.f0_proj(f0).squeeze(-1), self.energy_proj(energy).squeeze(-1)


def _curve_blocks(dim: int, style_dim: int) -> list[StyledBlock]:
    return [
        StyledBlock(dim, dim, style_dim),
        StyledBlock(dim, dim // 2, style_dim, upsample=True),
        StyledBlock(dim // 2, dim // 2, style_dim),
    ]
