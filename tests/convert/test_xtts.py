"""XTTS's converter: coqui's folder and fine-tunes', in each of their layouts; hostile ones."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_speak.convert import convert, detect
from mlx_speak.convert.safetensors_file import write_safetensors
from mlx_speak.convert.torch_file import read_torch
from mlx_speak.convert.xtts import LICENSE
from support import package
from xtts_models import coqui_folder

from mlx_speak import hub
from mlx_speak.errors import ModelFormatError, ModelNotFoundError


@pytest.fixture
def coqui(tmp_path: Path) -> Path:
    return coqui_folder(tmp_path / "coqui")


def state(folder: Path) -> dict[str, np.ndarray]:
    return {
        name: np.array(array) for name, array in read_torch(folder / "model.pth")["model"].items()
    }


def save(path: Path, value: Any) -> None:
    """As a trainer saves it."""
    torch = package("torch")
    if isinstance(value, dict):
        value = {
            name: torch.from_numpy(array) if isinstance(array, np.ndarray) else array
            for name, array in value.items()
        }
    torch.save(value, path)


def weights(folder: Path) -> dict[str, np.ndarray]:
    return {name: np.array(a) for name, a in tree_flatten(hub.load_model(folder).parameters())}


class Listener:
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, name: str, text: str) -> None:
        self.said.append(text)

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: None


def test_the_published_folder(coqui: Path, tmp_path: Path) -> None:
    listener = Listener()
    folder = convert(coqui, tmp_path / "xtts", reporter=listener)
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "model.safetensors",
        "speakers.safetensors",
        "vocab.json",
    ]
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == "xtts"
    assert config["license"] == LICENSE
    assert "non-commercial" in LICENSE
    assert any("non-commercial" in line for line in listener.said)
    assert len(listener.said) == 1
    speakers = mx.load(str(folder / "speakers.safetensors"))
    original = read_torch(coqui / "speakers_xtts.pth")["Oracle Voice"]
    for name, array in original.items():
        assert np.array_equal(np.array(speakers[f"Oracle Voice.{name}"]), array)
    assert np.isfinite(np.concatenate([a.ravel() for a in weights(folder).values()])).all()


def test_its_checkpoint_alone(coqui: Path, tmp_path: Path) -> None:
    assert detect(coqui / "model.pth") == "xtts"
    folder = convert(coqui / "model.pth", tmp_path / "xtts")
    assert (folder / "vocab.json").is_file()


@pytest.mark.oracle
@pytest.mark.parametrize(
    "layout", ["prefixed", "bare", "best_model", "safetensors", "stats beside"]
)
def test_a_fine_tune(coqui: Path, tmp_path: Path, xtts_folder: Path, layout: str) -> None:
    """Whatever the trainer left in it, the weights come out the same."""
    found = state(coqui)
    (coqui / "model.pth").unlink()
    name = "model.pth"
    if layout == "prefixed":
        rest = {"dvae.decoder.weight": np.ones((2, 2), np.float32)}
        rest |= {"torch_mel_spectrogram_dvae.mel_stft.spectrogram.window": np.ones(4, np.float32)}
        found = {f"xtts.{key}": array for key, array in found.items()} | rest
    if layout == "best_model":
        name = "best_model_1234.pth"
        save(coqui / "dvae.pth", {"weight": np.ones(3, np.float32)})
    if layout == "stats beside":
        save(coqui / "mel_stats.pth", package("torch").from_numpy(found.pop("mel_stats")))
    if layout == "safetensors":
        write_safetensors(coqui / "model.safetensors", found)
    elif layout == "bare":
        save(coqui / name, found)
    else:
        torch = package("torch")
        tensors = {key: torch.from_numpy(array) for key, array in found.items()}
        save(coqui / name, {"model": tensors, "step": 1234, "config": {}})
    converted, expected = weights(convert(coqui, tmp_path / "xtts")), weights(xtts_folder)
    assert converted.keys() == expected.keys()
    assert all(np.array_equal(converted[key], expected[key]) for key in expected)


@pytest.mark.oracle
def test_a_larger_vocabulary_than_the_config_says(coqui: Path, tmp_path: Path) -> None:
    found = state(coqui)
    table = found["gpt.text_embedding.weight"]
    found["gpt.text_embedding.weight"] = np.concatenate([table, table[:7]])
    save(coqui / "model.pth", found)
    folder = convert(coqui, tmp_path / "xtts")
    assert hub.load_model(folder).config.gpt_number_text_tokens == len(table) + 7


def test_what_may_be_missing(coqui: Path, tmp_path: Path) -> None:
    (coqui / "vocab.json").unlink()
    (coqui / "speakers_xtts.pth").unlink()
    listener = Listener()
    folder = convert(coqui, tmp_path / "xtts", reporter=listener)
    assert "vocab.json" in listener.said[1]
    assert "must be cloned" in listener.said[2]
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]


def test_what_may_not(coqui: Path, tmp_path: Path) -> None:
    (coqui / "model.pth").unlink()
    with pytest.raises(ModelNotFoundError, match="no checkpoint of XTTS"):
        convert(coqui, tmp_path / "xtts")
    assert not (tmp_path / "xtts").exists()


@pytest.mark.parametrize("bits", [8, 4])
def test_precisions(xtts_folder: Path, tmp_path: Path, bits: int) -> None:
    """Only the GPT is quantised: there are the bytes that every code reads."""
    half = convert(xtts_folder, tmp_path / "half", dtype="bfloat16")
    assert hub.load_model(half).gpt.head.weight.dtype == mx.bfloat16
    small = convert(xtts_folder, tmp_path / "small", bits=bits, group_size=32)
    kinds = dict(tree_flatten(hub.load_model(small).parameters()))
    quantised = {name for name in kinds if name.endswith(".scales")}
    assert quantised
    assert all(name.startswith("gpt.") for name in quantised)


def damaged(folder: Path, how: str) -> None:
    found = state(folder)
    if how == "a NaN":
        found["mel_stats"][3] = np.nan
    elif how == "missing":
        del found["gpt.mel_head.weight"]
    elif how == "gain":
        del found["hifigan_decoder.waveform_decoder.ups.0.parametrizations.weight.original0"]
    elif how == "shape":
        found["gpt.mel_head.weight"] = found["gpt.mel_head.weight"][:, 1:]
    elif how == "empty":
        found = {}
    save(folder / "model.pth", found)


@pytest.mark.oracle
@pytest.mark.parametrize("how", ["a NaN", "missing", "gain", "shape", "empty"])
def test_a_damaged_checkpoint(coqui: Path, tmp_path: Path, how: str) -> None:
    damaged(coqui, how)
    with pytest.raises(ModelFormatError):
        convert(coqui, tmp_path / "xtts")
    assert not (tmp_path / "xtts").exists()


@pytest.mark.oracle
@pytest.mark.parametrize(
    "speakers",
    [
        {"A": 1},
        {"A": {"gpt_cond_latent": np.zeros((1, 32, 64), np.float32)}},
        {
            "A": {
                "gpt_cond_latent": np.zeros((1, 32, 65), np.float32),
                "speaker_embedding": np.zeros((1, 24, 1), np.float32),
            }
        },
    ],
)
def test_damaged_speakers(coqui: Path, tmp_path: Path, speakers: dict) -> None:
    torch = package("torch")
    (entry,) = speakers.values()
    if isinstance(entry, dict):
        entry = {name: torch.from_numpy(array) for name, array in entry.items()}
    torch.save({"A": entry}, coqui / "speakers_xtts.pth")
    with pytest.raises(ModelFormatError, match="A"):
        convert(coqui, tmp_path / "xtts")


class Bomb:
    """Runs a command where its pickle is read as pickles usually are."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["model.pth", "speakers_xtts.pth"])
def test_a_pickle_that_would_run_a_command(coqui: Path, tmp_path: Path, name: str) -> None:
    mark = tmp_path / "ran"
    package("torch").save({"model": {"gpt": Bomb(mark)}, "A": Bomb(mark)}, coqui / name)
    with pytest.raises(ModelFormatError):
        convert(coqui, tmp_path / "xtts")
    (coqui / name).write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(ModelFormatError):
        convert(coqui, tmp_path / "xtts")
    assert not mark.exists()
