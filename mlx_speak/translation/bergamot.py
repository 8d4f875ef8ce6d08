"""Translating with Firefox's on-device models: tokenizer, shortlist and greedy decoding.

The network itself is in `bergamot_model.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import mlx.core as mx
import numpy as np

from ..errors import ModelFormatError
from ..languages import Language
from .bergamot_model import Bergamot, BergamotConfig, Memory, load_model
from .certainty import choose
from .decoding import greedy
from .drafting import Report, verified_greedy
from .shortlist import Shortlist
from .tokenizer import Tokenizer
from .translator import Translator

__all__ = ["Bergamot", "BergamotConfig", "BergamotTranslator", "load", "load_model"]


class BergamotTranslator(Translator):
    """One language pair: model, tokenizer and shortlist."""

    def __init__(self, model: Bergamot, tokenizer: Tokenizer, shortlist: Shortlist):
        config = model.config
        source, target = map(Language.parse, (config.source_language, config.target_language))
        self.name = f"bergamot-{source.tag}-{target.tag}"
        self.max_length = config.max_source_length
        self.model, self.tokenizer, self.shortlist = model, tokenizer, shortlist
        self._languages = (source,), (target,)

    @property
    def languages(self) -> tuple[tuple[Language, ...], tuple[Language, ...]]:
        return self._languages

    def count_tokens(self, sentence: str, source: Language) -> int:
        return len(self.tokenizer.encode(sentence))

    def limit(self, length: int) -> int:
        return int(self.model.config.max_length_factor * (length + 1))  # which counts the end

    def detokenize(self, tokens: Sequence[int], target: Language) -> str:
        return self.tokenizer.decode(tokens)

    def translate_sentences(
        self, sentences: Sequence[str], source: Language, target: Language
    ) -> list[list[int]]:
        encoded = [self._encode(sentence) for sentence in sentences]
        # Sentences of like length share a batch, so that little is padded.
        order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
        results: list[list[int]] = [[] for _ in encoded]
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            *_, last = self._decode([encoded[i] for i in rows])
            for i, sequence in zip(rows, last, strict=True):
                results[i] = sequence
        return results

    def stream_sentence(
        self, sentence: str, source: Language, target: Language, draft: Sequence[int] = ()
    ) -> Iterator[list[int]]:
        encoded = self._encode(sentence)
        if draft:
            yield from self.verify(encoded, draft)
        else:
            for (sequence,) in self._decode([encoded]):
                yield list(sequence)

    def verify(
        self, encoded: Sequence[int], draft: Sequence[int], report: Report | None = None
    ) -> Iterator[list[int]]:
        """Decode the tokens of a source with the help of a draft, as `verified_greedy` does."""
        config = self.model.config
        memory = self.model.encode(mx.array([encoded]))
        mx.async_eval(memory.keys_values)  # while Python looks up the shortlist
        return verified_greedy(
            BergamotDecoder(self.model, memory, *self._output([encoded])),
            eos_token_id=config.eos_token_id,
            vocab_size=config.target_vocab_size,
            limit=self.limit(len(encoded) - 1),
            draft=draft,
            report=report,
        )

    def _encode(self, sentence: str) -> list[int]:
        return [*self.tokenizer.encode(sentence), self.model.config.eos_token_id]

    def _decode(self, encoded: Sequence[Sequence[int]]) -> Iterator[list[list[int]]]:
        """Greedy decoding of source sequences, over the tokens of each one's shortlist."""
        model, config = self.model, self.model.config
        lengths = [len(tokens) for tokens in encoded]
        ids = np.full((len(encoded), max(lengths)), config.eos_token_id, np.int32)
        for row, tokens in enumerate(encoded):
            ids[row, : len(tokens)] = tokens
        mask = None
        if min(lengths) < max(lengths):
            mask = mx.array(np.arange(max(lengths)) < np.array(lengths)[:, None])
        memory = model.encode(mx.array(ids), mask)
        mx.async_eval(memory.keys_values)  # while Python looks up the shortlist
        candidates, bias = self._output(encoded)
        table = model.target_embedding(candidates).T

        def step(
            tokens: mx.array | None, state: tuple[int, list[mx.array]]
        ) -> tuple[mx.array, tuple[int, list[mx.array]]]:
            position, cells = state
            if tokens is None:
                embedded = mx.zeros_like(cells[0])
            else:
                embedded = model.target_embedding(tokens)[:, None]
            hidden, cells = model.decode(embedded, memory, cells, position)
            logits = mx.addmm(bias, hidden[:, 0], table)
            return candidates[mx.argmax(logits, axis=-1)], (position + 1, cells)

        start = (0, model.initial_cells(len(encoded)))
        limits = [self.limit(len(tokens) - 1) for tokens in encoded]
        return greedy(step, start, eos_token_id=config.eos_token_id, limits=limits)

    def _output(self, encoded: Sequence[Sequence[int]]) -> tuple[mx.array, mx.array]:
        """Target tokens that any of the sources may become, (count,), and their output biases.

        The biases are (batch, count): minus infinity for what another row of the batch brought in,
        so that a sentence is translated alike alone and among others.
        """
        lists = [self.shortlist.candidates(tokens) for tokens in encoded]
        union = lists[0] if len(lists) == 1 else np.unique(np.concatenate(lists))
        candidates = mx.array(union.astype(np.int32))
        bias = self.model.output_bias[candidates][None]
        if len(lists) > 1:
            own = np.stack([np.isin(union, one, assume_unique=True) for one in lists])
            bias = mx.where(mx.array(own), bias, -mx.inf)
        return candidates, bias


# Sentences decoded at once.
_BATCH = 32


class BergamotDecoder:
    """The decoder on one sentence, as `drafting.Decoder` has it."""

    restricted = False

    def __init__(self, model: Bergamot, memory: Memory, candidates: mx.array, bias: mx.array):
        self._model, self._memory, self._candidates, self._bias = model, memory, candidates, bias
        rows = model.target_embedding(candidates)
        self._table = rows.T
        self._longest = mx.max(mx.linalg.norm(rows.astype(mx.float32), axis=-1))
        # After each prediction, before which there is the initial one: (1, 1 + length, dims).
        self._cells = model.initial_cells(1)

    def run(self, tokens: mx.array) -> mx.array:
        position = self._cells[0].shape[1] - 1
        embedded = self._model.target_embedding(tokens)[None]
        if position == 0:  # a target begins with a zero vector
            embedded = mx.pad(embedded, [(0, 0), (1, 0), (0, 0)])
        hidden, following = self._model.decode(embedded, self._memory, self._cells, position)
        self._cells = [
            mx.concatenate([cells, more], axis=1)
            for cells, more in zip(self._cells, following, strict=True)
        ]
        return hidden[0]

    def cut(self, length: int) -> None:
        self._cells = [cells[:, : 1 + length] for cells in self._cells]

    def guess(self, hidden: mx.array) -> mx.array:
        return self.best(hidden)[0]

    def best(self, hidden: mx.array) -> tuple[mx.array, mx.array]:
        logits = mx.addmm(self._bias, hidden, self._table)
        rows, certain = choose(logits, hidden, self._longest)
        return self._candidates[rows], certain


def load(folder: str | Path) -> BergamotTranslator:
    """Load a translator from a converted folder.

    Raises:
        ModelNotFoundError: a file is missing.
        ModelFormatError: a file is damaged, or does not belong to the others.
    """
    folder = Path(folder)
    model = load_model(folder)
    config = model.config
    if (folder / "source.spm").exists():
        tokenizer = Tokenizer(folder / "source.spm", folder / "target.spm")
    else:
        tokenizer = Tokenizer(folder / "vocab.spm")
    if tokenizer.vocab_sizes != (config.source_vocab_size, config.target_vocab_size):
        raise ModelFormatError(f"{folder}: the vocabulary is of another model")
    shortlist = _load_shortlist(folder / "shortlist.safetensors", config)
    return BergamotTranslator(model, tokenizer, shortlist)


def _load_shortlist(path: Path, config: BergamotConfig) -> Shortlist:
    try:
        stored = cast(dict[str, mx.array], mx.load(str(path)))
        arrays = {name: np.array(array) for name, array in stored.items()}
        return Shortlist(
            arrays["offsets"],
            arrays["ids"],
            first=int(arrays["first"][0]),
            vocab_sizes=(config.source_vocab_size, config.target_vocab_size),
        )
    except (OSError, RuntimeError, ValueError, KeyError, IndexError) as error:
        raise ModelFormatError(f"{path} cannot be loaded: {error}") from error
