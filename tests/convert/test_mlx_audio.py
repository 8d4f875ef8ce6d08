"""Kokoro to and from mlx-audio's layout, with mlx-audio's own converter and model as the oracle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from kokoro_models import random_voice
from kokoro_oracle import residual
from mlx_speak.convert import convert
from mlx_speak.convert.__main__ import main
from support import package

from mlx_speak import hub
from mlx_speak.errors import ModelFormatError
from mlx_speak.model_folder import read_config
from mlx_speak.speech.kokoro import Kokoro

package("mlx_audio")

PHONEMES = "hˈI."
SAME_SOUND = 1e-3
"""Relative residual, Kokoro's promise; what two ways of rounding come to after arctan2."""


def weights(path: Path) -> dict[str, mx.array]:
    found = mx.load(str(path))
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def community(small, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small Kokoro as mlx-community publishes it, written by `convert`."""
    folder = tmp_path_factory.mktemp("hub") / "Kokoro-82M-bf16"
    return convert(small.source, folder, layout="mlx-audio")


@pytest.fixture
def theirs(community: Path, tmp_path: Path) -> Callable[..., Path]:
    """mlx-audio's converter, whose folder holds what it was made of, too."""

    def run(**options: Any) -> Path:
        from mlx_audio.convert import convert as mlx_audio_convert

        folder = tmp_path / "Kokoro-82M-theirs"
        mlx_audio_convert(str(community), str(folder), model_domain="tts", **options)
        assert read_config(folder)["model_type"] == "kokoro"
        (folder / "kokoro-v1_0.safetensors").unlink()
        return folder

    return run


@dataclass
class Sound:
    durations: np.ndarray
    pitch: np.ndarray
    samples: np.ndarray


STYLE = mx.array(random_voice(0)[len(PHONEMES) - 1])


def excitation(count: int) -> mx.array:
    """A source for both: theirs is random, and fp32 in its phases."""
    return mx.array(np.random.default_rng(0).normal(0, 0.1, (1, count)).astype(np.float32))


def mlx_audio_model(folder: Path) -> Any:
    """Loaded strictly, and made to do as the reference does where mlx-audio 0.6.2 does not."""
    from mlx_audio.tts.utils import load_model

    model = load_model(folder)
    layers = model.bert.encoder.albert_layer_groups[0].albert_layers
    layers[0].activation = nn.gelu_approx  # ALBERT's is the one by tanh
    generator = model.decoder.generator
    generator.reflection_pad = lambda x: mx.concatenate([x[..., 1:2], x], axis=-1)  # not zeros
    return model


def spoken_by_mlx_audio(folder: Path) -> Sound:
    model = mlx_audio_model(folder)
    generator = model.decoder.generator
    pitch = []

    def source(f0: mx.array) -> tuple[mx.array, None, None]:
        pitch.append(np.array(f0[0, :, 0]))
        return excitation(f0.shape[1])[..., None], None, None

    transform = generator.stft.transform

    def settled(signal: mx.array) -> tuple[mx.array, mx.array]:
        # The first frame mirrors itself: whether its phase is π or −π is left to rounding.
        magnitude, phase = transform(signal)
        phase[..., 0] = mx.where(mx.abs(phase[..., 0]) > mx.pi / 2, mx.pi, 0.0)
        return magnitude, phase

    generator.m_source, generator.stft.transform = source, settled
    out = model(PHONEMES, STYLE, return_output=True)
    return Sound(np.array(out.pred_dur), pitch[0], np.array(out.audio).reshape(-1))


def spoken_by_us(folder: Path) -> Sound:
    model = hub.load_model(folder)
    assert isinstance(model, Kokoro)
    pitch = []
    per_value = model.config.istftnet.samples_per_frame

    def source(f0: mx.array, key: mx.array) -> mx.array:
        pitch.append(np.repeat(np.array(f0[0]), per_value))
        return excitation(f0.shape[1] * per_value)

    model.decoder.generator.source = source
    speech = model(input_ids(model), STYLE)
    return Sound(speech.durations, pitch[0], np.array(speech.samples))


def input_ids(model: Kokoro) -> mx.array:
    return mx.array([[0, *(model.config.vocab[phoneme] for phoneme in PHONEMES), 0]])


def assert_same(ours: Sound, other: Sound) -> None:
    np.testing.assert_array_equal(ours.durations, other.durations)
    assert residual(ours.pitch, other.pitch) < 1e-5
    assert np.abs(other.samples).max() > 0.01
    assert residual(ours.samples, other.samples) < SAME_SOUND


@pytest.mark.oracle
def test_mlx_audio_speaks_what_we_write(small, community: Path) -> None:
    """It loads the folder strictly, and says what our own folder of the same checkpoint says."""
    assert_same(spoken_by_us(small.folder), spoken_by_mlx_audio(community))
    for voice in (community / "voices").iterdir():
        from mlx_audio.tts.models.kokoro.voice import load_voice_tensor

        original = weights(small.folder / "voices" / voice.name)["voice"]
        np.testing.assert_array_equal(load_voice_tensor(str(voice)), original)


def test_what_we_write_for_mlx_audio_comes_back(small, community: Path, tmp_path: Path) -> None:
    folder = convert(community, tmp_path / "back")
    ours, exact = (weights(path / "model.safetensors") for path in (folder, small.folder))
    assert ours.keys() == exact.keys()
    for name in exact:
        np.testing.assert_array_equal(ours[name], exact[name], err_msg=name)


@pytest.mark.oracle
def test_what_mlx_audio_quantised_says_the_same_here(
    theirs: Callable[..., Path], tmp_path: Path
) -> None:
    source = theirs(quantize=True, q_bits=8)
    assert not hub.is_converted(source)
    folder = convert(source, tmp_path / "ours")
    assert read_config(folder)["provenance"]["precision"] == "8-bit"
    assert read_config(folder).keys().isdisjoint({"quantization", "quantization_config"})
    assert_same(spoken_by_us(folder), spoken_by_mlx_audio(source))


@pytest.mark.oracle
def test_what_mlx_audio_wrote_in_floating_point(
    small, theirs: Callable[..., Path], tmp_path: Path
) -> None:
    """All in MLX's axes, which mlx-audio itself does not take back."""
    folder = convert(theirs(), tmp_path / "ours")
    ours, exact = (weights(path / "model.safetensors") for path in (folder, small.folder))
    for name in exact:
        np.testing.assert_array_equal(ours[name], exact[name], err_msg=name)


def test_layers_of_other_bits_and_modes(community: Path, tmp_path: Path) -> None:
    """mlx-lm's way to write it: the layer's name in `quantization`, with what is its own."""
    source = tmp_path / "mixed"
    shutil.copytree(community, source)
    path = source / "kokoro-v1_0.safetensors"
    state = weights(path)
    own = {
        "bert_encoder": {"group_size": 32, "bits": 4},
        "predictor.duration_proj.linear_layer": {"group_size": 32, "bits": 4, "mode": "mxfp4"},
    }
    exact = {}
    for layer, scheme in own.items():
        parts = mx.quantize(state[f"{layer}.weight"], **scheme)
        for part, array in zip(("weight", "scales", "biases"), parts, strict=False):
            state[f"{layer}.{part}"] = array
        exact[layer] = mx.dequantize(*parts, **scheme)
    mx.save_safetensors(str(path), state)
    config = json.loads((source / "config.json").read_text())
    quantization = {"group_size": 64, "bits": 8, **own}
    (source / "config.json").write_text(json.dumps(config | {"quantization": quantization}))
    found = weights(convert(source, tmp_path / "ours") / "model.safetensors")
    np.testing.assert_array_equal(found["bert_proj.weight"], exact["bert_encoder"])
    projection = exact["predictor.duration_proj.linear_layer"].astype(mx.float32)
    np.testing.assert_array_equal(found["predictor.duration_proj.weight"], projection)

    for wrong in ({}, {"group_size": 64, "bits": "8"}, [8]):
        (source / "config.json").write_text(json.dumps(config | {"quantization": wrong}))
        with pytest.raises(ModelFormatError, match="kokoro-v1_0"):
            convert(source, tmp_path / "refused")


def test_bfloat16_as_it_is_published(
    small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "Kokoro-82M-bf16"
    assert (
        main([str(small.source), str(folder), "--layout", "mlx-audio", "--dtype", "bfloat16"]) == 0
    )
    assert capsys.readouterr().out == f"{folder}\n"
    state = weights(folder / "kokoro-v1_0.safetensors")
    assert {array.dtype for array in state.values()} == {mx.bfloat16}
    ours = weights(convert(folder, tmp_path / "ours") / "model.safetensors")
    for name, exact in weights(small.folder / "model.safetensors").items():
        # 8 bits of a number are left of it; a weight is a product of two such, a bias a sum.
        np.testing.assert_allclose(ours[name], exact, rtol=2**-6, atol=2e-3, err_msg=name)


@pytest.mark.packages
@pytest.mark.oracle
def test_the_packaged_weights_in_mlx_audio(kokoro_onnx: Path, kokoro_folder: Path, tmp_path: Path):
    """The int8 export lacks PL-BERT's pooler, and has filters of zeros; as far as the decoder."""
    theirs = mlx_audio_model(convert(kokoro_onnx, tmp_path / "Kokoro-82M", layout="mlx-audio"))
    given = []

    def decoder(*inputs: mx.array) -> list[mx.array]:
        given.extend(inputs)
        return [mx.zeros(1)]

    theirs.decoder = decoder
    durations = theirs(PHONEMES, STYLE, return_output=True).pred_dur
    ours = hub.load_model(kokoro_folder)
    assert isinstance(ours, Kokoro)
    features, expected = ours.plan(ours.contexts(input_ids(ours)), STYLE)
    np.testing.assert_array_equal(durations, expected)
    frames = mx.array(np.repeat(np.arange(len(expected)), expected))
    curves = ours.predictor.curves(features[:, frames], mx.split(STYLE, 2, axis=-1)[1])
    text = ours.text_encoder(input_ids(ours))[:, frames]
    for mine, other in zip((text.swapaxes(1, 2), *curves), given[:3], strict=True):
        assert residual(mine, other) < 1e-4


def test_the_hub_id_of_a_copy_loads(
    community: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """`load_voice("mlx-community/Kokoro-82M-bf16")`, the hub's cache being a folder here."""
    import huggingface_hub

    revision = "0123456789abcdef0123456789abcdef01234567"
    cached = home / "hub" / "models--mlx-community--Kokoro-82M-bf16" / "snapshots" / revision
    shutil.copytree(community, cached)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(cached))
    voice = hub.load_voice("mlx-community/Kokoro-82M-bf16")
    assert "for the first use" in capsys.readouterr().err
    assert {speaker.name for speaker in voice.speakers} > {"af_heart", "pf_dora"}
    config = read_config(home / "models" / "mlx-community--Kokoro-82M-bf16")
    assert config["source"].endswith(f"/mlx-community/Kokoro-82M-bf16/tree/{revision}")


def test_what_cannot_be_written_for_mlx_audio(small, tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match=r"mlx_audio\.convert .*--q-bits 8"):
        convert(small.source, tmp_path / "out", layout="mlx-audio", bits=8)
    with pytest.raises(ModelFormatError, match="no original checkpoint of Kokoro"):
        convert(small.folder, tmp_path / "out", layout="mlx-audio")
    with pytest.raises(ModelFormatError, match="layout must be one of"):
        convert(small.source, tmp_path / "out", layout="gguf")
    assert not (tmp_path / "out").exists()
