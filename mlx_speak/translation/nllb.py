"""Translating with NLLB-200 or M2M100: tokenizer, languages and decoding around the network.

The network itself is in `nllb_model.py`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx
import numpy as np

from ..errors import ModelFormatError
from ..languages import Language
from ..model_folder import read_config
from .decoding import GenerationOptions, generate_steps
from .guards import Fault, Guard
from .hypotheses import EarlyStopping
from .nllb_model import NLLB, NLLBConfig, load_model
from .restriction import Vocabulary, exact_greedy
from .tokenizer import NLLBTokenizer
from .translator import Translator

__all__ = ["NLLB", "NLLBConfig", "NLLBTranslator", "Search", "load", "load_model"]


@dataclass(frozen=True)
class Search:
    """How translations are searched for, under the names of transformers' `generate`."""

    num_beams: int = 1
    """1 is greedy search, which is fastest and yields every token at once; 4 or 5 beams often
    find better words."""
    length_penalty: float = 1.0
    """Exponent of the length that a beam's score is divided by: above 0 favours longer ones."""
    early_stopping: EarlyStopping = False
    """When beams are given up: True, as soon as `num_beams` are whole; False, when a better one is
    unlikely; "never", when none is possible."""
    no_repeat_ngram_size: int = 0
    """Runs of so many tokens occur once; 0 lets them repeat."""
    repetition_penalty: float = 1.0
    """Above 1 makes tokens that have occurred less likely."""

    def __post_init__(self) -> None:
        # Options that make no sense are a ValueError now, not when the first sentence comes.
        GenerationOptions(None, 2, **dataclasses.asdict(self))


GREEDY = Search()


class NLLBTranslator(Translator):
    """Every language of the model into every other.

    Args:
        model: the network.
        tokenizer: its vocabulary.
        vocabularies: for some languages by FLORES-200 code, the tokens they are mostly written in:
            greedy translations into these languages then read little of the output table.
        search: how translations are searched for; may be set later.
        name: for messages.
    """

    def __init__(
        self,
        model: NLLB,
        tokenizer: NLLBTokenizer,
        *,
        vocabularies: dict[str, Vocabulary] | None = None,
        search: Search = GREEDY,
        name: str = "nllb",
    ):
        self.model, self.tokenizer, self.search, self.name = model, tokenizer, search, name
        self.vocabularies = dict(vocabularies or {})
        self.max_length = min(_MAX_LENGTH, model.config.max_position_embeddings)
        self._languages = tokenizer.languages, tokenizer.languages

    @property
    def languages(self) -> tuple[tuple[Language, ...], tuple[Language, ...]]:
        return self._languages

    def count_tokens(self, sentence: str, source: Language) -> int:
        return len(self.tokenizer.encode(sentence, source))

    def limit(self, length: int) -> int:
        prompt = 2
        return min(super().limit(length), self.model.config.max_position_embeddings - prompt)

    def detokenize(self, tokens: Sequence[int], target: Language) -> str:
        return self.tokenizer.decode(tokens)

    def translate_sentences(
        self, sentences: Sequence[str], source: Language, target: Language
    ) -> list[list[int]]:
        encoded = [self.tokenizer.encode(sentence, source) for sentence in sentences]
        results: list[list[int]] = [[] for _ in encoded]
        for rows in _batches([len(tokens) for tokens in encoded], self.search.num_beams):
            guards = [self.guard(sentences[i], source) for i in rows]
            for step in self._decode([encoded[i] for i in rows], target, self.search):
                for i, tokens in zip(rows, step, strict=True):
                    results[i] = tokens[: self.limit(len(encoded[i]))]
                if self.search.num_beams == 1 and _only_loops(guards, step):
                    break
        return results

    def stream_sentence(
        self, sentence: str, source: Language, target: Language, draft: Sequence[int] = ()
    ) -> Iterator[list[int]]:
        encoded = self.tokenizer.encode(sentence, source)
        vocabulary = self.vocabularies.get(target.flores)
        if self.search == GREEDY and (vocabulary is not None or draft):
            prompt = [
                self.model.config.decoder_start_token_id,
                self.tokenizer.language_token_id(target),
            ]
            memory = self.model.remember(self.model.encode(mx.array([encoded])))
            yield from exact_greedy(
                self.model,
                memory,
                prompt=prompt,
                max_length=len(prompt) + self.limit(len(encoded)),
                vocabulary=vocabulary,
                source=encoded,
                draft=draft,
            )
        else:
            for (tokens,) in self._decode([encoded], target, self.search):
                yield list(tokens)

    def alternatives(
        self, sentence: str, source: Language, target: Language, fault: Fault
    ) -> Iterator[Iterator[list[int]]]:
        """Without the n-grams that made the loop, then with more beams too."""
        encoded = [self.tokenizer.encode(sentence, source)]
        # Blocks nothing before the loop's second round is over, which may have been shown.
        size = max(_NGRAM, fault.period + 1)
        blocked = dataclasses.replace(self.search, no_repeat_ngram_size=size)
        wider = dataclasses.replace(blocked, num_beams=max(_BEAMS, 2 * self.search.num_beams))
        for search in (blocked, wider) if fault.period else (wider,):
            yield (tokens for (tokens,) in self._decode(encoded, target, search))

    def _decode(
        self, encoded: Sequence[Sequence[int]], target: Language, search: Search
    ) -> Iterator[list[list[int]]]:
        """The certain tokens of each of a batch of sources, after each step."""
        lengths = [len(tokens) for tokens in encoded]
        ids = np.zeros((len(encoded), max(lengths)), np.int32)
        for row, tokens in zip(ids, encoded, strict=True):
            row[: len(tokens)] = tokens
        return generate_steps(
            self.model,
            mx.array(ids),
            mx.array(np.arange(max(lengths)) < np.array(lengths)[:, None]),
            forced_bos_token_id=self.tokenizer.language_token_id(target),
            max_length=2 + self.limit(max(lengths)),
            **dataclasses.asdict(search),
        )


_MAX_LENGTH = 512
"""Tokens of the longest sentences in the training of NLLB-200 (its model card)."""

_ROWS, _TOKENS = 64, 4096
"""A batch has at most so many rows (sentences times beams: each needs a row of scores over the
vocabulary, a megabyte) and so many source tokens, pads included."""

_NGRAM, _BEAMS = 3, 4
"""A second attempt repeats no three tokens; a third one looks at four beams."""


def _batches(lengths: Sequence[int], num_beams: int) -> Iterator[list[int]]:
    """Places of sentences of like lengths, the shortest first, so that little is padded."""
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        rows = len(batch) + 1
        if batch and (rows * num_beams > _ROWS or rows * lengths[i] > _TOKENS):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def _only_loops(guards: Sequence[Guard], step: Sequence[Sequence[int]]) -> bool:
    """Whether of a batch that is decoded greedily only loops go on."""
    goes_on = [len(tokens) > len(guard.tokens) for guard, tokens in zip(guards, step, strict=True)]
    for guard, tokens in zip(guards, step, strict=True):
        guard.see(tokens)
    return all(guard.loop for guard, going in zip(guards, goes_on, strict=True) if going)


def load(folder: str | Path) -> NLLBTranslator:
    """Load a translator from a converted folder.

    Raises:
        ModelNotFoundError: a file is missing.
        ModelFormatError: a file is damaged, or does not belong to the others.
    """
    folder = Path(folder)
    model = load_model(folder)
    tokenizer = NLLBTokenizer.load(folder, read_config(folder))
    if tokenizer.vocab_size > model.config.vocab_size:
        raise ModelFormatError(
            f"{folder}: the vocabulary is of another model: it has {tokenizer.vocab_size} tokens, "
            f"the model {model.config.vocab_size}"
        )
    vocabularies = {}
    for path in sorted((folder / "vocabulary").glob("*.safetensors")):
        vocabularies[path.stem] = vocabulary = Vocabulary.load(path)
        if len(vocabulary) and vocabulary.ids[-1] >= model.config.vocab_size:
            raise ModelFormatError(f"{path}: the vocabulary is of another model")
    return NLLBTranslator(model, tokenizer, vocabularies=vocabularies, name=folder.name)
