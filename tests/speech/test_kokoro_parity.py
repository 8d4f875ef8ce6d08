"""Kokoro stage by stage against the `kokoro` package's torch model on the same weights.

Each stage of ours gets the reference's input of that stage, so that an error shows where it is
made; at the end the whole runs on its own. The tolerance, a relative residual of 1e-3, is the
project's promise. Single stages agree to 1e-5, where rounding differs by the order of sums; what
follows the source's phases loses two digits, because arctan2 turns the rounding of a small
spectral value into a finite angle.
"""

from __future__ import annotations

from dataclasses import dataclass

import kokoro_oracle as oracle
import mlx.core as mx
import numpy as np
import pytest
from kokoro_oracle import residual
from support import figure

from mlx_speak.speech.kokoro import Kokoro, load_model

pytestmark = pytest.mark.oracle

STAGE = 1e-5
AFTER_PHASE = 1e-3
PHONEMES = "həlˈO wˈɜɹld, ðɪs ɪz ɐ tˈɛst ʌv ðə spˈiʧ ˈɛnʤən."


@dataclass
class Run:
    name: str
    model: Kokoro
    reference: object
    input_ids: np.ndarray
    style: np.ndarray
    expected: dict[str, np.ndarray]

    @property
    def timbre(self) -> mx.array:
        return mx.array(self.style[:, :128])

    @property
    def prosody(self) -> mx.array:
        return mx.array(self.style[:, 128:])

    def __getitem__(self, stage: str) -> mx.array:
        return mx.array(self.expected[stage])

    def frames(self) -> mx.array:
        durations = self.expected["durations"]
        return mx.array(np.repeat(np.arange(len(durations)), durations))


@pytest.fixture(scope="module", params=["small", pytest.param("real", marks=pytest.mark.packages)])
def run(request: pytest.FixtureRequest) -> Run:
    import torch

    pair = request.getfixturevalue(request.param)
    vocab = pair.config["vocab"]
    input_ids = np.array([[0, *(vocab[p] for p in PHONEMES), 0]])
    pack = mx.load(str(pair.folder / "voices" / "af_heart.safetensors"))["voice"]
    style = np.array(pack)[len(PHONEMES) - 1]
    torch.manual_seed(0)
    expected = oracle.stages(pair.reference, input_ids, style)
    assert np.abs(expected["samples"]).max() > 0.01, "the reference is silent"
    return Run(request.param, load_model(pair.folder), pair.reference, input_ids, style, expected)


def test_albert(run: Run):
    ours = run.model.bert(mx.array(run.input_ids))
    assert residual(ours, run.expected["bert"]) < STAGE
    assert residual(run.model.bert_proj(ours), run.expected["bert_proj"]) < STAGE


def test_duration_encoder(run: Run):
    ours = run.model.predictor.text_encoder(run["bert_proj"], run.prosody)
    assert residual(ours, run.expected["features"]) < STAGE


@pytest.mark.parametrize("speed", [0.7, 1.0, 1.6])
def test_durations(run: Run, speed: float):
    expected = oracle.stages(run.reference, run.input_ids, run.style, None, speed)["durations"]
    ours = run.model.predictor.durations(run["features"], speed)
    np.testing.assert_array_equal(ours[0], expected)


def test_text_encoder(run: Run):
    ours = run.model.text_encoder(mx.array(run.input_ids))
    assert residual(ours, run.expected["text"]) < STAGE


def test_curves(run: Run):
    features = run["features"][:, run.frames()]
    ours = run.model.predictor.frame_lstm(features)
    assert residual(ours, run.expected["frame_lstm"]) < STAGE
    f0, energy = run.model.predictor.curves(features, run.prosody)
    assert residual(f0, run.expected["f0"]) < STAGE
    assert residual(energy, run.expected["energy"]) < STAGE


def test_decoder(run: Run):
    text = run["text"][:, run.frames()]
    ours = run.model.decoder(text, run["f0"], run["energy"], run.timbre)
    assert residual(ours, run.expected["decode.3"]) < STAGE


def test_spectrum_of_the_source(run: Run):
    ours = np.array(run.model.decoder.generator.spectrum(run["excitation"]))
    expected = run.expected["spectrum"]

    def as_complex(spectrum):
        magnitude, phase = np.split(spectrum.astype(np.float64), 2, axis=-1)
        return magnitude * np.exp(1j * phase)

    assert residual(*(np.abs(as_complex(s)) for s in (ours, expected))) < STAGE
    difference = np.linalg.norm(as_complex(ours) - as_complex(expected))
    assert difference < STAGE * np.linalg.norm(as_complex(expected))


def test_generator_stages(run: Run):
    from mlx.nn import leaky_relu

    generator = run.model.decoder.generator
    source = run["spectrum"]
    x = run["decode.3"]
    for index, stage in enumerate(generator.stages):
        conv = stage.source_conv(source)
        assert residual(conv, run.expected[f"source_conv.{index}"]) < STAGE
        block = stage.source_block(conv, run.timbre)
        assert residual(block, run.expected[f"source_block.{index}"]) < STAGE
        up = stage.up(x)
        assert residual(up, run.expected[f"up.{index}"]) < STAGE
        joined = run[f"up.{index}"]
        if stage.is_last:
            joined = mx.concatenate([joined[:, 1:2], joined], axis=1)
        joined = joined + run[f"source_block.{index}"]
        blocks = [run[f"block.{index * len(stage.blocks) + j}"] for j in range(len(stage.blocks))]
        for ours, expected in zip(stage.blocks, blocks, strict=True):
            assert residual(ours(joined, run.timbre), expected) < STAGE
        x = sum(blocks) / len(blocks)
    assert residual(generator.conv_post(leaky_relu(x, 0.01)), run.expected["conv_post"]) < STAGE


def test_waveform_from_the_decoder(run: Run):
    ours = run.model.decoder.generator(run["decode.3"], run.timbre, run["excitation"])
    assert residual(ours[0], run.expected["samples"]) < AFTER_PHASE


def test_waveform_end_to_end_with_the_source_injected(run: Run):
    speech = _speak(run, run.expected["excitation"])
    np.testing.assert_array_equal(speech.durations, run.expected["durations"])
    error = residual(speech.samples, run.expected["samples"])
    figure(f"Kokoro, {run.name} weights: waveform within {error:.0e} of the torch package's")
    assert error < AFTER_PHASE


def _speak(run: Run, excitation: np.ndarray):
    generator = run.model.decoder.generator
    own = generator.source
    generator.source = lambda f0, key: mx.array(excitation)
    try:
        return run.model(mx.array(run.input_ids), mx.array(run.style))
    finally:
        generator.source = own


@pytest.mark.packages
@pytest.mark.parametrize("run", ["real"], indirect=True)
def test_waveform_of_the_untouched_reference(run: Run):
    """Even with the signs of phases ±π that rounding happened to choose there."""
    import torch

    torch.manual_seed(1)
    expected = oracle.stages(run.reference, run.input_ids, run.style, raw=True)
    speech = _speak(run, expected["excitation"])
    assert residual(speech.samples, expected["samples"]) < AFTER_PHASE


def test_own_source_gives_the_same_speech(run: Run, monkeypatch: pytest.MonkeyPatch):
    """With our own phases, and the noise of both turned off, it is still the same sound."""
    from mlx_speak.speech.kokoro import source

    monkeypatch.setattr(source, "VOICED_THRESHOLD", -1e9)  # all of it voiced: no unvoiced noise
    f0 = np.clip(run.expected["f0"], 50, 400).astype(np.float32)
    ours = run.model.decoder.generator.source(mx.array(f0))
    reference = oracle.exact_source(run.reference, f0)
    # Of our phase, counted in 2⁻²⁴ turns; the reference computed in double precision.
    assert residual(ours, reference) < 2e-4
