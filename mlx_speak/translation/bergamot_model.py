"""Firefox's on-device translation models ("Bergamot": tiny Marian students) in MLX.

A post-norm transformer encoder; a decoder whose self-attention is replaced by a Simpler Simple
Recurrent Unit, so that its whole state is one vector a layer; and a lexical shortlist that leaves
about a thousand of 32,000 target tokens to score.

Sources: Kim et al., "From Research to Production and Back: Ludicrously Fast Neural Machine
Translation" (WNGT 2019) for the SSRU; Vaswani et al. 2017 for the rest; the checkpoints are those
of github.com/mozilla/firefox-translations-models (MPL-2.0).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from ..errors import ModelFormatError
from ..languages import Language
from ..model_folder import read_config
from ..nn.fused import add_norm, fuse
from ..nn.positions import sinusoids
from ..nn.projection import score
from ..nn.transformer import CrossAttention, FeedForward, SelfAttention
from ..nn.weights import load_weights


@dataclass(frozen=True)
class BergamotConfig:
    """Dimensions and conventions of one language pair, as `config.json` states them."""

    source_language: str
    target_language: str
    source_vocab_size: int
    target_vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    encoder_layers: int
    decoder_layers: int
    shared_embeddings: bool = True
    """One table serves both languages; otherwise each has its own."""
    eos_token_id: int = 0
    layer_norm_eps: float = 1e-6
    max_length_factor: float = 2.5
    """A translation has at most this many tokens per source token, the end included."""
    max_source_length: int = 128
    """Longer sentences are broken up; Bergamot's own `max-length-break`."""

    @classmethod
    def from_dict(cls, config: dict[str, Any]) -> BergamotConfig:
        """Build from a parsed `config.json`, dropping keys that are not fields.

        Raises:
            ModelFormatError: a value is missing or makes no sense.
        """
        fields = {field.name for field in dataclasses.fields(cls)}
        try:
            result = cls(**{key: value for key, value in config.items() if key in fields})
            Language.parse(result.source_language)
            Language.parse(result.target_language)
        except (TypeError, ValueError) as error:
            raise ModelFormatError(f"not a Bergamot config: {error}") from None
        for field in dataclasses.fields(cls):
            value = getattr(result, field.name)
            if field.type in ("int", "float") and not (
                isinstance(value, (int, float)) and 0 <= value < 2**31
            ):
                raise ModelFormatError(f"Bergamot config: {field.name} is {value!r}")
        heads = result.num_attention_heads
        if not heads or not result.hidden_size or result.hidden_size % (2 * heads):
            raise ModelFormatError("Bergamot config: the heads do not divide hidden_size evenly")
        return result


class RecurrentUnit(nn.Module):
    """The SSRU: f_t = σ(W_f x_t + b_f), c_t = f_t c_{t−1} + (1 − f_t) W x_t, out = ReLU(c_t)."""

    def __init__(self, config: BergamotConfig):
        super().__init__()
        self.forget_update = nn.Linear(config.hidden_size, 2 * config.hidden_size)

    def __call__(self, x: mx.array, cell: mx.array) -> tuple[mx.array, mx.array]:
        """(batch, length, dims) and the cell (batch, 1, dims) → outputs and cells, shaped as x."""
        forget, update = mx.split(self.forget_update(x), 2, axis=-1)
        cells = []
        for t in range(x.shape[1]):
            cell = _recur(forget[:, t : t + 1], update[:, t : t + 1], cell)
            cells.append(cell)
        every = mx.concatenate(cells, axis=1) if len(cells) > 1 else cell
        return nn.relu(every), every


@fuse
def _recur(forget: mx.array, update: mx.array, cell: mx.array) -> mx.array:
    return update + mx.sigmoid(forget) * (cell - update)


class EncoderLayer(nn.Module):
    def __init__(self, config: BergamotConfig):
        super().__init__()
        self.attention = SelfAttention(config.hidden_size, config.num_attention_heads)
        self.attention_norm = _norm(config)
        self.feed_forward = FeedForward(config.hidden_size, config.intermediate_size)
        self.feed_forward_norm = _norm(config)

    def __call__(self, x: mx.array, mask: mx.array | None) -> mx.array:
        x = add_norm(x, self.attention(x, mask), self.attention_norm)
        return add_norm(x, self.feed_forward(x), self.feed_forward_norm)


class DecoderLayer(nn.Module):
    def __init__(self, config: BergamotConfig):
        super().__init__()
        self.recurrence = RecurrentUnit(config)
        self.recurrence_norm = _norm(config)
        self.attention = CrossAttention(config.hidden_size, config.num_attention_heads)
        self.attention_norm = _norm(config)
        self.feed_forward = FeedForward(config.hidden_size, config.intermediate_size)
        self.feed_forward_norm = _norm(config)

    def __call__(
        self,
        x: mx.array,
        cell: mx.array,
        keys: mx.array,
        values: mx.array,
        mask: mx.array | None,
    ) -> tuple[mx.array, mx.array]:
        out, cells = self.recurrence(x, cell)
        x = add_norm(x, out, self.recurrence_norm)
        x = add_norm(x, self.attention(x, keys, values, mask), self.attention_norm)
        return add_norm(x, self.feed_forward(x), self.feed_forward_norm), cells


@dataclass(frozen=True)
class Memory:
    """What the decoder reads of a batch of sources; constant while they are translated."""

    keys_values: list[tuple[mx.array, mx.array]]
    """For each decoder layer, two arrays (batch, num_heads, source_length, head_dims)."""
    mask: mx.array | None
    """(batch, 1, 1, source_length), True where there is a token; None when nothing is padded."""


class Bergamot(nn.Module):
    """The bare model. Source sequences end with `eos_token_id`; target ones start with nothing."""

    def __init__(self, config: BergamotConfig):
        super().__init__()
        self.config = config
        self.source_embedding = nn.Embedding(config.source_vocab_size, config.hidden_size)
        self.target_embedding = nn.Embedding(config.target_vocab_size, config.hidden_size)
        self.output_bias = mx.zeros(config.target_vocab_size)
        self.encoder = [EncoderLayer(config) for _ in range(config.encoder_layers)]
        self.decoder = [DecoderLayer(config) for _ in range(config.decoder_layers)]

    def __call__(
        self,
        input_ids: mx.array,
        target_ids: mx.array,
        attention_mask: mx.array | None = None,
    ) -> mx.array:
        """Score every target token given those before it.

        Args:
            input_ids: (batch, source_length).
            target_ids: (batch, target_length), without a start token.
            attention_mask: (batch, source_length), nonzero where there is a token.

        Returns:
            logits (batch, target_length, target_vocab_size) over the whole vocabulary.
        """
        memory = self.encode(input_ids, attention_mask)
        # The model knows no start token: the first input is a zero vector, so shift by one.
        embedded = self.target_embedding(target_ids[:, :-1])
        embedded = mx.pad(embedded, [(0, 0), (1, 0), (0, 0)])
        hidden, _ = self.decode(embedded, memory, self.initial_cells(len(input_ids)))
        return score(hidden, self.target_embedding) + self.output_bias

    def encode(self, input_ids: mx.array, attention_mask: mx.array | None = None) -> Memory:
        """Encode (batch, source_length) ids into what every decoder layer attends to."""
        mask = None if attention_mask is None else attention_mask[:, None, None, :].astype(mx.bool_)
        x = self._place(self.source_embedding(input_ids), 0)
        for layer in self.encoder:
            x = layer(x, mask)
        return Memory([layer.attention.keys_values(x) for layer in self.decoder], mask)

    def decode(
        self, embedded: mx.array, memory: Memory, cells: Sequence[mx.array], position: int = 0
    ) -> tuple[mx.array, list[mx.array]]:
        """Run the decoder over some tokens.

        Args:
            embedded: (batch, length, hidden_size), of the tokens before those sought.
            memory: from `encode`.
            cells: the states after the tokens before these, from `initial_cells` or `decode`,
                (batch, any length, hidden_size) a layer: the last of them is where it goes on.
            position: how many tokens came before.

        Returns:
            Hidden states (batch, length, hidden_size), to be multiplied with the output table,
            and the cells after each token, (batch, length, hidden_size) a layer.
        """
        x = self._place(embedded, position)
        following = []
        for layer, before, (keys, values) in zip(
            self.decoder, cells, memory.keys_values, strict=True
        ):
            x, after = layer(x, before[:, -1:], keys, values, memory.mask)
            following.append(after)
        return x, following

    def initial_cells(self, batch: int) -> list[mx.array]:
        """The recurrent state before the first token, (batch, 1, hidden_size) a layer."""
        shape = (batch, 1, self.config.hidden_size)
        return [mx.zeros(shape, self.output_bias.dtype) for _ in self.decoder]

    def _place(self, embedded: mx.array, position: int) -> mx.array:
        length, dims = embedded.shape[1:]
        end = position + length
        places = sinusoids(end, dims)[position:end]
        return embedded * math.sqrt(dims) + places.astype(embedded.dtype)

    def sanitize(self, weights: dict[str, mx.array]) -> dict[str, mx.array]:
        """Turn stored tensors into parameters: int8 rows are divided by their multipliers."""
        weights = dict(weights)
        for name in [name for name in weights if name.endswith(".multiplier")]:
            multiplier, weight = weights.pop(name), name.replace(".multiplier", ".weight")
            weights[weight] = weights[weight].astype(mx.float32) / multiplier
        if self.config.shared_embeddings:
            for name in [name for name in weights if name.startswith("source_")]:
                weights[name.replace("source_", "target_", 1)] = weights[name]
        return weights


def _norm(config: BergamotConfig) -> nn.LayerNorm:
    return nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)


def load_model(folder: str | Path, *, lazy: bool = False) -> Bergamot:
    """Load the bare model from a converted folder.

    Args:
        lazy: as `load_weights` takes it.

    Raises:
        ModelNotFoundError: there is no such folder.
        ModelFormatError: a file is damaged, or does not belong to the others.
    """
    folder = Path(folder)
    model = Bergamot(BergamotConfig.from_dict(read_config(folder, "bergamot")))
    load_weights(model, folder, lazy=lazy)
    return model
