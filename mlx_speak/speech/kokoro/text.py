"""The text encoder: phonemes to the features that the decoder renders."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from ...nn.conv import Conv1d
from ...nn.lstm import BiLSTM


class TextEncoder(nn.Module):
    """Embedding, a few convolutions with layer norm, and a bidirectional LSTM."""

    def __init__(self, vocab_size: int, channels: int, kernel_size: int, depth: int):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, channels)
        self.convs = [
            Conv1d(channels, channels, kernel_size, padding=(kernel_size - 1) // 2)
            for _ in range(depth)
        ]
        self.norms = [nn.LayerNorm(channels) for _ in range(depth)]
        self.lstm = BiLSTM(channels, channels // 2)

    def __call__(self, input_ids: mx.array) -> mx.array:
        """(batch, length) ids → (batch, length, channels)."""
        x = self.embedding(input_ids)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = nn.leaky_relu(norm(conv(x)), 0.2)
        return self.lstm(x)
