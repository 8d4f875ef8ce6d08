"""XTTS's network apart from the reference: sampling, limits, precisions, bad configs."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten
from support import figure

from mlx_speak.errors import ModelFormatError
from mlx_speak.speech.xtts import XTTS, Latents, XTTSConfig, load_model
from mlx_speak.speech.xtts.generation import Sampling

FIXTURE = Path(__file__).parents[1] / "fixtures" / "xtts_tiny"
TEXT_IDS = [5, 17, 80, 33, 9]


@pytest.fixture(scope="module")
def config() -> dict:
    """Coqui's own."""
    return json.loads((FIXTURE / "config.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def model(xtts_folder: Path) -> XTTS:
    return load_model(xtts_folder)


@pytest.fixture(scope="module")
def latents() -> Latents:
    with np.load(FIXTURE / "oracle.npz") as o:
        return Latents(mx.array(o["gpt_cond_latent"]), mx.array(o["speaker_embedding"]))


def codes(model: XTTS, latents: Latents, sampling: Sampling) -> list[int]:
    return [s.code for s in model.codes(TEXT_IDS, model.prefix(latents), sampling)]


def test_a_seed_is_reproducible_and_others_differ(model: XTTS, latents: Latents) -> None:
    first, again, other = (
        codes(model, latents, Sampling(temperature=2.0, seed=seed)) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_an_utterance_ends_with_the_stop_token_or_at_the_limit(
    model: XTTS, latents: Latents
) -> None:
    stop = model.config.gpt_stop_audio_token
    for seed in range(6):
        found = codes(model, latents, Sampling(seed=seed))
        assert stop not in found[:-1]
        assert found[-1] == stop or len(found) == model.config.max_codes
    bias = model.gpt.head.bias
    try:
        model.gpt.head.bias = mx.where(mx.arange(bias.size) == stop, -1e9, bias)
        assert len(codes(model, latents, Sampling())) == model.config.max_codes
    finally:
        model.gpt.head.bias = bias


def test_two_utterances_can_be_in_flight(model: XTTS, latents: Latents) -> None:
    prefix = model.prefix(latents)
    alone = [s.code for s in islice(model.codes(TEXT_IDS, prefix, Sampling(top_k=1)), 8)]
    pair = [model.codes(TEXT_IDS, prefix, Sampling(top_k=1)) for _ in range(2)]
    assert [[a.code, b.code] for a, b in islice(zip(*pair, strict=False), 8)] == [
        [code, code] for code in alone
    ]


def test_the_reference_hears_several_recordings(model: XTTS) -> None:
    """Embeddings are averaged, and the latents those of the recordings one after the other."""
    draw = np.random.default_rng(0)
    a, b = (0.1 * draw.standard_normal(22050, np.float32) for _ in range(2))
    both, one, other = (model.condition(x, 22050) for x in ([a, b], a, b))
    joined = model.condition(np.concatenate([a, b]), 22050)
    np.testing.assert_allclose(both.gpt_cond_latent, joined.gpt_cond_latent, atol=1e-5)
    mean = (one.speaker_embedding + other.speaker_embedding) / 2
    np.testing.assert_allclose(both.speaker_embedding, mean, atol=1e-6)


def test_bad_input_is_named(model: XTTS, latents: Latents) -> None:
    with pytest.raises(ValueError, match=r"0\.33 s at least"):
        model.condition(np.zeros(7000, np.float32), 22050)
    with pytest.raises(ValueError, match="81 tokens: XTTS reads 80"):
        model.codes([5] * 81, model.prefix(latents), Sampling())
    with pytest.raises(ValueError, match="first_chunk is 0"):
        next(model.stream(TEXT_IDS, latents, first_chunk=0))
    for wrong in ({"temperature": 0.0}, {"top_k": -1}, {"top_p": 0.0}, {"repetition_penalty": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} is"):
            Sampling(**wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"gpt_layers": "30"}, "gpt_layers is '30'"),
        ({"gpt_layers": -1}, "gpt_layers is -1"),
        ({"gpt_n_heads": 5}, "does not divide"),
        ({"gpt_n_heads": 0}, "does not divide"),
        ({"speaker_layers": [1, "2"]}, "speaker_layers"),
        ({"gpt_use_perceiver_resampler": False}, "v1"),
    ],
)
def test_a_bad_config_is_named(config: dict, wrong: dict, message: str) -> None:
    arguments = {**config["model_args"], **wrong}
    with pytest.raises(ModelFormatError, match=message):
        XTTSConfig.from_dict({**config, "model_args": arguments})


def test_what_the_hubs_file_leaves_open_has_xttss_values(config: dict) -> None:
    arguments = {**config["model_args"], "gpt_start_text_token": None, "gpt_stop_text_token": None}
    read = XTTSConfig.from_dict({**config, "model_args": arguments})
    assert (read.gpt_start_text_token, read.gpt_stop_text_token) == (261, 0)
    assert replace(XTTSConfig()).max_codes == 602


def gpt_bytes(model: XTTS) -> int:
    return sum(array.nbytes for _, array in tree_flatten(model.gpt.parameters()))


@pytest.mark.parametrize(
    ("precision", "smaller", "tolerance"), [("bfloat16", 2, 0.02), (8, 3.4, 0.02), (4, 5.5, 0.25)]
)
def test_precisions(
    xtts_folder: Path, latents: Latents, precision: str | int, smaller: float, tolerance: float
) -> None:
    """How far rounded weights move the states, as a share of their size; and the memory saved."""
    exact, rounded = load_model(xtts_folder), load_model(xtts_folder)
    if isinstance(precision, int):
        nn.quantize(rounded.gpt, group_size=64, bits=precision)
    else:
        rounded.set_dtype(getattr(mx, precision))
    text, start = mx.array([[261, *TEXT_IDS, 0]]), mx.array([[64, 3, 9, 20, 41]])
    ours, theirs = (
        m.gpt.start(text, start, m.prefix(latents))[0].astype(mx.float32) for m in (rounded, exact)
    )
    off = float(mx.linalg.norm(ours - theirs) / mx.linalg.norm(theirs))
    ratio = gpt_bytes(exact) / gpt_bytes(rounded)
    figure(f"XTTS's GPT, {precision}: states off by {off:.1%}, {ratio:.1f} times smaller")
    assert off < tolerance
    assert ratio >= smaller
    samples = [c for c in rounded.stream(TEXT_IDS, latents, top_k=1) if c is not None]
    assert all(c.dtype == mx.float32 and mx.isfinite(c).all() for c in samples)
