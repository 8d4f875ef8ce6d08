"""Greedy and beam search on the fixture's model, against transformers' recorded results."""

from __future__ import annotations

import inspect
import json
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx.utils import tree_flatten
from translation.nllb_models import END, PAD, tiny

from mlx_speak.translation import targets as targets_module
from mlx_speak.translation.decoding import generate, generate_steps, greedy
from mlx_speak.translation.nllb_model import NLLB
from mlx_speak.translation.targets import Targets, beam_step

# Sums of two dozen float32 log-probabilities, each from logits with an error of 3e-6.
SCORE_TOLERANCE = 1e-4

LANGUAGE = 213
ORACLE = tiny()[1]
RECORDED = json.loads(str(ORACLE["gencfg"]))
SOURCE = mx.array(ORACLE["input_ids"].astype(np.int32))
MASK = mx.array(ORACLE["attention_mask"].astype(np.int32))


@pytest.fixture(scope="module")
def model() -> NLLB:
    return tiny()[0]


def trimmed(row: list[int]) -> list[int]:
    """A row of `generate` as `generate_steps` shows it: no prompt, end or pads."""
    target = row[2:]
    return target[: target.index(END)] if END in target else target


@pytest.mark.parametrize("name", RECORDED["gens"])
def test_equals_transformers(model: NLLB, name: str) -> None:
    options = {
        "forced_bos_token_id": int(ORACLE["forced_bos"]),
        "max_length": RECORDED["max_length"],
        **RECORDED["gens"][name],
    }
    ids, scores = generate(model, SOURCE, MASK, return_scores=True, **options)
    assert ids.dtype == mx.int32
    np.testing.assert_array_equal(ids, ORACLE[f"gen::{name}"])
    if options["num_beams"] > 1:
        np.testing.assert_allclose(scores, ORACLE[f"gen::{name}::scores"], atol=SCORE_TOLERANCE)
    np.testing.assert_array_equal(generate(model, SOURCE, MASK, **options), ids)


OPTIONS = st.fixed_dictionaries(
    {
        "forced_bos_token_id": st.sampled_from([None, LANGUAGE, 220]),
        "max_length": st.sampled_from([3, 4, 9, 24, 40]),
        "num_beams": st.sampled_from([1, 2, 4, 5]),
        "length_penalty": st.sampled_from([-0.5, 0.0, 1.0, 2.0]),
        "early_stopping": st.sampled_from([True, False, "never"]),
        "no_repeat_ngram_size": st.sampled_from([0, 1, 2, 3]),
        "repetition_penalty": st.sampled_from([0.8, 1.0, 1.3]),
    }
)


@given(options=OPTIONS)
@settings(max_examples=40, deadline=None)
def test_streamed_tokens_stay_and_become_the_result(options: dict[str, Any]) -> None:
    model = tiny()[0]
    before: list[list[int]] = [[]] * len(SOURCE)
    for certain in generate_steps(model, SOURCE, MASK, **options):
        assert [new[: len(old)] for new, old in zip(certain, before, strict=True)] == before
        before = [list(tokens) for tokens in certain]
    if options["forced_bos_token_id"] is None:
        before = [tokens[1:] for tokens in before]
    assert before == [trimmed(row) for row in generate(model, SOURCE, MASK, **options).tolist()]


@pytest.mark.parametrize("num_beams", [1, 4])
@pytest.mark.parametrize("kind", ["float16", "bfloat16", "8 bits"])
def test_other_precisions(kind: str, num_beams: int) -> None:
    """They find nearly what float32 finds: the trained model prefers some tokens clearly."""
    whole, model = tiny()[0], NLLB(tiny()[0].config)
    model.load_weights(tree_flatten(whole.parameters()))
    if kind == "8 bits":
        nn.quantize(model, group_size=32, bits=8)
    else:
        model.set_dtype(getattr(mx, kind))
    options = {"forced_bos_token_id": LANGUAGE, "max_length": 24, "num_beams": num_beams}
    *_, streamed = generate_steps(model, SOURCE, MASK, **options)
    ids = generate(model, SOURCE, MASK, **options)
    assert streamed == [trimmed(row) for row in ids.tolist()]
    expected = generate(whole, SOURCE, MASK, **options).tolist()
    assert sum(a == b for a, b in zip(ids.tolist(), expected, strict=True)) >= 2


def test_streaming_is_early(model: NLLB) -> None:
    """Greedy search shows a token a step; beams some as soon as they agree."""
    source = SOURCE[:1]
    options = {"forced_bos_token_id": LANGUAGE, "max_length": 24}
    lengths = [len(tokens) for (tokens,) in generate_steps(model, source, **options)]
    assert lengths == [*range(1, 10), 9]
    lengths = [len(tokens) for (tokens,) in generate_steps(model, source, num_beams=4, **options)]
    assert lengths == [0, 0, 2, 3, 3, 3, 3, 3, 3, 3, 10]


@pytest.mark.parametrize(
    "options",
    [
        {"num_beams": 1},
        {"num_beams": 1, "no_repeat_ngram_size": 2, "repetition_penalty": 1.3},
        {"num_beams": 4},
        {"num_beams": 4, "early_stopping": "never", "length_penalty": 2.0},
        {"num_beams": 3, "early_stopping": True, "num_return_sequences": 3},
    ],
)
def test_a_batch_changes_nothing(model: NLLB, options: dict[str, Any]) -> None:
    """Each source alone, without pads, comes to what it comes to among eleven others.

    They are done at different steps, so that most of them leave the batch before its end.
    """
    rows = [0, 1, 2, 3, 3, 1, 0, 2, 2, 1, 3, 2]
    options = {"forced_bos_token_id": LANGUAGE, "max_length": 30, "return_scores": True, **options}
    ids, scores = generate(model, SOURCE[mx.array(rows)], MASK[mx.array(rows)], **options)
    count = options.get("num_return_sequences", 1)
    for i, row in enumerate(rows):
        length = int(MASK[row].sum().item())
        alone, score = generate(model, SOURCE[row : row + 1, :length], **options)
        together = np.array(ids)[i * count : (i + 1) * count]
        np.testing.assert_array_equal(together[:, : alone.shape[1]], alone)
        assert (together[:, alone.shape[1] :] == PAD).all()
        np.testing.assert_allclose(scores[i * count : (i + 1) * count], score, atol=1e-5)


@pytest.mark.parametrize("every", [4, 16])
def test_giving_up_slots_changes_nothing(
    model: NLLB, every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {
        "forced_bos_token_id": LANGUAGE,
        "max_length": 200,
        "num_beams": 4,
        "num_return_sequences": 4,
        "length_penalty": 6.0,  # so that the targets become long
        "early_stopping": "never",
        "return_scores": True,
    }
    sizes = []
    compact = Targets.compact

    def recorded(targets: Targets) -> Targets:
        after = compact(targets)
        sizes.append((targets.caches[0].length, after.caches[0].length))
        return after

    monkeypatch.setattr(Targets, "compact", recorded)
    monkeypatch.setattr(targets_module, "_COMPACT_EVERY", 10**9)
    ids, scores = generate(model, SOURCE, MASK, **options)
    assert ids.shape == (16, 200)
    assert not sizes
    monkeypatch.setattr(targets_module, "_COMPACT_EVERY", every)
    compacted, same_scores = generate(model, SOURCE, MASK, **options)
    assert any(after <= before / 2 for before, after in sizes)
    np.testing.assert_array_equal(compacted, ids)
    # The same terms, summed in another order.
    np.testing.assert_allclose(same_scores, scores, rtol=1e-5)


def test_scores_of_greedy_search(model: NLLB) -> None:
    """The mean log-probability that the model, asked for the whole target, gives its tokens."""
    ids, scores = generate(
        model, SOURCE, MASK, forced_bos_token_id=LANGUAGE, max_length=24, return_scores=True
    )
    logits = model(SOURCE, ids, MASK)
    log_probs = np.array(logits - mx.logsumexp(logits, axis=-1, keepdims=True))
    for row, target, score in zip(log_probs, np.array(ids), np.array(scores), strict=True):
        length = 2 + len(trimmed(target.tolist()))
        chosen = row[np.arange(1, length), target[2 : length + 1]]
        np.testing.assert_allclose(chosen.sum() / length, score, atol=SCORE_TOLERANCE)


def test_no_score_grows_by_rounding(model: NLLB) -> None:
    """What is certain rests on it."""
    memory = model.remember(model.encode(SOURCE))
    start = mx.full((len(SOURCE), 1, 1), END, mx.int32)
    step = beam_step(model, lambda scores, input_ids: mx.full(scores.shape, 1e-6), 3)
    (scores, _, _), _ = step(Targets(memory, model.initial_caches(len(SOURCE)), start))
    assert scores.max().item() == 0


@pytest.mark.parametrize("num_beams", [1, 3])
def test_the_forced_token_may_be_all(model: NLLB, num_beams: int) -> None:
    options: dict[str, Any] = {"num_beams": num_beams, "return_scores": True}
    for token, max_length in ((LANGUAGE, 2), (END, 8)):
        ids, scores = generate(
            model, SOURCE, MASK, forced_bos_token_id=token, max_length=max_length, **options
        )
        assert ids.tolist() == [[END, token]] * len(SOURCE)
        assert scores.tolist() == [0.0] * len(SOURCE)
    steps = generate_steps(model, SOURCE, MASK, forced_bos_token_id=END, max_length=8)
    assert list(steps) == [[[]] * len(SOURCE)]


def test_more_beams_than_continuations(model: NLLB) -> None:
    """With 140 beams and 259 tokens the first step cannot fill twice as many places."""
    options = {"forced_bos_token_id": LANGUAGE, "max_length": 6}
    many = generate(model, SOURCE[:2], MASK[:2], num_beams=140, **options)
    # As transformers finds.
    assert many.tolist() == [[2, 213, 32, 32, 32, 25], [2, 213, 31, 31, 24, 24]]


def test_a_source_of_pads_is_taken_at_its_word(model: NLLB) -> None:
    """Without a mask every token counts, pads too, as in transformers 5; so does an end inside."""
    options = {"forced_bos_token_id": LANGUAGE, "max_length": 12}
    source = mx.array([[206, 9, END, 12, END, PAD, PAD]])
    unmasked = generate(model, source, **options)
    ones = generate(model, source, mx.ones(source.shape), **options)
    masked = generate(model, source, source != PAD, **options)
    assert unmasked.tolist() == ones.tolist()
    assert masked.tolist() == generate(model, source[:, :5], **options).tolist()


BAD = {
    "num_beams": {"num_beams": 0},
    "num_return_sequences": {"num_return_sequences": 2},
    "num_return_sequences is 0": {"num_return_sequences": 0},
    "early_stopping": {"early_stopping": "soon"},
    "max_length": {"max_length": 1},
    "no_repeat_ngram_size": {"no_repeat_ngram_size": -1},
    "repetition_penalty": {"repetition_penalty": 0.0},
    "repetition_penalty is nan": {"repetition_penalty": float("nan")},
    "length_penalty is nan": {"length_penalty": float("nan")},
    "length_penalty is 1000": {"length_penalty": 1000},
    "max_length is None, not an integer": {"max_length": None},
    "num_beams is 2.5, not an integer": {"num_beams": 2.5},
    "forced_bos_token_id": {"forced_bos_token_id": 259},
    "forced_bos_token_id is 'jpn_Jpan', not an integer": {"forced_bos_token_id": "jpn_Jpan"},
    "forced_bos_token_id is -1": {"forced_bos_token_id": -1},
    "tokens from 4 to 259": {"input_ids": mx.array([[4, 259]])},
    "tokens from -1": {"input_ids": mx.array([[-1, 4]])},
    r"not integers \(batch, length\)": {"input_ids": mx.array([4, 2])},
    r"input_ids is \(0, 3\)": {"input_ids": mx.zeros((0, 3), mx.int32)},
    "float32": {"input_ids": mx.ones((2, 3))},
    "attention_mask is": {"attention_mask": mx.ones((4, 3))},
    "source 1 of the batch": {"attention_mask": MASK * mx.array([[1], [0], [1], [1]])},
}


@pytest.mark.parametrize("message", BAD)
def test_bad_arguments(model: NLLB, message: str) -> None:
    good = {"input_ids": SOURCE, "attention_mask": MASK}
    options = {"forced_bos_token_id": LANGUAGE, "max_length": 8}
    options |= good | BAD[message]  # type: ignore[operator]
    with pytest.raises(ValueError, match=message):
        generate(model, **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message):
        generate_steps(model, **options)  # type: ignore[arg-type]


def test_numpy_numbers_are_numbers(model: NLLB) -> None:
    ids = generate(
        model,
        SOURCE,
        forced_bos_token_id=np.int64(LANGUAGE),
        max_length=np.int32(5),  # type: ignore[arg-type]
    )
    assert ids.shape == (4, 5)


def test_the_options_are_those_of_transformers() -> None:
    parameters = inspect.signature(generate).parameters
    assert list(parameters)[:3] == ["model", "input_ids", "attention_mask"]
    with pytest.raises(TypeError, match="temperature"):
        generate_steps(tiny()[0], SOURCE, forced_bos_token_id=None, max_length=3, temperature=1)


def test_greedy_goes_on_where_others_have_ended() -> None:
    """Rows leave in no order; a row with a limit of 0 has nothing to say."""
    ends = mx.array([2, 9, 1, 4])

    def step(tokens: mx.array | None, state: mx.array) -> tuple[mx.array, mx.array]:
        return mx.where(state >= ends, 0, 5 + state), state + 1

    *_, last = greedy(step, mx.array(0), eos_token_id=0, limits=[5, 3, 5, 0])
    assert last == [[5, 6], [5, 6, 7], [5], []]
    assert list(greedy(step, mx.array(0), eos_token_id=0, limits=[0, 0])) == [[[], []]]
