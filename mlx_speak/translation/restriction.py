"""Greedy decoding over the words of one language, with the output of the whole vocabulary.

Of an NLLB decode step, 60 % is reading the output table of 256,206 tokens, of which a language
uses a few thousand to twenty thousand. Those rows alone guess the tokens; `drafting` then checks
many guesses against the whole table in one product, which reads it once.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_reduce

from ..errors import ModelFormatError, ModelNotFoundError
from ..kernels import argmax
from ..nn.projection import score
from .certainty import choose
from .drafting import Report, verified_greedy
from .nllb_model import NLLB, Memory


class Vocabulary:
    """The tokens in which a language is written, and their rows of the output table."""

    def __init__(self, ids: Sequence[int] | np.ndarray):
        """
        Args:
            ids: ascending.

        Raises:
            ModelFormatError: they are not integers from 0, each greater than the one before.
        """
        array = np.asarray(ids)
        if array.size == 0:
            array = array.astype(np.int32)
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise ModelFormatError("a vocabulary is a list of token ids")
        if array.size and (array[0] < 0 or array[-1] >= 2**31 or np.any(array[1:] <= array[:-1])):
            raise ModelFormatError("the ids of a vocabulary must ascend from 0 on")
        self.ids = array.astype(np.int32)
        self._rows: tuple[nn.Module, nn.Module] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def load(cls, path: str | Path) -> Vocabulary:
        """Read `vocabulary/<FLORES code>.safetensors` of a converted folder.

        Raises:
            ModelNotFoundError: there is no such file.
            ModelFormatError: it is damaged, or something else.
        """
        path = Path(path)
        if not path.is_file():
            raise ModelNotFoundError(
                f"there is no vocabulary {path}; `python -m mlx_speak.convert vocabulary` makes one"
            )
        try:
            stored = cast(dict[str, mx.array], mx.load(str(path)))
            return cls(np.array(stored["ids"]))
        except KeyError:
            raise ModelFormatError(f"{path} is no vocabulary: it holds no ids") from None
        except (OSError, RuntimeError, ValueError, TypeError) as error:
            raise ModelFormatError(f"{path} cannot be loaded: {error}") from error

    def rows(self, embedding: nn.Module) -> nn.Module:
        """The table with these rows only, gathered at the first use and kept.

        Args:
            embedding: the whole table, an `Embedding` or a `QuantizedEmbedding`.

        Raises:
            ModelFormatError: the table is smaller than the vocabulary.
        """
        if self._rows is None or self._rows[0] is not embedding:
            size = len(embedding.weight)
            if len(self) and self.ids[-1] >= size:
                raise ModelFormatError(
                    f"the vocabulary is of another model: token {self.ids[-1]} of {size}"
                )
            rows = take_rows(embedding, self.ids)
            mx.eval(rows.parameters())
            self._rows = embedding, rows
        return self._rows[1]


def take_rows(embedding: nn.Module, ids: np.ndarray) -> nn.Module:
    """Some rows of a table, quantised as it is: every parameter has a row for each token."""
    rows = copy.copy(embedding)
    chosen = mx.array(ids)
    for name, parameter in embedding.parameters().items():
        rows[name] = parameter[chosen]
    return rows


def exact_greedy(
    model: NLLB,
    memory: Memory,
    *,
    prompt: Sequence[int],
    max_length: int,
    vocabulary: Vocabulary | None = None,
    source: Sequence[int] = (),
    draft: Sequence[int] = (),
    report: Report | None = None,
) -> Iterator[list[int]]:
    """Translate one sentence greedily over the whole vocabulary, reading little of its table.

    Args:
        model: its output table may be quantised.
        memory: of the sentence, a batch of one.
        prompt: what the target begins with: start token and language.
        max_length: the most tokens of the target, prompt and end included.
        vocabulary: likely tokens; None reads the whole table at every step.
        source: the sentence's tokens, which its translation may repeat; likely ones too.
        draft: an earlier translation of the sentence's beginning, without prompt and end.
        report: is filled in; `bytes_read` makes bytes of it.

    Yields:
        The tokens that are certain, without prompt and end, whenever there are more; the last
        list is the sentence. They are those of greedy decoding over the whole vocabulary, as
        `drafting` says.

    Raises:
        ModelFormatError: the vocabulary is of another model.
    """
    config = model.config
    decoder = NLLBDecoder(model, memory, prompt, vocabulary, source)
    return verified_greedy(
        decoder,
        eos_token_id=config.eos_token_id,
        vocab_size=config.vocab_size,
        limit=max_length - len(prompt),
        draft=draft,
        report=report,
    )


def bytes_read(report: Report, model: NLLB, vocabulary: Vocabulary | None = None) -> int:
    """The parameters that decoding a sentence read, in bytes: decoder and tables, pass by pass.

    The projections of the encoded source are read once a sentence, before, and not counted; nor
    are the few rows of the source's own tokens.
    """
    once = sum(_size(layer.cross_attention.key_value) for layer in model.decoder.layers)
    restricted = _size(vocabulary.rows(model.embedding)) if vocabulary is not None else 0
    return (
        report.passes * (_size(model.decoder) - once)
        + report.guesses * restricted
        + report.checks * _size(model.embedding)
    )


class NLLBDecoder:
    """NLLB's decoder on one sentence, as `drafting.Decoder` has it."""

    def __init__(
        self,
        model: NLLB,
        memory: Memory,
        prompt: Sequence[int],
        vocabulary: Vocabulary | None,
        source: Sequence[int],
    ):
        self._model, self._memory, self._prompt = model, memory, mx.array(list(prompt), mx.int32)
        self._caches = model.initial_caches(1)
        self._longest = _longest_row(model)
        self.restricted = vocabulary is not None
        if vocabulary is not None:
            # The end is likely in every language. Few rows of their own cost less than a new table.
            own = {model.config.eos_token_id, *source}
            own_ids = np.array(sorted(own.difference(vocabulary.ids.tolist())), np.int32)
            parts = [(vocabulary.ids, vocabulary.rows(model.embedding))]
            parts += [(own_ids, take_rows(model.embedding, own_ids))]
            self._tables = [table for ids, table in parts if len(ids)]
            self._ids = mx.array(np.concatenate([ids for ids, _ in parts]))

    def run(self, tokens: mx.array) -> mx.array:
        at_start = self._caches[0].length == 0
        if at_start:
            tokens = mx.concatenate([self._prompt, tokens])
        states = []
        for part in self._parts(tokens):
            hidden, self._caches = self._model.decode(part[None], self._memory, self._caches)
            states.append(hidden[0])
        hidden = mx.concatenate(states) if len(states) > 1 else states[0]
        return hidden[len(self._prompt) - 1 :] if at_start else hidden

    def cut(self, length: int) -> None:
        kept = len(self._prompt) + length - 1 if length else 0
        self._caches = [cache.truncate(kept) for cache in self._caches]

    def guess(self, hidden: mx.array) -> mx.array:
        logits = mx.concatenate([score(hidden, table) for table in self._tables], axis=-1)
        return self._ids[argmax(logits)]

    def best(self, hidden: mx.array) -> tuple[mx.array, mx.array]:
        return choose(self._model.logits(hidden), hidden, self._longest)

    def _parts(self, tokens: mx.array) -> list[mx.array]:
        """Tokens that one pass may read: a pad within them would not count as a place."""
        if tokens.size == 1:  # and perhaps not known yet
            return [tokens]
        pads = np.flatnonzero(np.array(tokens[:-1]) == self._model.config.pad_token_id)
        return list(mx.split(tokens, (pads + 1).tolist()))


def _longest_row(model: NLLB) -> float:
    """The length of the longest row of the output table, found once for a model's weights."""
    longest = getattr(model, "_longest_row", None)
    if longest is None:
        ids = np.arange(model.config.vocab_size)
        blocks = np.array_split(ids, -(-len(ids) // _ROWS_AT_ONCE))
        rows = (model.embedding(mx.array(block)).astype(mx.float32) for block in blocks)
        longest = float(max(np.array(mx.linalg.norm(x, axis=-1)).max() for x in rows))
        model._longest_row = longest
    return longest


_ROWS_AT_ONCE = 1 << 14


def _size(module: nn.Module) -> int:
    return tree_reduce(lambda size, parameter: size + parameter.nbytes, module.parameters(), 0)
