"""XTTS's GPT: a speaker's latents and text to audio codes, one after the other.

A GPT-2 (Radford et al., 2019) whose tokens are [latents][START text STOP][start codes …]; text and
codes have tables and positions of their own. The state that predicts a code is what the decoder
makes sound of, so nothing is run a second time.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import mlx.core as mx
import mlx.nn as nn

from ...nn import native
from ...nn.activations import gelu_tanh
from ...nn.cache import KeyValueCache
from ...nn.decoder import NativeDecoder, NativeLayer, NativeReader
from ...nn.embedding import embed
from ...nn.transformer import FeedForward, SelfAttention


class Layer(nn.Module):
    """Pre-norm, as GPT-2's."""

    def __init__(self, dims: int, heads: int):
        super().__init__()
        self.attention_norm = nn.LayerNorm(dims)
        self.attention = SelfAttention(dims, heads)
        self.feed_forward_norm = nn.LayerNorm(dims)
        self.feed_forward = FeedForward(dims, 4 * dims, gelu_tanh)

    def __call__(
        self, x: mx.array, cache: KeyValueCache, mask: str | None
    ) -> tuple[mx.array, KeyValueCache]:
        x, cache = self.attention.extend(x, cache, mask, norm=self.attention_norm)
        return self.feed_forward(x, norm=self.feed_forward_norm), cache

    def native(self) -> NativeLayer:
        """As the library for CPUs takes it, if it does."""
        return NativeLayer.of(
            self.attention_norm, self.attention, self.feed_forward_norm, self.feed_forward
        )


class Context(NamedTuple):
    """What the GPT has read."""

    caches: list[KeyValueCache]
    """One a layer."""
    codes: int = 0
    """How many audio tokens are among it, the start included."""


class GPT(nn.Module):
    """The bare network.

    Args:
        dims, heads, layers: of the stack.
        text_tokens, audio_tokens: sizes of the two vocabularies.
        text_places, audio_places: rows of the two tables of positions.
    """

    def __init__(
        self,
        dims: int,
        heads: int,
        layers: int,
        text_tokens: int,
        audio_tokens: int,
        text_places: int,
        audio_places: int,
    ):
        super().__init__()
        self.num_heads = heads
        self.text_embedding = nn.Embedding(text_tokens, dims)
        self.text_positions = nn.Embedding(text_places, dims)
        self.audio_embedding = nn.Embedding(audio_tokens, dims)
        self.audio_positions = nn.Embedding(audio_places, dims)
        self.layers = [Layer(dims, heads) for _ in range(layers)]
        self.norm = nn.LayerNorm(dims)
        self.final_norm = nn.LayerNorm(dims)
        self.head = nn.Linear(dims, audio_tokens)

    def embed_text(self, text_ids: mx.array) -> mx.array:
        """(batch, tokens), START and STOP included → (batch, tokens, dims)."""
        places = mx.arange(text_ids.shape[1])
        return embed(text_ids, self.text_embedding, self.text_positions(places))

    def embed_codes(self, codes: mx.array, position: int) -> mx.array:
        """(batch, tokens), the first of them in that place → (batch, tokens, dims)."""
        places = mx.arange(position, position + codes.shape[1])
        return embed(codes, self.audio_embedding, self.audio_positions(places))

    def read(self, latents: mx.array) -> Context:
        """Read a speaker's latents (batch, latents, dims), which stand before everything."""
        batch, _, dims = latents.shape
        dtype = self.norm.weight.dtype
        empty = KeyValueCache.empty(batch, self.num_heads, dims // self.num_heads, dtype)
        _, caches = self._run(latents.astype(dtype), [empty] * len(self.layers))
        return Context(caches)

    def start(
        self, text_ids: mx.array, codes: mx.array, context: Context
    ) -> tuple[mx.array, Context]:
        """Read a text and the codes that begin with the start token.

        Args:
            text_ids: (batch, tokens), START and STOP included.
            codes: (batch, codes).
            context: of `read`.

        Returns:
            States (batch, codes, dims), each of which predicts the code after it, and the context
            that holds these tokens too.
        """
        x, caches = self._run(self._embed(text_ids, codes), context.caches)
        return self._states(x[:, text_ids.shape[1] :]), Context(caches, codes.shape[1])

    def step(self, code: mx.array, context: Context) -> tuple[mx.array, Context]:
        """Read one more code (batch, 1). Returns its state (batch, 1, dims) and the context."""
        x, caches = self._run(self.embed_codes(code, context.codes), context.caches)
        return self._states(x), Context(caches, context.codes + 1)

    def begin(
        self, text_ids: mx.array, codes: mx.array, context: Context
    ) -> tuple[mx.array, Callable[[mx.array], mx.array]]:
        """Read one text as `start` does, to go on as `step` does.

        On the CPU each is one call of compiled code, where it can be.

        Args:
            text_ids: (1, tokens), START and STOP included.
            codes: (1, codes).
            context: of `read`.

        Returns:
            The state of the last code (1, 1, dims), and a function that reads one code (1, 1) after
            the other and returns the state of each.
        """
        layers = [layer.native() for layer in self.layers]
        norms = [self.norm, self.final_norm]
        stack = NativeDecoder.make(layers, norms, "gelu_tanh", self.num_heads)
        keys_values = [cache.keys_values[:, :, :, : cache.length] for cache in context.caches]
        if stack is None or not native.serves(*keys_values):
            states, context = self.start(text_ids, codes, context)
            return states[:, -1:], self._stepper(context)
        run = NativeReader(stack, keys_values)
        places = itertools.count(codes.shape[1])
        state = run(self._embed(text_ids, codes))
        return state, lambda code: run(self.embed_codes(code, next(places)))

    def _stepper(self, context: Context) -> Callable[[mx.array], mx.array]:
        def read(code: mx.array) -> mx.array:
            nonlocal context
            state, context = self.step(code, context)
            return state

        return read

    def logits(self, states: mx.array) -> mx.array:
        """(…, dims) → (…, audio_tokens)."""
        return self.head(states)

    def _embed(self, text_ids: mx.array, codes: mx.array) -> mx.array:
        return mx.concatenate([self.embed_text(text_ids), self.embed_codes(codes, 0)], axis=1)

    def _run(
        self, x: mx.array, caches: Sequence[KeyValueCache]
    ) -> tuple[mx.array, list[KeyValueCache]]:
        mask = "causal" if x.shape[1] > 1 else None
        extended = []
        for layer, cache in zip(self.layers, caches, strict=True):
            x, cache = layer(x, cache, mask)
            extended.append(cache)
        return x, extended

    def _states(self, x: mx.array) -> mx.array:
        return self.final_norm(self.norm(x))
