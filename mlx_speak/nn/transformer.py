"""The sublayers of encoder-decoder transformers.

Each is without its residual connection, and that of a post-norm transformer. Given a `norm`, it is
the whole of a pre-norm one: it norms its input, and adds it to what comes out.
"""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx
import mlx.nn as nn

from .attention import (
    Mask,
    attend,
    attend_across,
    attend_extending,
    merge_heads,
    split_heads,
)
from .cache import KeyValueCache
from .projection import project


class SelfAttention(nn.Module):
    """Attention of a sequence to itself; queries, keys and values are one product."""

    def __init__(self, dims: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.query_key_value = nn.Linear(dims, 3 * dims)
        self.output = nn.Linear(dims, dims)

    def __call__(
        self, x: mx.array, mask: Mask = None, *, norm: nn.LayerNorm | None = None
    ) -> mx.array:
        """All of a sequence at once: (batch, length, dims) → (batch, length, dims)."""
        queries, (keys, values) = self._project(x, norm)
        out = attend(queries, keys, values, mask=mask)
        return project(merge_heads(out), self.output, residual=x if norm else None)

    def extend(
        self,
        x: mx.array,
        cache: KeyValueCache,
        mask: Mask = None,
        *,
        norm: nn.LayerNorm | None = None,
    ) -> tuple[mx.array, KeyValueCache]:
        """Some more tokens, attending to those in the cache and to one another.

        Args:
            x: (batch, tokens, dims).
            cache: of the tokens before.
            mask: broadcast to (batch, num_heads, tokens, cache.length + tokens), or "causal".

        Returns:
            (batch, tokens, dims) and the cache that holds these tokens too.
        """
        queries, keys_values = self._project(x, norm)
        out, cache = attend_extending(queries, keys_values, cache, mask)
        return project(merge_heads(out), self.output, residual=x if norm else None), cache

    def _project(self, x: mx.array, norm: nn.LayerNorm | None) -> tuple[mx.array, mx.array]:
        """Queries (batch, num_heads, length, head_dims); keys and values (2, …)."""
        batch, length, dims = x.shape
        parts = project(x, self.query_key_value, norm=norm)
        parts = parts.reshape(batch, length, 3, self.num_heads, dims // self.num_heads)
        parts = parts.transpose(2, 0, 3, 1, 4)
        return parts[:1].squeeze(0), parts[1:]


class CrossAttention(nn.Module):
    """Attention over the encoded source, whose keys and values are computed once a sentence."""

    def __init__(self, dims: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(dims, dims)
        self.key_value = nn.Linear(dims, 2 * dims)
        self.output = nn.Linear(dims, dims)

    def keys_values(self, encoded: mx.array) -> tuple[mx.array, mx.array]:
        """(batch, source_length, dims) → two (batch, num_heads, source_length, head_dims)."""
        keys, values = mx.split(project(encoded, self.key_value), 2, axis=-1)
        return self._lay_out(keys), self._lay_out(values)

    def __call__(
        self,
        x: mx.array,
        keys: mx.array,
        values: mx.array,
        mask: Mask = None,
        *,
        norm: nn.LayerNorm | None = None,
    ) -> mx.array:
        """(batch, tokens, dims) → (batch, tokens, dims)."""
        out = attend_across(x, self.query, keys, values, mask, norm=norm)
        return project(merge_heads(out), self.output, residual=x if norm else None)

    def _lay_out(self, x: mx.array) -> mx.array:
        """Head by head in memory, once, since every step reads them so."""
        return mx.contiguous(split_heads(x, self.num_heads))


class FeedForward(nn.Module):
    """Two layers with an activation between them."""

    def __init__(
        self,
        dims: int,
        hidden_dims: int,
        activation: Callable[[mx.array], mx.array] = nn.relu,
    ):
        super().__init__()
        self.activation = activation
        self.up = nn.Linear(dims, hidden_dims)
        self.down = nn.Linear(hidden_dims, dims)

    def __call__(self, x: mx.array, *, norm: nn.LayerNorm | None = None) -> mx.array:
        """(..., dims) → (..., dims)."""
        hidden = project(x, self.up, norm=norm, activation=self.activation)
        return project(hidden, self.down, residual=x if norm else None)
