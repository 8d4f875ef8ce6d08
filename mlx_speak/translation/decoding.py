"""Turning a model's steps into token sequences: greedy and beam search.

`generate` returns what `generate` of transformers 5.23 returns for the same options.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Protocol, TypeVar

import mlx.core as mx
import numpy as np

from ..nn.sampling import ban_repeated_ngrams, penalize_repetition
from .hypotheses import BeamHypotheses, EarlyStopping, GreedyHypothesis, Hypothesis
from .nllb_model import NLLB
from .targets import Targets, beam_step, greedy_step

State = TypeVar("State")


@dataclass(frozen=True)
class GenerationOptions:
    """How to decode; `generate` explains each option."""

    forced_bos_token_id: int | None
    max_length: int
    num_beams: int = 1
    length_penalty: float = 1.0
    early_stopping: EarlyStopping = False
    no_repeat_ngram_size: int = 0
    repetition_penalty: float = 1.0
    num_return_sequences: int = 1

    def __post_init__(self) -> None:
        for name in ("max_length", "num_beams", "no_repeat_ngram_size", "num_return_sequences"):
            _check_integer(name, getattr(self, name))
        if self.forced_bos_token_id is not None:
            _check_integer("forced_bos_token_id", self.forced_bos_token_id)
        if self.num_beams < 1:
            raise ValueError(f"num_beams is {self.num_beams}: 1 is greedy, 4 or 5 are usual")
        if not 1 <= self.num_return_sequences <= self.num_beams:
            raise ValueError(
                f"num_return_sequences is {self.num_return_sequences}, but {self.num_beams} beams "
                "find from 1 to as many: raise num_beams"
            )
        if self.early_stopping not in (True, False, "never"):
            raise ValueError(
                f"early_stopping is {self.early_stopping!r}, not True, False or 'never'"
            )
        if self.max_length < 2:
            raise ValueError(
                f"max_length is {self.max_length}, but counts the start token: give 2 or more"
            )
        if self.no_repeat_ngram_size < 0:
            raise ValueError(f"no_repeat_ngram_size is {self.no_repeat_ngram_size}: 0 is off")
        if not 0 < self.repetition_penalty < float("inf"):
            raise ValueError(f"repetition_penalty is {self.repetition_penalty}: 1.0 is off")
        if not -50 <= self.length_penalty <= 50:  # beyond, the power of a length overflows
            raise ValueError(f"length_penalty is {self.length_penalty}: 1.0 is the mean")

    def prompt(self, model: NLLB) -> list[int]:
        """What every target begins with."""
        start = [model.config.decoder_start_token_id]
        return (
            start if self.forced_bos_token_id is None else [*start, int(self.forced_bos_token_id)]
        )

    def process(self, scores: mx.array, input_ids: mx.array) -> mx.array:
        """Scores (..., vocab_size) of tokens after (..., length), with the penalties asked for."""
        if self.repetition_penalty != 1.0:
            scores = penalize_repetition(scores, input_ids, self.repetition_penalty)
        if self.no_repeat_ngram_size:
            scores = ban_repeated_ngrams(scores, input_ids, self.no_repeat_ngram_size)
        return scores


def _check_integer(name: str, value: object) -> None:
    if not isinstance(value, Integral):
        raise ValueError(f"{name} is {value!r}, not an integer")


def generate(
    model: NLLB,
    input_ids: mx.array,
    attention_mask: mx.array | None = None,
    *,
    forced_bos_token_id: int | None,
    max_length: int,
    num_beams: int = 1,
    length_penalty: float = 1.0,
    early_stopping: EarlyStopping = False,
    no_repeat_ngram_size: int = 0,
    repetition_penalty: float = 1.0,
    num_return_sequences: int = 1,
    return_scores: bool = False,
) -> mx.array | tuple[mx.array, mx.array]:
    """Translate a batch as transformers' `generate` does, by greedy or by beam search.

    Args:
        input_ids: (batch, source_length), `[language] tokens </s>` and pads.
        attention_mask: (batch, source_length), nonzero where there is a token; needed where
            there are pads, which transformers 5 does not look for.
        forced_bos_token_id: the first token after the start, for NLLB the target language; None
            leaves it to the model.
        max_length: tokens a target may have, the start token included.
        num_beams: 1 is greedy search.
        length_penalty: beam search compares sum of log-probabilities / length**length_penalty;
            more than 0 favours long targets, less than 0 short ones.
        early_stopping: beam search stops a sentence when `num_beams` hypotheses are finished and,
            unless True, when the best running one seems unable to beat them: at its present
            length (False), or at the most favourable one ("never").
        no_repeat_ngram_size: no n-gram of this size comes twice in a target; 0 is off.
        repetition_penalty: makes tokens that a target already has less likely; 1.0 is off.
        num_return_sequences: the best so many targets of each source, at most `num_beams`.
        return_scores: whether to return the scores too.

    Returns:
        int32 (batch · num_return_sequences, length), from the start token to `</s>`, then pads.
        With `return_scores` also float32 (batch · num_return_sequences,): transformers'
        `sequences_scores`. For greedy search, where it has none: the sum of log-probabilities over
        length**length_penalty too.

    Raises:
        ValueError: an option or the source makes no sense.
    """
    options = GenerationOptions(
        forced_bos_token_id,
        max_length,
        num_beams,
        length_penalty,
        early_stopping,
        no_repeat_ngram_size,
        repetition_penalty,
        num_return_sequences,
    )
    sentences, steps = _begin(model, input_ids, attention_mask, options, scored=return_scores)
    for _ in steps:
        pass
    best = [hypothesis for sentence in sentences for hypothesis in sentence.best]
    sequences = [options.prompt(model) + hypothesis.tokens for hypothesis in best]
    ids = np.full((len(best), max(map(len, sequences))), model.config.pad_token_id, np.int32)
    for row, sequence in zip(ids, sequences, strict=True):
        row[: len(sequence)] = sequence
    if not return_scores:
        return mx.array(ids)
    return mx.array(ids), mx.array([hypothesis.score for hypothesis in best])


def generate_steps(
    model: NLLB, input_ids: mx.array, attention_mask: mx.array | None = None, **options: Any
) -> Iterator[list[list[int]]]:
    """Translate a batch step by step.

    Args and Raises are those of `generate`, without `return_scores`.

    Yields:
        After each step, of each source, the tokens that its best target is certain to begin with,
        without start token, forced token and end; the last is all of it. With beams, those that
        everything still able to win has in common. The lists may be the same ones, grown.
    """
    _, steps = _begin(model, input_ids, attention_mask, GenerationOptions(**options))
    return steps


def greedy(
    step: Callable[[mx.array | None, State], tuple[mx.array, State]],
    state: State,
    *,
    eos_token_id: int,
    limits: Sequence[int],
) -> Iterator[list[list[int]]]:
    """Decode a batch, the most likely token each time.

    Args:
        step: (tokens (batch,) of the step before, or None at the start; state) → (tokens, state).
        state: anything, before the first step.
        eos_token_id: ends a sequence, and is not part of it.
        limits: the longest that each sequence may become.

    Yields:
        The sequences so far, after each step. The lists are the same ones, growing.
    """

    def advance(
        before: tuple[mx.array | None, State],
    ) -> tuple[list[mx.array], tuple[mx.array, State]]:
        tokens, after = step(*before)
        return [tokens], (tokens, after)

    sentences = [GreedyHypothesis(limit, eos_token_id) for limit in limits]
    return search(advance, (None, state), sentences)


class Sentence(Protocol):
    """What a search found of one sentence."""

    @property
    def limit(self) -> int:
        """Steps it takes at most."""

    @property
    def done(self) -> bool:
        """Whether it needs no more steps."""

    @property
    def certain(self) -> list[int]:
        """The tokens that cannot change any more."""

    @property
    def best(self) -> list[Hypothesis]:
        """The results, once it is done."""

    def absorb(self, *found: Any) -> None:
        """Take what a step found: this sentence's rows of its outputs."""


def search(
    step: Callable[[Any], tuple[list[mx.array], Any]],
    state: Any,
    sentences: Sequence[Sentence],
    select: Callable[[Any, mx.array], Any] | None = None,
) -> Iterator[list[list[int]]]:
    """Run a decoder until every sentence of a batch is done.

    The graph of a step is built while the step before it is computed, so that Python's time is
    hidden. A GPU is even given it at once, since handing over takes as long; the price is one step
    too many at the end, for which a CPU would need longer.

    Args:
        step: state → (outputs, state after it). Each output has a row for each sentence.
        state: before the first step.
        sentences: take the outputs in.
        select: (state, rows) → the state of some rows, with which sentences that are done leave
            the batch.

    Yields:
        After each step, the certain tokens of each sentence.
    """
    eager = mx.default_device().type == mx.DeviceType.gpu
    batch = sentences
    if all(sentence.done for sentence in sentences):
        yield [sentence.certain for sentence in sentences]
        return
    outputs, state = step(state)
    mx.async_eval(outputs)
    for left in reversed(range(max(sentence.limit for sentence in sentences))):
        if left:
            following, state = step(state)
            if eager:
                mx.async_eval(following)
        for sentence, *found in zip(batch, *(np.array(x).tolist() for x in outputs), strict=True):
            if not sentence.done:
                sentence.absorb(*found)
        going = [row for row, sentence in enumerate(batch) if not sentence.done]
        if going:
            if select and len(going) <= _LEAVE * len(batch):
                rows = mx.array(going)
                following, state = [x[rows] for x in following], select(state, rows)
                batch = [batch[row] for row in going]
            mx.async_eval(following)
            outputs = following
        yield [sentence.certain for sentence in sentences]
        if not going:
            return


# The share of a batch that may go on at most for the others' rows to be dropped, which copies those
# that go on.
_LEAVE = 0.75


def _begin(
    model: NLLB,
    input_ids: mx.array,
    attention_mask: mx.array | None,
    options: GenerationOptions,
    scored: bool = False,
) -> tuple[list[Sentence], Iterator[list[list[int]]]]:
    """Encode the sources: the sentences to be found, and the steps that find them."""
    config, prompt = model.config, options.prompt(model)
    ids, mask = _check_source(model, input_ids, attention_mask)
    if not 0 <= prompt[-1] < config.vocab_size:
        raise ValueError(
            f"forced_bos_token_id is {prompt[-1]}: the vocabulary has {config.vocab_size} tokens"
        )
    limit = options.max_length - len(prompt)
    if len(prompt) > 1 and prompt[-1] == config.eos_token_id:
        limit = 0
    sentences: list[Sentence]
    greedily = options.num_beams == 1
    if greedily:
        step = greedy_step(model, options.process, scored=scored)
        sentences = [
            GreedyHypothesis(limit, config.eos_token_id, len(prompt) - 1, options.length_penalty)
            for _ in ids
        ]
    else:
        step = beam_step(model, options.process, options.num_beams)
        sentences = [
            BeamHypotheses(
                options.num_beams,
                limit,
                config.eos_token_id,
                len(prompt) - 1,
                options.length_penalty,
                options.early_stopping,
                options.num_return_sequences,
            )
            for _ in ids
        ]
    memory = model.remember(model.encode(mx.array(ids), mask), mask)
    start = mx.broadcast_to(mx.array(prompt, mx.int32), (len(ids), 1, len(prompt)))
    targets = Targets(memory, model.initial_caches(len(ids)), start)
    return sentences, search(step, targets, sentences, Targets.select)


def _check_source(
    model: NLLB, input_ids: mx.array, attention_mask: mx.array | None
) -> tuple[np.ndarray, mx.array | None]:
    """Ids as NumPy, and the mask if it hides anything."""
    ids = np.array(input_ids)
    if ids.ndim != 2 or not ids.size or ids.dtype.kind not in "iu":
        raise ValueError(f"input_ids is {ids.shape} {ids.dtype}, not integers (batch, length)")
    if ids.min() < 0 or ids.max() >= model.config.vocab_size:
        raise ValueError(
            f"input_ids has tokens from {ids.min()} to {ids.max()}: the vocabulary has "
            f"{model.config.vocab_size}"
        )
    if attention_mask is None:
        return ids, None
    mask = np.array(attention_mask) != 0
    if mask.shape != ids.shape:
        raise ValueError(f"attention_mask is {mask.shape}, but input_ids {ids.shape}")
    if not mask.any(axis=1).all():
        raise ValueError(f"source {mask.any(axis=1).argmin()} of the batch has no token")
    return ids, None if mask.all() else mx.array(mask)
