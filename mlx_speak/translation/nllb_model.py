"""NLLB-200 and every other M2M100 checkpoint in MLX: the bare network.

A pre-norm transformer, encoder and decoder, with sinusoidal positions and one table of embeddings
that serves both languages and the output.

Sources: Fan et al., "Beyond English-Centric Multilingual Machine Translation" (2020); NLLB Team,
"No Language Left Behind" (2022); the checkpoints are those of huggingface.co/facebook
(nllb-200-distilled-600M, nllb-200-distilled-1.3B, nllb-200-1.3B, nllb-200-3.3B: CC-BY-NC-4.0;
m2m100_418M, m2m100_1.2B: MIT), in transformers the model type `m2m_100`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from ..errors import ModelFormatError
from ..model_folder import read_config
from ..nn import native
from ..nn.attention import Mask
from ..nn.cache import KeyValueCache
from ..nn.decoder import NativeDecoder, NativeLayer
from ..nn.embedding import embed
from ..nn.positions import sinusoids
from ..nn.projection import score
from ..nn.transformer import CrossAttention, FeedForward, SelfAttention
from ..nn.weights import load_weights


@dataclass(frozen=True)
class NLLBConfig:
    """Dimensions and special tokens, under the names of the hub's `config.json`."""

    vocab_size: int
    d_model: int
    encoder_layers: int
    decoder_layers: int
    encoder_attention_heads: int
    decoder_attention_heads: int
    encoder_ffn_dim: int
    decoder_ffn_dim: int
    max_position_embeddings: int = 1024
    scale_embedding: bool = True
    layer_norm_eps: float = 1e-5
    pad_token_id: int = 1
    eos_token_id: int = 2
    decoder_start_token_id: int = 2

    @classmethod
    def from_dict(cls, config: dict[str, Any]) -> NLLBConfig:
        """Build from a parsed `config.json`, dropping keys that are not fields.

        Raises:
            ModelFormatError: a value is missing, makes no sense, or asks for another network.
        """
        for name, only in _ALWAYS.items():
            if config.get(name, only) != only:
                raise ModelFormatError(f"NLLB config: {name} is {config[name]!r}, not {only!r}")
        fields = dataclasses.fields(cls)
        try:
            result = cls(**{f.name: config[f.name] for f in fields if f.name in config})
        except TypeError as error:
            raise ModelFormatError(f"not an NLLB config: {error}") from None
        for field in fields:
            value = getattr(result, field.name)
            kinds = (int, float) if field.type == "float" else (int,)
            limit = 1000 if field.name.endswith("layers") else 2**31
            if (
                not isinstance(value, kinds)
                or isinstance(value, bool) != (field.type == "bool")
                or not 0 <= value < limit
            ):
                raise ModelFormatError(f"NLLB config: {field.name} is {value!r}")
        if result.d_model < 4 or result.d_model % 2:
            raise ModelFormatError(f"NLLB config: d_model is {result.d_model}, not even, 4 or more")
        for stack in ("encoder", "decoder"):
            heads = getattr(result, f"{stack}_attention_heads")
            if not heads or result.d_model % heads:
                raise ModelFormatError(
                    f"NLLB config: {stack}_attention_heads is {heads}, "
                    f"which does not divide d_model, {result.d_model}"
                )
        for name in ("pad_token_id", "eos_token_id", "decoder_start_token_id"):
            if getattr(result, name) >= result.vocab_size:
                raise ModelFormatError(
                    f"NLLB config: {name} is {getattr(result, name)}, not in the vocabulary"
                )
        return result


_ALWAYS = {"activation_function": "relu", "tie_word_embeddings": True}
"""What a hub's config may also say, and then says of every checkpoint of the family."""


class EncoderLayer(nn.Module):
    def __init__(self, config: NLLBConfig):
        super().__init__()
        self.attention_norm = _norm(config)
        self.attention = SelfAttention(config.d_model, config.encoder_attention_heads)
        self.feed_forward_norm = _norm(config)
        self.feed_forward = FeedForward(config.d_model, config.encoder_ffn_dim)

    def __call__(self, x: mx.array, mask: Mask) -> mx.array:
        x = self.attention(x, mask, norm=self.attention_norm)
        x = self.feed_forward(x, norm=self.feed_forward_norm)
        # fp16 overflows in the residual stream; transformers clamps here, and only here.
        return mx.clip(x, -_FLOAT16_LIMIT, _FLOAT16_LIMIT) if x.dtype == mx.float16 else x


class DecoderLayer(nn.Module):
    def __init__(self, config: NLLBConfig):
        super().__init__()
        self.self_attention_norm = _norm(config)
        self.self_attention = SelfAttention(config.d_model, config.decoder_attention_heads)
        self.cross_attention_norm = _norm(config)
        self.cross_attention = CrossAttention(config.d_model, config.decoder_attention_heads)
        self.feed_forward_norm = _norm(config)
        self.feed_forward = FeedForward(config.d_model, config.decoder_ffn_dim)

    def __call__(
        self,
        x: mx.array,
        cache: KeyValueCache,
        mask: Mask,
        source: tuple[mx.array, mx.array],
        source_mask: Mask,
    ) -> tuple[mx.array, KeyValueCache]:
        x, cache = self.self_attention.extend(x, cache, mask, norm=self.self_attention_norm)
        x = self.cross_attention(x, *source, source_mask, norm=self.cross_attention_norm)
        return self.feed_forward(x, norm=self.feed_forward_norm), cache

    def native(self) -> NativeLayer:
        """As the library for CPUs takes it, if it does."""
        return NativeLayer.of(
            self.self_attention_norm,
            self.self_attention,
            self.feed_forward_norm,
            self.feed_forward,
            source_norm=self.cross_attention_norm,
            source_attention=self.cross_attention,
        )


class Encoder(nn.Module):
    def __init__(self, config: NLLBConfig):
        super().__init__()
        self.layers = [EncoderLayer(config) for _ in range(config.encoder_layers)]
        self.norm = _norm(config)

    def __call__(self, x: mx.array, mask: Mask) -> mx.array:
        for layer in self.layers:
            x = layer(x, mask)
        return self.norm(x)


class Decoder(nn.Module):
    def __init__(self, config: NLLBConfig):
        super().__init__()
        self.layers = [DecoderLayer(config) for _ in range(config.decoder_layers)]
        self.norm = _norm(config)

    def __call__(
        self, x: mx.array, caches: Sequence[KeyValueCache], mask: Mask, memory: Memory
    ) -> tuple[mx.array, Caches]:
        plain = mask is None or isinstance(mask, str)
        arrays = (cache.keys_values for cache in caches)
        if plain and memory.native is not None and native.serves(x, *arrays):
            with contextlib.suppress(ValueError):  # in a function that MLX compiles
                if stack := memory.native():
                    return stack.extend(x, caches)
        extended = []
        for layer, cache, source in zip(self.layers, caches, memory.keys_values, strict=True):
            x, cache = layer(x, cache, mask, source, memory.mask)
            extended.append(cache)
        return self.norm(x), extended

    def native(self, sources: Sequence[tuple[mx.array, mx.array]]) -> NativeDecoder | None:
        """As the library for CPUs takes it, to translate a sentence; None if it does not."""
        layers = [layer.native() for layer in self.layers]
        return NativeDecoder.make(layers, [self.norm], "relu", sources[0][0].shape[1], sources)


@dataclass(frozen=True)
class Memory:
    """What the decoder reads of a batch of sources; constant while they are translated."""

    keys_values: list[tuple[mx.array, mx.array]]
    """For each decoder layer, two arrays (batch, num_heads, source_length, head_dims)."""
    mask: mx.array | None
    """(batch, 1, 1, source_length), True where there is a token; None when nothing is padded."""
    native: Callable[[], NativeDecoder | None] | None = None
    """Of one sentence: makes what reads it in one call, once."""

    def select(self, rows: mx.array) -> Memory:
        """The memory of some rows of the batch, (rows,) in their order; copies."""
        return Memory(
            [(keys[rows], values[rows]) for keys, values in self.keys_values],
            None if self.mask is None else self.mask[rows],
        )


Caches = list[KeyValueCache]
"""What the decoder has read of each target, a cache a layer."""


class NLLB(nn.Module):
    """The bare model: sources `[language] tokens </s>`, targets `</s> [language] tokens </s>`."""

    def __init__(self, config: NLLBConfig):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def __call__(
        self,
        input_ids: mx.array,
        decoder_input_ids: mx.array,
        attention_mask: mx.array | None = None,
    ) -> mx.array:
        """Score every target token given those before it, as transformers does.

        Args:
            input_ids: (batch, source_length).
            decoder_input_ids: (batch, target_length), beginning with `decoder_start_token_id`.
            attention_mask: (batch, source_length), nonzero where there is a token.

        Returns:
            logits (batch, target_length, vocab_size).
        """
        memory = self.remember(self.encode(input_ids, attention_mask), attention_mask)
        caches = self.initial_caches(len(input_ids))
        hidden, _ = self.decode(decoder_input_ids, memory, caches)
        return self.logits(hidden)

    def encode(self, input_ids: mx.array, attention_mask: mx.array | None = None) -> mx.array:
        """Ids (batch, source_length) → encoder_hidden_states (batch, source_length, d_model)."""
        return self.encoder(self._embed(input_ids, 0), _source_mask(attention_mask))

    def remember(
        self, encoder_hidden_states: mx.array, attention_mask: mx.array | None = None
    ) -> Memory:
        """The keys and values of every decoder layer for (batch, source_length, d_model)."""
        keys_values = [
            layer.cross_attention.keys_values(encoder_hidden_states)
            for layer in self.decoder.layers
        ]
        alone = len(encoder_hidden_states) == 1 and attention_mask is None and keys_values
        make = functools.partial(self.decoder.native, keys_values)
        native = functools.cache(make) if alone else None
        return Memory(keys_values, _source_mask(attention_mask), native)

    def initial_caches(self, batch: int) -> Caches:
        """The caches before the first token."""
        config = self.config
        heads = config.decoder_attention_heads
        dims, dtype = config.d_model // heads, self.decoder.norm.weight.dtype
        return [KeyValueCache.empty(batch, heads, dims, dtype) for _ in self.decoder.layers]

    def decode(
        self,
        decoder_input_ids: mx.array,
        memory: Memory,
        caches: Sequence[KeyValueCache],
        *,
        position: int | None = None,
        mask: Mask = None,
    ) -> tuple[mx.array, Caches]:
        """Run the decoder over some more tokens.

        By default they follow each other. With `position` they are alternatives, all at that place
        of the target, and `mask` says which slots of the caches each one comes after: so the beams
        of a sentence share one cache, in which every token ever tried keeps its slot, and none is
        copied when a beam takes another's place.

        Args:
            decoder_input_ids: (batch, tokens).
            memory: from `remember`.
            caches: of the tokens before, from `initial_caches` or `decode`.
            position: how many tokens stand before each of these.
            mask: as `SelfAttention.extend` takes it; by default causal.

        Returns:
            Hidden states (batch, tokens, d_model), which `logits` turns into scores, and the
            caches that hold these tokens too.
        """
        if mask is None and decoder_input_ids.shape[1] > 1:
            mask = "causal"
        alternatives = position is not None
        before = caches[0].length if position is None else position
        x = self._embed(decoder_input_ids, before, alternatives)
        return self.decoder(x, caches, mask, memory)

    def logits(self, hidden: mx.array) -> mx.array:
        """(..., d_model) → (..., vocab_size)."""
        return score(hidden, self.embedding)

    def _embed(self, ids: mx.array, before: int, alternatives: bool = False) -> mx.array:
        """Embeddings with positions, for tokens after `before` others.

        A first token has row 2 of the sinusoids, a pad token none; pads do not count as places.
        """
        config = self.config
        scale = math.sqrt(config.d_model) if config.scale_embedding else 1.0
        table = sinusoids(before + ids.shape[1] + config.pad_token_id + 1, config.d_model)
        first = before + config.pad_token_id + 1
        if alternatives or ids.shape[1] == 1:
            found = table[first : first + 1]
        else:
            places = ids != config.pad_token_id
            found = table[first - 1 + mx.cumsum(places.astype(mx.int32), 1)]
        return embed(ids, self.embedding, found, scale=scale, blank=config.pad_token_id)


_FLOAT16_LIMIT = 65504.0 - 1000


def _source_mask(attention_mask: mx.array | None) -> mx.array | None:
    return None if attention_mask is None else (attention_mask != 0)[:, None, None, :]


def _norm(config: NLLBConfig) -> nn.LayerNorm:
    return nn.LayerNorm(config.d_model, eps=config.layer_norm_eps)


def load_model(folder: str | Path, *, lazy: bool = False) -> NLLB:
    """Load the bare model from a converted folder.

    Args:
        lazy: as `load_weights` takes it.

    Raises:
        ModelNotFoundError: there is no such folder.
        ModelFormatError: a file is damaged, or does not belong to the others.
    """
    folder = Path(folder)
    model = NLLB(NLLBConfig.from_dict(read_config(folder, "nllb")))
    load_weights(model, folder, lazy=lazy)
    return model
