"""`generate` against transformers' own, live: models × options × sources."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import cache
from types import ModuleType
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten
from support import figure, package
from translation.nllb_models import END, PAD, random_config, random_model, reference, tiny

from mlx_speak.translation.decoding import generate
from mlx_speak.translation.nllb_model import NLLB

pytestmark = pytest.mark.oracle

# Sums of a few dozen float32 log-probabilities, each from logits with an error of 3e-6; and a few
# roundings of sums that a random model and a negative length_penalty make as large as thousands.
SCORE_TOLERANCE = {"atol": 1e-4, "rtol": 1e-6}

# Where transformers' own candidates are closer than this, float32 does not say which is better.
TIE = 1e-5

ROWS = 8


def perturbed(strength: float, seed: int) -> NLLB:
    """The trained model with noise on every parameter: it ends its targets, but other ones."""
    trained, random = tiny()[0], np.random.default_rng(seed)
    model = NLLB(trained.config)
    for name, parameter in tree_flatten(trained.parameters()):
        values = np.array(parameter)
        noise = random.standard_normal(values.shape, np.float32) * values.std()
        model.load_weights([(name, mx.array(values + strength * noise))], strict=False)
    mx.eval(model.parameters())
    return model


MODELS: dict[str, Callable[[], NLLB]] = {
    "trained": lambda: tiny()[0],
    "perturbed": lambda: perturbed(0.1, 1),
    "much perturbed": lambda: perturbed(0.3, 2),
    "random": lambda: random_model(random_config(), 3),
}


@cache
def pair(name: str) -> tuple[NLLB, Any]:
    model = MODELS[name]()
    return model, reference(model)


def sources(vocab_size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids and mask, (ROWS, 14): sources of 2 to 14 tokens, some with an end or a pad inside."""
    random = np.random.default_rng(seed)
    ids = np.full((ROWS, 14), PAD)
    lengths = random.integers(2, 15, ROWS)
    for row, length in zip(ids, lengths, strict=True):
        row[:length] = [random.integers(206, 226), *random.integers(4, 36, length - 2), END]
    ids[0, 1], ids[1, 1] = END, PAD
    lengths[:2] = np.maximum(lengths[:2], 2)
    return ids, (np.arange(14) < lengths[:, None]).astype(np.int64)


GRID = [
    {"num_beams": 1},
    {"num_beams": 1, "no_repeat_ngram_size": 1},
    {"num_beams": 1, "no_repeat_ngram_size": 3, "repetition_penalty": 1.2},
    {"num_beams": 1, "repetition_penalty": 0.7},
    *(
        {"num_beams": beams, "length_penalty": length_penalty, "early_stopping": early_stopping}
        for beams, length_penalty, early_stopping in itertools.product(
            (2, 4), (-1.0, 0.0, 1.0, 2.0), (False, True, "never")
        )
    ),
    *(
        {"num_beams": beams, "no_repeat_ngram_size": size, "repetition_penalty": penalty}
        for beams, size, penalty in (
            (3, 2, 1.0),
            (4, 0, 1.3),
            (5, 3, 1.1),
            (2, 1, 1.0),
            (4, 0, 0.7),
        )
    ),
    {"num_beams": 8, "num_return_sequences": 8},
    {"num_beams": 5, "num_return_sequences": 3, "early_stopping": True, "length_penalty": 0.6},
    {"num_beams": 6, "num_return_sequences": 2, "early_stopping": "never"},
]


@pytest.fixture
def gaps(monkeypatch: pytest.MonkeyPatch) -> Iterator[np.ndarray]:
    """For each row the smallest difference between candidates that transformers had to rank."""
    torch = package("torch")
    smallest = np.full(ROWS, np.inf)
    topk, argmax = torch.topk, torch.argmax

    def record(scores: Any, k: int) -> None:
        best = topk(scores, min(k + 1, scores.shape[-1]))[0].double().numpy()
        best = np.maximum(best, -1e8)  # less than that is no candidate
        differences = np.where(best[:, 1:] > -1e8, best[:, :-1] - best[:, 1:], np.inf)
        smallest[:] = np.minimum(smallest, differences.min(axis=1))

    def recording_topk(scores: Any, k: int) -> Any:
        record(scores, k)
        return topk(scores, k=k)

    def recording_argmax(scores: Any, dim: int) -> Any:
        record(scores, 1)
        return argmax(scores, dim=dim)

    monkeypatch.setattr(torch, "topk", recording_topk)
    monkeypatch.setattr(torch, "argmax", recording_argmax)
    yield smallest
    monkeypatch.undo()


def compare(
    model: NLLB, theirs: Any, seed: int, options: dict[str, Any], gaps: np.ndarray
) -> list[bool]:
    """Whether each row of the results is the same; it must be, but where there was a tie."""
    torch: ModuleType = package("torch")
    ids, mask = sources(model.config.vocab_size, seed)
    gaps[:] = np.inf
    with torch.inference_mode():
        expected = theirs.generate(
            torch.tensor(ids),
            attention_mask=torch.tensor(mask),
            do_sample=False,
            return_dict_in_generate=True,
            output_scores=True,
            **options,
        )
    found, scores = generate(model, mx.array(ids), mx.array(mask), return_scores=True, **options)
    expected_ids = expected.sequences.numpy()
    count = options.get("num_return_sequences", 1)
    width = max(found.shape[1], expected_ids.shape[1])
    ours, others = (
        np.pad(np.array(x), [(0, 0), (0, width - x.shape[1])], constant_values=PAD).reshape(
            ROWS, count, width
        )
        for x in (found, expected_ids)
    )
    same = (ours == others).all(axis=(1, 2))
    if same.all():
        assert found.shape == expected_ids.shape  # nor is there more padding
    if options["num_beams"] > 1:
        wanted = expected.sequences_scores.numpy().reshape(ROWS, count)
        got = np.array(scores).reshape(ROWS, count)
        # A tie decides which of two is found, not how good it is.
        np.testing.assert_allclose(got[same], wanted[same], **SCORE_TOLERANCE)
    assert (same | (gaps < TIE)).all(), (options, ids[~same], ours[~same], others[~same])
    return same.tolist()


@pytest.mark.parametrize("name", MODELS)
def test_grid(name: str, gaps: np.ndarray) -> None:
    model, theirs = pair(name)
    same: list[bool] = []
    close = 0
    for seed, options in enumerate(GRID):
        random = np.random.default_rng(seed)
        forced = [None, *random.integers(206, 226, 3).tolist()][seed % 4]
        max_length = [24, 40, 8, 15, 3][seed % 5]
        same += compare(
            model,
            theirs,
            seed,
            {"forced_bos_token_id": forced, "max_length": max_length, **options},
            gaps,
        )
        close += int((gaps < TIE).sum())
    figure(
        f"generate, {name} model: {sum(same)} of {len(same)} cases equal transformers'; in {close} "
        f"of them it ranked candidates less than {TIE:g} apart"
    )
    assert close < 0.05 * len(same)  # or ties would excuse too much


@pytest.mark.parametrize("num_beams", [1, 3])
@pytest.mark.parametrize("max_length", [1, 2, 3])
def test_shortest_targets(num_beams: int, max_length: int, gaps: np.ndarray) -> None:
    model, theirs = pair("trained")
    for forced in (None, 213, END):
        options = {
            "forced_bos_token_id": forced,
            "max_length": max_length,
            "num_beams": num_beams,
        }
        if max_length == 1:
            with pytest.raises(ValueError, match="max_length"):
                theirs.generate(package("torch").tensor([[4, END]]), **options)
            with pytest.raises(ValueError, match="max_length"):
                generate(model, mx.array([[4, END]]), **options)
        else:
            assert all(compare(model, theirs, 0, options, gaps))


def test_without_a_mask_pads_count(gaps: np.ndarray) -> None:
    torch = package("torch")
    model, theirs = pair("trained")
    ids, _ = sources(259, 5)
    options = {"forced_bos_token_id": 213, "max_length": 20, "num_beams": 2}
    expected = theirs.generate(torch.tensor(ids), do_sample=False, **options)
    np.testing.assert_array_equal(generate(model, mx.array(ids), **options), expected)
