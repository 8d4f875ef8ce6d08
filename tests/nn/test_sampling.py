"""Penalties and the best tokens, against plain loops and NumPy."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import package

from mlx_speak.nn.sampling import ban_repeated_ngrams, penalize_repetition, top_k

# Few tokens, so that sequences repeat themselves.
SEQUENCES = st.integers(1, 12).flatmap(
    lambda length: st.lists(
        st.lists(st.integers(0, 4), min_size=length, max_size=length), min_size=1, max_size=3
    )
)


def _scores(rows: int, vocab_size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, vocab_size)).astype(np.float32)


@given(sequences=SEQUENCES, penalty=st.sampled_from([0.5, 1.3, 2.0]))
@settings(max_examples=40, deadline=None)
def test_each_token_is_penalised_once(sequences: list[list[int]], penalty: float) -> None:
    scores = _scores(len(sequences), 7)
    expected = scores.copy()
    for row, sequence in zip(expected, sequences, strict=True):
        for token in set(sequence):
            row[token] *= penalty if row[token] < 0 else 1 / penalty
    found = penalize_repetition(mx.array(scores), mx.array(sequences), penalty)
    # One product or quotient, rounded otherwise than a product with the inverse.
    np.testing.assert_allclose(found, expected, rtol=3e-7)


@given(sequences=SEQUENCES, size=st.integers(1, 4))
@settings(max_examples=80, deadline=None)
def test_no_ngram_comes_twice(sequences: list[list[int]], size: int) -> None:
    scores = _scores(len(sequences), 7)
    found = np.array(ban_repeated_ngrams(mx.array(scores), mx.array(sequences), size))
    for sequence, row, result in zip(sequences, scores, found, strict=True):
        grams = {tuple(sequence[i : i + size]) for i in range(len(sequence) - size + 1)}
        for token in range(7):
            end = tuple([*sequence, token][len(sequence) + 1 - size :])
            assert result[token] == (-np.inf if end in grams else row[token])


def test_beams_are_rows_of_their_own() -> None:
    sequences = np.random.default_rng(1).integers(0, 5, (2, 3, 9))
    scores = _scores(6, 7).reshape(2, 3, 7)
    for process in (
        lambda s, i: penalize_repetition(s, i, 1.5),
        lambda s, i: ban_repeated_ngrams(s, i, 2),
    ):
        found = np.array(process(mx.array(scores), mx.array(sequences)))
        for index in np.ndindex(2, 3):
            alone = process(mx.array(scores[index])[None], mx.array(sequences[index])[None])
            np.testing.assert_array_equal(found[index], alone[0])


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(5))
def test_processors_equal_those_of_transformers(seed: int) -> None:
    torch, processors = package("torch"), package("transformers.generation.logits_process")
    sequences = np.random.default_rng(seed).integers(0, 6, (4, 20))
    scores = _scores(4, 9, seed)
    for ours, theirs in (
        (
            lambda s, i: penalize_repetition(s, i, 1.3),
            processors.RepetitionPenaltyLogitsProcessor(1.3),
        ),
        (lambda s, i: ban_repeated_ngrams(s, i, 3), processors.NoRepeatNGramLogitsProcessor(3)),
    ):
        expected = theirs(torch.tensor(sequences), torch.tensor(scores)).numpy()
        np.testing.assert_allclose(ours(mx.array(scores), mx.array(sequences)), expected, rtol=3e-7)


@pytest.mark.parametrize("vocab_size", [1, 2, 8, 255, 256, 2303, 2304, 5000, 256206])
@pytest.mark.parametrize("k", [1, 2, 8, 20])
def test_top_k(vocab_size: int, k: int) -> None:
    """Below and above the size from which blocks are searched, with and without a rest of them."""
    k = min(k, vocab_size)
    scores = np.random.default_rng(k).permutation(3 * vocab_size).astype(np.float32)
    scores = scores.reshape(1, 3, vocab_size)
    scores[0, 2] = -np.inf  # of nothing but equals, any k will do
    found, indices = map(np.array, top_k(mx.array(scores), k))
    assert found.shape == indices.shape == (1, 3, k)
    expected = np.argsort(-scores, axis=-1)[..., :k]
    np.testing.assert_array_equal(indices[0, :2], expected[0, :2])
    np.testing.assert_array_equal(found, np.take_along_axis(scores, expected, -1))
    assert len(set(indices[0, 2].tolist())) == k
    assert indices.max() < vocab_size


def test_the_first_of_equals_comes_first() -> None:
    scores = np.zeros((1, 6000), np.float32)
    scores[0, [5000, 300, 4000]] = 1
    _, indices = top_k(mx.array(scores), 3)
    assert indices.tolist() == [[300, 4000, 5000]]
