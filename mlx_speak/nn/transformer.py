"""The sublayers of encoder-decoder transformers, each without its norm and residual connection."""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx
import mlx.nn as nn

from .attention import Mask, attend, merge_heads, split_heads
from .cache import KeyValueCache


class SelfAttention(nn.Module):
    """Attention of a sequence to itself; queries, keys and values are one product."""

    def __init__(self, dims: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.query_key_value = nn.Linear(dims, 3 * dims)
        self.output = nn.Linear(dims, dims)

    def __call__(self, x: mx.array, mask: Mask = None) -> mx.array:
        """All of a sequence at once: (batch, length, dims) → (batch, length, dims)."""
        queries, keys, values = self._project(x)
        return self.output(merge_heads(attend(queries, keys, values, mask=mask)))

    def extend(
        self, x: mx.array, cache: KeyValueCache, mask: Mask = None
    ) -> tuple[mx.array, KeyValueCache]:
        """Some more tokens, attending to those in the cache and to one another.

        Args:
            x: (batch, tokens, dims).
            cache: of the tokens before.
            mask: broadcast to (batch, num_heads, tokens, cache.length + tokens), or "causal".

        Returns:
            (batch, tokens, dims) and the cache that holds these tokens too.
        """
        queries, keys, values = self._project(x)
        cache = cache.extend(keys, values)
        return self.output(merge_heads(attend(queries, *cache.filled, mask=mask))), cache

    def _project(self, x: mx.array) -> list[mx.array]:
        return [split_heads(y, self.num_heads) for y in mx.split(self.query_key_value(x), 3, -1)]


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
        keys, values = mx.split(self.key_value(encoded), 2, axis=-1)
        return self._lay_out(keys), self._lay_out(values)

    def __call__(
        self, x: mx.array, keys: mx.array, values: mx.array, mask: Mask = None
    ) -> mx.array:
        """(batch, tokens, dims) → (batch, tokens, dims)."""
        queries = split_heads(self.query(x), self.num_heads)
        return self.output(merge_heads(attend(queries, keys, values, mask=mask)))

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

    def __call__(self, x: mx.array) -> mx.array:
        """(..., dims) → (..., dims)."""
        return self.down(self.activation(self.up(x)))
