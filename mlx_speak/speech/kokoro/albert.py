"""PL-BERT: the ALBERT encoder over phonemes that Kokoro reads prosody from.

ALBERT (Lan et al., 2020, arXiv:1909.11942) applies one layer many times; PL-BERT (Li et al.,
2023, arXiv:2301.08810) trains it on phonemes.
"""

from __future__ import annotations

from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn

from ...nn.activations import gelu_tanh
from ...nn.attention import attend, merge_heads, split_heads
from ...nn.fused import add_norm


@dataclass(frozen=True)
class AlbertConfig:
    """The `plbert` part of Kokoro's config.json, with ALBERT's defaults for the rest."""

    hidden_size: int = 768
    num_attention_heads: int = 12
    intermediate_size: int = 2048
    max_position_embeddings: int = 512
    num_hidden_layers: int = 12
    embedding_size: int = 128
    layer_norm_eps: float = 1e-12


class AlbertLayer(nn.Module):
    """Self-attention and a feed-forward network, each followed by its norm."""

    def __init__(self, config: AlbertConfig):
        super().__init__()
        size, eps = config.hidden_size, config.layer_norm_eps
        self.num_heads = config.num_attention_heads
        self.qkv = nn.Linear(size, 3 * size)
        self.out = nn.Linear(size, size)
        self.attention_norm = nn.LayerNorm(size, eps)
        self.ffn_in = nn.Linear(size, config.intermediate_size)
        self.ffn_out = nn.Linear(config.intermediate_size, size)
        self.ffn_norm = nn.LayerNorm(size, eps)

    def __call__(self, x: mx.array) -> mx.array:
        """(batch, length, hidden_size) → the same."""
        heads = [split_heads(y, self.num_heads) for y in mx.split(self.qkv(x), 3, axis=-1)]
        x = add_norm(x, self.out(merge_heads(attend(*heads))), self.attention_norm)
        return add_norm(x, self.ffn_out(gelu_tanh(self.ffn_in(x))), self.ffn_norm)


class Albert(nn.Module):
    """Phoneme ids to contextual states; no mask, one utterance has no padding."""

    def __init__(self, vocab_size: int, config: AlbertConfig):
        super().__init__()
        self.num_layers = config.num_hidden_layers
        # The token type is always the first: conversion adds its embedding to the words'.
        self.word_embeddings = nn.Embedding(vocab_size, config.embedding_size)
        self.position_embeddings = nn.Embedding(
            config.max_position_embeddings, config.embedding_size
        )
        self.embedding_norm = nn.LayerNorm(config.embedding_size, config.layer_norm_eps)
        self.embedding_proj = nn.Linear(config.embedding_size, config.hidden_size)
        self.layer = AlbertLayer(config)

    def __call__(self, input_ids: mx.array) -> mx.array:
        """(batch, length) ids → (batch, length, hidden_size)."""
        positions = self.position_embeddings(mx.arange(input_ids.shape[1]))
        x = self.embedding_norm(self.word_embeddings(input_ids) + positions)
        x = self.embedding_proj(x)
        for _ in range(self.num_layers):
            x = self.layer(x)
        return x
