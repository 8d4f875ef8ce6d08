"""The keys and values of what a decoder has read, as a value: extending leaves it as it was."""

from __future__ import annotations

from dataclasses import dataclass

import mlx.core as mx

GROWTH = 64
"""Slots by which the arrays grow, so that few tokens find them full."""


@dataclass(frozen=True)
class KeyValueCache:
    """The keys and values of one attention layer.

    Several caches may share arrays: `truncate` costs nothing, and `extend` writes in place where
    nobody else holds the arrays, which MLX finds out at evaluation.
    """

    keys_values: mx.array
    """(2, batch, num_heads, capacity, head_dims), in one array since one dispatch then writes both;
    slots from `length` on hold nothing of meaning."""
    length: int = 0

    @classmethod
    def empty(cls, batch: int, num_heads: int, head_dims: int, dtype: mx.Dtype) -> KeyValueCache:
        """A cache without a token."""
        return cls(mx.zeros((2, batch, num_heads, 0, head_dims), dtype))

    def extend(self, keys_values: mx.array) -> KeyValueCache:
        """The cache with more tokens behind the ones it has.

        Args:
            keys_values: (2, batch, num_heads, tokens, head_dims).
        """
        array, start, end = self.keys_values, self.length, self.length + keys_values.shape[3]
        if end > array.shape[3]:
            *outer, _, dims = array.shape
            room = mx.zeros((*outer, -(-end // GROWTH) * GROWTH - start, dims), array.dtype)
            array = mx.concatenate([array[:, :, :, :start], room], axis=3)
        # Another view, as assignment changes the one it is given. `mx.slice_update` would need
        # none, but takes the place as an array, and a GPU a dispatch to compute with it.
        (array,) = mx.depends([array], [keys_values])
        array[:, :, :, start:end] = keys_values
        return KeyValueCache(array, end)

    def truncate(self, length: int) -> KeyValueCache:
        """The cache with its first `length` tokens only."""
        if not 0 <= length <= self.length:
            raise ValueError(f"a cache of {self.length} tokens cannot keep {length}")
        return KeyValueCache(self.keys_values, length)

    def select(self, rows: mx.array) -> KeyValueCache:
        """The cache of some rows of the batch, (rows,) in their order; copies."""
        return KeyValueCache(self.keys_values[:, rows], self.length)

    @property
    def keys(self) -> mx.array:
        """(batch, num_heads, capacity, head_dims)."""
        return self.keys_values[:1].squeeze(0)

    @property
    def values(self) -> mx.array:
        """As `keys`."""
        return self.keys_values[1:].squeeze(0)

    @property
    def filled(self) -> tuple[mx.array, mx.array]:
        """Keys and values (batch, num_heads, length, head_dims)."""
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]
