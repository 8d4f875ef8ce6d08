"""A stranger's tools read our folders: mlx-lm's loader, and whoever opens a safetensors file."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.utils import load_model
from mlx_speak.convert import convert
from mlx_speak.convert.folder import hub_snapshot, origin
from nllb_checkpoint import write_checkpoint
from translation import tiny
from xtts_models import coqui_folder

from mlx_speak import hub
from mlx_speak.model_folder import read_config
from mlx_speak.speech.kokoro import Kokoro, KokoroConfig
from mlx_speak.speech.xtts.model import XTTS, XTTSConfig
from mlx_speak.translation.bergamot_model import Bergamot, BergamotConfig
from mlx_speak.translation.nllb_model import NLLB, NLLBConfig

CLASSES = {
    "kokoro": (Kokoro, KokoroConfig),
    "nllb": (NLLB, NLLBConfig),
    "xtts": (XTTS, XTTSConfig),
    "bergamot": (Bergamot, BergamotConfig),
}


@pytest.fixture(params=list(CLASSES))
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An original checkpoint of each architecture, small, under a name of the hub's cache."""
    folder = tmp_path / "models--someone--model" / "snapshots" / "0123abc"
    folder.parent.mkdir(parents=True)
    if request.param == "kokoro":
        folder.symlink_to(request.getfixturevalue("small").source)
        return folder
    writers = {"nllb": write_checkpoint, "xtts": coqui_folder, "bergamot": tiny.write_folder}
    return writers[request.param](folder)


@pytest.mark.parametrize("bits", [None, 8])
def test_mlx_lm_loads_what_we_convert(source: Path, tmp_path: Path, bits: int | None) -> None:
    """Quantised layers included: its loader, given the classes, which it does not know itself."""
    folder = convert(source, tmp_path / "ours", bits=bits, group_size=32)
    classes = CLASSES[read_config(folder)["model_type"]]
    theirs, config = load_model(folder, get_model_classes=lambda config: classes)
    assert ("quantization" in config) == (bits is not None)
    expected = dict(tree_flatten(hub.load_model(folder).parameters()))
    found = dict(tree_flatten(theirs.parameters()))
    assert found.keys() == expected.keys()
    for name in expected:
        assert mx.array_equal(found[name], expected[name]), name


def test_every_file_says_what_it_is_and_whose(source: Path, tmp_path: Path) -> None:
    """Also after a change of precision, and where a file is parted from its config.json."""
    whole = convert(source, tmp_path / "whole")
    config = read_config(whole)
    assert config["source"] == "https://huggingface.co/someone/model/tree/0123abc"
    assert config["license"]
    for folder in (whole, convert(whole, tmp_path / "half", dtype="bfloat16")):
        files = sorted(folder.rglob("*.safetensors"))
        assert folder / "model.safetensors" in files
        for path in files:
            _, said = mx.load(str(path), return_metadata=True)
            expected = {name: config[name] for name in ("model_type", "license", "source")}
            assert said == {"format": "mlx", **expected}, path.name


def test_where_a_checkpoint_is_from(tmp_path: Path) -> None:
    cached = tmp_path / "models--hexgrad--Kokoro-82M" / "snapshots" / "f3ff"
    assert hub_snapshot(cached) == ("hexgrad/Kokoro-82M", "f3ff")
    page = "https://huggingface.co/hexgrad/Kokoro-82M/tree/f3ff"
    assert origin(cached) == origin(cached / "kokoro-v1_0.pth") == page
    assert hub_snapshot(tmp_path / "mine") is None
    assert origin(tmp_path / "mine.pth") == "mine.pth"


def test_a_voice_is_one_array_by_the_name_that_mlx_audio_reads(small) -> None:
    for path in (small.folder / "voices").iterdir():
        arrays = mx.load(str(path))
        assert isinstance(arrays, dict)
        assert {name: a.shape for name, a in arrays.items()} == {"voice": (510, 1, 256)}
        assert np.isfinite(np.array(arrays["voice"])).all()
