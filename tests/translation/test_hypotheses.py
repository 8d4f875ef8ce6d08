"""The rules of beam search on toy models: a table of log-probabilities for every prefix."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlx_speak.translation.hypotheses import (
    BeamHypotheses,
    EarlyStopping,
    GreedyHypothesis,
    Hypothesis,
)

END = 2
Model = Callable[[Sequence[int]], np.ndarray]


def toy(seed: int, vocab_size: int) -> Model:
    """Log-probabilities (vocab_size,) after a prefix, random but always the same."""

    def log_probs(prefix: Sequence[int]) -> np.ndarray:
        logits = 2 * np.random.default_rng([seed, *prefix]).normal(size=vocab_size)
        return logits - np.log(np.exp(logits).sum())

    return log_probs


@dataclass(frozen=True)
class Rules:
    num_beams: int
    limit: int
    prompt_length: int
    length_penalty: float
    early_stopping: EarlyStopping


def plain_beam_search(model: Model, rules: Rules) -> list[tuple[float, list[int]]]:
    """Beam search as `_beam_search` of transformers 5.23 reads, for one sentence, without tensors.

    Returns every finished hypothesis that it keeps, best first, with its score.
    """
    beams, lp = rules.num_beams, rules.length_penalty
    running: list[tuple[float, list[int]]] = [(0.0, [])]
    finished: list[tuple[float, list[int]]] = []
    for step in itertools.count(1):
        length = rules.prompt_length + step
        continuations = [
            (score + log_prob, [*tokens, token])
            for score, tokens in running
            for token, log_prob in enumerate(model(tokens))
        ]
        candidates = sorted(continuations, key=lambda c: -c[0])[: 2 * beams]
        stops = [tokens[-1] == END or step == rules.limit for _, tokens in candidates]
        just_finished = [c for c, stop in zip(candidates[:beams], stops, strict=False) if stop]
        finished += [(score / length**lp, tokens) for score, tokens in just_finished]
        finished = sorted(finished, key=lambda c: -c[0])[:beams]
        running = [c for c, stop in zip(candidates, stops, strict=True) if not stop][:beams]
        full = len(finished) == beams
        if not running or (full and rules.early_stopping is True):
            return finished
        if rules.early_stopping == "never" and lp > 0:
            length = rules.prompt_length + rules.limit
        if full and running[0][0] / length**lp <= finished[-1][0]:
            return finished
    raise AssertionError


def run(model: Model, rules: Rules, wanted: int = 1) -> Iterator[BeamHypotheses]:
    """The sentence after each step."""
    sentence = BeamHypotheses(
        rules.num_beams,
        rules.limit,
        END,
        rules.prompt_length,
        rules.length_penalty,
        rules.early_stopping,
        wanted,
    )
    while not sentence.done:
        found = [
            (running.score + log_prob, parent, token)
            for parent, running in enumerate(sentence.running)
            for token, log_prob in enumerate(model(running.tokens))
        ]
        found.sort(key=lambda candidate: -candidate[0])
        found += [(-math.inf, 0, 0)] * (2 * rules.num_beams)
        sentence.absorb(*zip(*found[: 2 * rules.num_beams], strict=True))
        yield sentence


RULES = st.builds(
    Rules,
    num_beams=st.integers(2, 5),
    limit=st.integers(1, 9),
    prompt_length=st.integers(0, 2),
    length_penalty=st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]),
    early_stopping=st.sampled_from([True, False, "never"]),
)


@given(seed=st.integers(0, 2**16), vocab_size=st.integers(3, 12), rules=RULES, data=st.data())
@settings(max_examples=300, deadline=None)
def test_equals_a_plain_beam_search(
    seed: int, vocab_size: int, rules: Rules, data: st.DataObject
) -> None:
    model = toy(seed, vocab_size)
    wanted = data.draw(st.integers(1, rules.num_beams))
    *_, sentence = run(model, rules, wanted)
    expected = plain_beam_search(model, rules)[:wanted]
    found = sentence.best[: len(expected)]
    assert [hypothesis.tokens for hypothesis in found] == [tokens for _, tokens in expected]
    assert [hypothesis.score for hypothesis in found] == [score for score, _ in expected]


@given(seed=st.integers(0, 2**16), vocab_size=st.integers(3, 12), rules=RULES)
@settings(max_examples=200, deadline=None)
def test_what_is_certain_is_never_taken_back(seed: int, vocab_size: int, rules: Rules) -> None:
    shown: list[list[int]] = [[]]
    for sentence in run(toy(seed, vocab_size), rules):
        shown.append(sentence.certain)
        assert shown[-1][: len(shown[-2])] == shown[-2]
    best = sentence.best[0].tokens
    assert shown[-1] == (best[:-1] if best[-1] == END else best)


@pytest.mark.parametrize("length_penalty", [-1.0, 0.0, 1.0, 2.0])
@pytest.mark.parametrize("seed", range(5))
def test_enough_beams_find_the_best_of_all_targets(seed: int, length_penalty: float) -> None:
    """Of three tokens and lengths up to three there are 15 targets: 16 beams never fill up."""
    model, scores = toy(seed, 3), {}
    for length in (1, 2, 3):
        for tokens in itertools.product(range(3), repeat=length):
            if END not in tokens[:-1] and (tokens[-1] == END or length == 3):
                total = sum(model(tokens[:i])[token] for i, token in enumerate(tokens))
                scores[tokens] = total / (1 + length) ** length_penalty
    assert len(scores) == 15
    *_, sentence = run(model, Rules(16, 3, 1, length_penalty, "never"), wanted=16)
    ranked = sorted(scores, key=lambda tokens: -scores[tokens])
    assert [tuple(hypothesis.tokens) for hypothesis in sentence.best[:15]] == ranked


def test_stops_as_soon_as_nothing_can_win() -> None:
    """A finished target of score -0.1 cannot be beaten from -3, whatever 8 tokens follow."""

    def sentence(wanted: int) -> BeamHypotheses:
        return BeamHypotheses(2, 9, END, early_stopping="never", wanted=wanted)

    best, other = sentence(1), sentence(2)
    for one in (best, other):
        one.absorb([-0.1, -3, -4, -5], [0, 0, 0, 0], [END, 5, 6, 7])
    assert best.done
    assert best.certain == []
    assert best.best == [Hypothesis([END], -0.1)]
    assert not other.done


@pytest.mark.parametrize("early_stopping", [False, "never"])
def test_a_penalty_on_length_judges_by_the_present_length(early_stopping: EarlyStopping) -> None:
    """At 20 tokens [5, 6] would come to -3, below what is finished; but it may end before."""
    sentence = BeamHypotheses(
        2, 20, END, length_penalty=-1.0, early_stopping=early_stopping, wanted=1
    )
    sentence.absorb([-0.1, -0.6, -4, -5], [0, 0, 0, 0], [5, END, 6, 7])
    sentence.absorb([-0.15, -0.9, -5, -6], [0, 0, 0, 0], [6, END, 7, 8])
    assert sentence.finished == [Hypothesis([END], -0.6), Hypothesis([5, END], -1.8)]
    assert not sentence.done


def test_streams_what_the_possible_winners_share() -> None:
    sentence = BeamHypotheses(num_beams=2, limit=20, eos_token_id=END)
    sentence.absorb([-0.1, -3, -4, -5], [0, 0, 0, 0], [5, 6, 7, 8])
    assert sentence.certain == []
    sentence.absorb([-0.2, -0.9, -3.5, -4], [0, 0, 1, 1], [9, 8, 9, END])
    assert sentence.certain == [5]
    sentence.absorb([-0.3, -1.5, -1.6, -9], [0, 1, 0, 0], [END, 4, 4, 6])
    assert sentence.certain == [5]
    assert [hypothesis.tokens for hypothesis in sentence.finished] == [[5, 9, END]]


def test_ends_where_everything_is_forbidden() -> None:
    sentence = BeamHypotheses(num_beams=2, limit=20, eos_token_id=END)
    sentence.absorb([-1.0, -2, -math.inf, -math.inf], [0, 0, 0, 0], [5, 6, 0, 0])
    sentence.absorb([-math.inf] * 4, [0] * 4, [0] * 4)
    assert sentence.done
    assert sentence.best == [Hypothesis([5], -1.0)]


def test_without_room_for_a_token_the_prompt_is_all() -> None:
    sentence = BeamHypotheses(num_beams=3, limit=0, eos_token_id=END, prompt_length=1, wanted=2)
    assert sentence.done
    assert sentence.certain == []
    assert sentence.best == [Hypothesis([], 0.0), Hypothesis([], -1e9)]


def test_greedy_keeps_its_one_hypothesis() -> None:
    sentence = GreedyHypothesis(limit=4, eos_token_id=END, prompt_length=1, length_penalty=2.0)
    for token in (5, 6, END):
        assert not sentence.done
        sentence.absorb(token, -1.5)
    assert sentence.done
    assert sentence.certain == [5, 6]
    assert sentence.best == [Hypothesis([5, 6, END], -4.5 / 16)]
    short = GreedyHypothesis(limit=1, eos_token_id=END)
    short.absorb(5)
    assert short.done
    assert short.best == [Hypothesis([5], 0.0)]
