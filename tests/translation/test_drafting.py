"""Guesses that are verified, on decoders that are nothing but numbers, and whose rounding is bad.

`Numbers` has hidden states drawn from the tokens before them, and a table in which many tokens
score alike. Whatever it computes for several rows at once is off by as much as `certainty` says
that it may be, in the direction that does most harm.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlx_speak.translation.certainty import choose
from mlx_speak.translation.drafting import DraftTokens, Report, verified_greedy

SIZE, DIMS = 24, 16
END = SIZE - 1  # of equals the lowest is chosen, so not always this one

# How far states of several rows may be from those of one row, relative to their length.
STATES = 2**-15


class Numbers:
    """A decoder of which single steps are the truth."""

    def __init__(
        self,
        seed: int,
        *,
        guessed: Sequence[int] | None = None,
        close: bool = True,
        trusting: bool = False,
    ):
        """
        Args:
            seed: of the table and all states.
            guessed: the tokens that `guess` knows; None: it is not there.
            close: let tokens tie, exactly and nearly; otherwise none does, and no sentence ends.
            trusting: take several rows at their word (the mistake that `certainty` prevents).
        """
        self.restricted = guessed is not None
        self._guessed = np.array(guessed if guessed is not None else [], int)
        self._seed, self._trusting = seed, trusting
        random = np.random.default_rng(seed)
        if close:
            # Sums of small integers are exact, and often equal; then a tiny last column decides.
            self._table = random.integers(-1, 2, (SIZE, DIMS)).astype(np.float32)
            self._table[:, -1] *= np.float32(2**-16)
        else:
            self._table = random.standard_normal((SIZE, DIMS), np.float32)
            self._table[END] = 0
        self._longest = float(np.linalg.norm(self._table, axis=1).max())
        self._tokens: list[int] = []
        self._length = 0
        self._stepped = 0
        self.passes: list[int] = []

    def state(self, before: Sequence[int]) -> np.ndarray:
        """What a single step computes after these tokens: small integers."""
        random = np.random.default_rng([self._seed, len(before), *before[-2:]])
        return random.integers(-2, 3, DIMS).astype(np.float32)

    def run(self, tokens: mx.array) -> mx.array:
        new = np.array(tokens).tolist()
        assert self._length == 0 or new, "a pass without a token"
        first = self._length
        self._tokens += new
        self._length = len(self._tokens) + 1
        self.passes.append(self._length - first)
        if self._length - first == 1 and self._stepped == first:
            self._stepped = self._length
        places = range(first, self._length)
        states = [self._blur(self.state(self._tokens[:place]), place) for place in places]
        return mx.array(np.stack(states))

    def _blur(self, state: np.ndarray, place: int) -> np.ndarray:
        """Exact for single steps on what single steps computed; else off by nearly `STATES`."""
        if place < self._stepped:
            return state
        scores = self._table @ state
        best, second = np.argsort(-scores, kind="stable")[:2]
        harm = self._table[second] - self._table[best]
        if not harm.any():
            return state
        length = 0.99 * STATES * np.linalg.norm(state)
        return (state + length * harm / np.linalg.norm(harm)).astype(np.float32)

    def cut(self, length: int) -> None:
        assert 0 <= length <= self._length
        self._length = length
        self._stepped = min(self._stepped, length)
        del self._tokens[max(length - 1, 0) :]

    def guess(self, hidden: mx.array) -> mx.array:
        scores = np.array(hidden) @ self._table[self._guessed].T
        return mx.array(self._guessed[scores.argmax(axis=1)].astype(np.int32))

    def best(self, hidden: mx.array) -> tuple[mx.array, mx.array]:
        scores = (np.array(hidden, np.float64) @ self._table.T).astype(np.float32)
        tokens, certain = choose(mx.array(scores), hidden, self._longest)
        return tokens, mx.ones_like(certain) if self._trusting else certain


def truth(decoder: Numbers, limit: int) -> list[int]:
    """Greedy decoding as its definition says."""
    tokens: list[int] = []
    while len(tokens) < limit:
        token = int((decoder._table @ decoder.state(tokens)).argmax())
        if token == END:
            break
        tokens.append(token)
    return tokens


def decode(
    decoder: Numbers, limit: int, draft: Sequence[int] = (), report: Report | None = None
) -> list[int]:
    """All of `verified_greedy`, which only ever adds to what it has said."""
    said = list(
        verified_greedy(
            decoder, eos_token_id=END, vocab_size=SIZE, limit=limit, draft=draft, report=report
        )
    )
    for before, after in itertools.pairwise(said):
        assert after[: len(before)] == before
    return said[-1]


@st.composite
def drafts(draw: st.DrawFn, tokens: list[int]) -> list[int]:
    """The tokens themselves, or cut off, corrupted, lengthened, or nothing of the kind."""
    draft = list(tokens)
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(draft)))
        change = draw(st.integers(0, 3))
        token = draw(st.integers(-2, SIZE + 2))
        if change == 0:
            draft = draft[:place]
        elif change == 1:
            draft.insert(place, token)
        elif change == 2:
            draft[place : place + 1] = [token]
        else:
            draft[place:place] = draw(st.lists(st.integers(0, SIZE), max_size=8))
    return draft


@given(
    data=st.data(),
    seed=st.integers(0, 10_000),
    limit=st.integers(-1, 60),
    guessed=st.none() | st.lists(st.integers(0, SIZE - 1), min_size=1, max_size=SIZE),
    hopeful=st.booleans(),
)
@settings(max_examples=400, deadline=None)
def test_whatever_is_guessed_the_tokens_are_those_of_greedy_decoding(
    data: st.DataObject, seed: int, limit: int, guessed: list[int] | None, hopeful: bool
) -> None:
    decoder = Numbers(seed, guessed=guessed)
    expected = truth(decoder, limit)
    draft = data.draw(drafts(expected))
    with pytest.MonkeyPatch.context() as patch:
        made = DraftTokens.__init__
        patch.setattr(
            DraftTokens, "__init__", lambda *a, **k: made(*a, **{**k, "hopeful": hopeful})
        )
        assert decode(decoder, limit, draft) == expected


def test_rounding_would_change_tokens() -> None:
    """The trap of these decoders is real: without the doubt, some sentences come out different."""
    wrong = 0
    for seed in range(50):
        expected = truth(Numbers(seed), 40)
        assert decode(Numbers(seed), 40, expected) == expected
        wrong += decode(Numbers(seed, trusting=True), 40, expected) != expected
    assert wrong > 5


def test_a_good_draft_takes_one_pass() -> None:
    expected = truth(Numbers(1, close=False), 30)
    report = Report()
    decoder = Numbers(1, close=False)
    assert decode(decoder, 30, expected[:-1], report) == expected
    assert decoder.passes == [30]
    assert report == Report(passes=1, rows=30, checks=1)


def test_a_token_replaced_takes_two_steps() -> None:
    """One that corrects it, and one that finds the place again."""
    expected = truth(Numbers(1, close=False), 30)
    stranger = next(t for t in range(SIZE) if t not in expected)
    assert expected[9] not in expected[10:16]
    decoder = Numbers(1, close=False)
    assert decode(decoder, 30, [*expected[:9], stranger, *expected[10:-1]]) == expected
    assert decoder.passes == [30, 1, 19]


def test_without_a_draft_every_pass_is_a_single_step() -> None:
    """So that restriction alone leaves states as greedy decoding has them."""
    for seed in range(30):
        decoder = Numbers(seed, guessed=range(0, SIZE, 2))
        assert decode(decoder, 40) == truth(Numbers(seed), 40)
        assert set(decoder.passes) == {1}


def test_checks_wait_longer_while_nothing_is_missed() -> None:
    report = Report()
    said = verified_greedy(
        Numbers(1, guessed=range(SIZE), close=False),
        eos_token_id=END,
        vocab_size=SIZE,
        limit=100,
        report=report,
    )
    assert [len(tokens) for tokens in said] == [8, 8 + 16, 8 + 16 + 32, 8 + 16 + 32 + 32, 100]
    assert report == Report(passes=100, rows=100, guesses=100, checks=5)


def test_a_useless_table_is_given_up() -> None:
    expected = truth(Numbers(1, close=False), 60)
    stranger = next(t for t in range(SIZE) if t not in expected)
    useless = Numbers(1, guessed=[stranger], close=False)
    report = Report()
    assert decode(useless, 60, report=report) == expected
    assert report.misses == 2  # the first check, after eight guesses, and one after four
    assert report.guesses == 8 + 4
    assert report.passes <= 60 + 12


@pytest.mark.parametrize(
    ("draft", "tokens", "offered"),
    [
        ([1, 2, 3, 4], [1, 2], [3, 4]),
        ([1, 2, 3, 4], [9, 2], [3, 4]),  # replaced, then met again
        ([1, 2, 3, 4], [9, 8], []),  # lost
        ([5, 6, 1, 2, 3], [1], [2, 3]),  # left out
        ([3, 1, 2, 4, 3, 1, 5], [7, 1], [2, 4, 3, 1, 5]),  # one token: the nearest
        ([3, 1, 2, 4, 3, 8, 5], [3, 8], [5]),  # two tokens, wherever
        ([4, 4, 4, 4, 4, 4, 8, 5], [7, 8], []),  # one token is not enough from afar
        ([], [1], []),
    ],
)
def test_the_place_in_a_draft(draft: list[int], tokens: list[int], offered: list[int]) -> None:
    tracked = DraftTokens(draft, end=END, hopeful=False)
    tracked.follow(tokens)
    assert tracked.offer(99) == offered
    assert tracked.offer(1) == offered[:1]
    assert tracked.offer(-1) == []


def test_a_lost_draft_may_be_tried_all_the_same() -> None:
    tracked = DraftTokens([1, 2, 3, 4], end=END, hopeful=True)
    tracked.follow([1, 9])
    assert tracked.offer(99) == [3, 4]  # 9 may stand for 2
    tracked.follow([1, 9, 2])
    assert tracked.offer(99) == [3, 4]  # it was one more


def test_retracted_tokens_become_draft_again() -> None:
    tracked = DraftTokens([1, 2, 3, 4, 5], end=END, hopeful=False)
    tracked.follow([1, 2, 7, 3, END])
    tracked.retract([1, 2, 7, 3, END], 2)
    assert tracked.offer(99) == [7, 3, 4, 5]
    tracked.follow([1, 2, 3])
    assert tracked.offer(99) == [4, 5]


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16])
def test_choose(dtype: mx.Dtype) -> None:
    """The best is certain only where nothing is near; equals and NaN never are."""
    near = 1e-5 if dtype == mx.float32 else 0.5 * mx.finfo(dtype).eps
    logits = mx.array(
        [[1, 8, 2], [8, 1, 8], [8 * (1 - near), 1, 8], [1, float("nan"), 2]], dtype=dtype
    )
    tokens, certain = choose(logits, mx.ones((4, 4), dtype), 1.0)
    assert tokens.tolist()[:2] == [1, 0]
    assert certain.tolist() == [True, False, False, False]


def test_no_order_of_summation_beats_certainty() -> None:
    """float32 products of the same numbers, each row summed in an order of its own."""
    random = np.random.default_rng(0)
    dims, flips, close = 1024, 0, 0
    for _ in range(300):
        hidden = random.standard_normal(dims).astype(np.float32)
        row = random.standard_normal(dims).astype(np.float32)
        # Its rival differs by so little that rounding decides.
        rows = np.stack([row, row + np.float32(2e-7) * random.standard_normal(dims)])
        rows = rows.astype(np.float32)
        scores = []
        for _ in range(4):
            order = random.permutation(dims)
            scores.append(np.add.accumulate(rows[:, order] * hidden[order], axis=1)[:, -1])
        longest = float(np.linalg.norm(rows, axis=1).max())
        hiddens = mx.array(np.tile(hidden, (4, 1)))
        tokens, certain = map(np.array, choose(mx.array(np.stack(scores)), hiddens, longest))
        flips += len(set(tokens.tolist())) > 1
        close += not certain.any()
        assert len(set(tokens[certain].tolist())) < 2
    assert flips > 30
    assert close == 300


def test_a_draft_is_read_as_far_as_the_sentence_may_go() -> None:
    """Not for ever, though it may be a whole text's."""

    class Endless(Sequence[int]):
        def __len__(self) -> int:
            return 10**9

        def __getitem__(self, at):  # type: ignore[no-untyped-def]
            return [1] * len(range(*at.indices(1000)))

    decoder = Numbers(1, close=False)
    assert decode(decoder, 30, Endless()) == truth(decoder, 30)
    assert max(decoder.passes) <= 30
