"""What is not in our layout, or not of these bits, is converted on first use, and kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import mlx.core as mx
import pytest
from hub.repositories import SNAPSHOT, Hub, write_model
from nllb_checkpoint import LAYOUTS, write_checkpoint
from translation.nllb_folder import write_folder

from mlx_speak import blas, hub
from mlx_speak.errors import ModelFormatError
from mlx_speak.model_folder import read_config
from mlx_speak.translation.nllb import load


@pytest.mark.parametrize("bits", [0, 3, 16, "8"])
def test_bits_that_do_not_exist(home: Path, bits: int) -> None:
    with pytest.raises(ModelFormatError, match="bits must be None, 8 or 4"):
        hub.load_translator("bergamot-en-pt", bits=bits)


def test_bits_are_quantised_once_and_again_when_the_model_has_changed(
    remote: Hub, home: Path, modules: None
) -> None:
    base = write_model(home / "models" / "bergamot-en-pt")
    for _ in range(2):
        folder = hub.resolve("bergamot-en-pt", bits=8)
        assert folder == home / "models" / "bergamot-en-pt-8bit"
    assert remote.converted == [base]
    os.utime(base / "model.safetensors", (0, 0))
    assert hub.resolve("bergamot-en-pt", bits=8) == folder
    assert remote.converted == [base, base]


def test_folders_of_one_name_are_told_apart(remote: Hub, home: Path, tmp_path: Path) -> None:
    sources = [write_model(tmp_path / x / "model") for x in "ab"]
    folders = [hub.resolve(source, bits=8) for source in sources]
    assert remote.converted == sources
    assert len(set(folders)) == 2
    assert [hub.resolve(str(source), bits=8) for source in sources] == folders
    assert remote.converted == sources


def test_what_has_these_bits_already_is_left_alone(remote: Hub, tmp_path: Path) -> None:
    config = {"model_type": "bergamot", "quantization": {"bits": 8, "group_size": 64}}
    (write_model(tmp_path / "model") / "config.json").write_text(json.dumps(config))
    assert hub.resolve(tmp_path / "model", bits=8) == tmp_path / "model"
    assert remote.converted == []


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_original_checkpoint_is_converted_on_first_use(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture, layout: str
) -> None:
    source = write_checkpoint(tmp_path / "mine", layout)
    translator = hub.load_translator(source)
    said = capsys.readouterr().err
    assert f"converting {source} for the first use; kept in {home / 'models'}" in said
    assert "nllb: licence: " in said
    expected = load(write_folder(tmp_path / "expected"))
    words = ("The quick brown fox jumps.", "en", "pt")
    assert translator.translate(*words).tokens == expected.translate(*words).tokens != []
    built = hub.resolve(source)
    before = built.stat().st_ino
    hub.load_translator(str(source))
    assert capsys.readouterr().err == ""
    assert hub.resolve(source).stat().st_ino == before

    write_checkpoint(source, layout, shards=2)
    (source / layout).unlink()
    assert hub.resolve(source) == built
    assert built.stat().st_ino != before
    assert "converting" in capsys.readouterr().err


def test_bits_of_an_original_checkpoint(home: Path, tmp_path: Path) -> None:
    """32 numbers to a row of the fixture are fewer than a group, so its config alone shows it."""
    source = write_checkpoint(tmp_path / "mine")
    folder = hub.resolve(source, bits=8)
    assert read_config(folder)["quantization"]["bits"] == 8
    assert [path.name for path in (home / "models").iterdir()] == [folder.name]


def test_a_damaged_checkpoint_leaves_nothing(home: Path, tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "mine", weights={"model.shared.weight": mx.zeros(3)})
    with pytest.raises(ModelFormatError, match="has the shape"):
        hub.load_translator(source)
    assert list((home / "models").iterdir()) == []


def hub_cache(folder: Path, repository: str, commit: str) -> Path:
    """An empty snapshot of a repository in the layout of the hub's own cache."""
    root = folder / f"models--{repository.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text(SNAPSHOT)  # newer than the commit that is asked for
    return root / "snapshots" / commit


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_notebook_translates_from_a_name_on_the_hub(
    home: Path, tmp_path: Path, layout: str
) -> None:
    """Offline, out of the hub's cache, by the real client; and then without that cache."""
    repository = hub.ALIASES["nllb"]
    write_checkpoint(hub_cache(tmp_path / "hub", repository.id, repository.revision), layout)
    script = (
        "import mlx_speak as ms; "
        "t = ms.load_translator({name!r}, bits={bits}); "
        "print(t.translate('The quick brown fox.', source='en', target='pt').tokens)"
    )

    def run(name: str, bits: int | None, cache: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", script.format(name=name, bits=bits)],
            capture_output=True,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(cache)},
            timeout=60,
        )

    first = run("facebook/nllb-200-distilled-600M", None, tmp_path / "hub")
    assert first.stdout.startswith("["), first.stderr
    assert "licence: CC-BY-NC-4.0 (non-commercial use only)" in first.stderr
    again = run("nllb", None, tmp_path / "empty")
    assert (again.stdout, again.stderr) == (first.stdout, "")
    config = read_config(home / "models" / "facebook--nllb-200-distilled-600M")
    assert config["source"].endswith(f"facebook/nllb-200-distilled-600M/tree/{repository.revision}")
    eight = run("nllb-600m", 8, tmp_path / "empty")
    assert eight.stdout.startswith("["), eight.stderr
    missing = run("nllb-1.3b", None, tmp_path / "empty")
    last = missing.stderr.strip().splitlines()[-1]
    assert "'nllb-1.3b' is not here yet, and could not get" in last
    assert "or give a folder that holds its files" in last


@pytest.mark.parametrize("library", [object(), None])
def test_quantised_weights_are_told_of_where_they_are_slow(
    tmp_path, home, caplog, monkeypatch, library
) -> None:
    monkeypatch.setattr(blas, "library", lambda: library)
    write_folder(tmp_path / "tiny")
    hub.load_translator(tmp_path / "tiny")
    assert not caplog.records
    before = mx.default_device()
    mx.set_default_device(mx.cpu)
    try:
        hub.load_translator(tmp_path / "tiny", bits=8)
    finally:
        mx.set_default_device(before)
    assert ("slower" in caplog.text) == (library is None)
