"""A model folder is whole or not there."""

from __future__ import annotations

import json
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx_speak.convert.folder import atomic_folder, is_model_folder, save_model

from mlx_speak.errors import ModelFormatError


def write(folder: Path, model_type: str = "kokoro") -> None:
    save_model(folder, {"model_type": model_type}, {"weight": np.ones((2, 3), np.float32)})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_folder_appears_at_the_end(tmp_path: Path) -> None:
    destination = tmp_path / "deep" / "model"
    with atomic_folder(destination) as folder:
        write(folder)
        assert not destination.exists()
    assert names(destination) == ["config.json", "model.safetensors"]
    assert names(destination.parent) == ["model"]


@pytest.mark.parametrize("replaces", [False, True])
def test_a_failure_leaves_nothing_of_the_new_and_all_of_the_old(
    tmp_path: Path, replaces: bool
) -> None:
    destination = tmp_path / "model"
    if replaces:
        with atomic_folder(destination) as folder:
            write(folder)

    def fail() -> None:
        with atomic_folder(destination) as folder:
            write(folder, "bergamot")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert names(tmp_path) == ["model"] * replaces
    if replaces:
        config = json.loads((destination / "config.json").read_text())
        assert config == {"model_type": "kokoro"}


def test_an_older_model_is_replaced_whole(tmp_path: Path) -> None:
    destination = tmp_path / "model"
    with atomic_folder(destination) as folder:
        write(folder)
        (folder / "old.txt").write_text("old")
    with atomic_folder(destination) as folder:
        write(folder, "bergamot")
    assert names(destination) == ["config.json", "model.safetensors"]
    assert names(tmp_path) == ["model"]


def test_a_failed_rename_brings_the_old_model_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    destination = tmp_path / "model"
    with atomic_folder(destination) as folder:
        write(folder)
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise OSError("no")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    folder = atomic_folder(destination)
    write(folder.__enter__(), "bergamot")
    with pytest.raises(OSError, match="no"):
        folder.__exit__(None, None, None)
    assert json.loads((destination / "config.json").read_text()) == {"model_type": "kokoro"}
    assert names(tmp_path) == ["model"]


def test_what_is_not_a_model_is_never_replaced(tmp_path: Path) -> None:
    home = tmp_path / "thesis"
    home.mkdir()
    (home / "chapter1.tex").write_text("It was")
    for destination in (home, home / "chapter1.tex"):
        with pytest.raises(ModelFormatError, match="not a model folder"):
            atomic_folder(destination).__enter__()
    assert (home / "chapter1.tex").read_text() == "It was"


def test_a_converter_may_write_into_an_outer_atomic_folder(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "model") as outer:
        with atomic_folder(outer) as inner:
            write(inner)
        (outer / "packages.json").write_text("{}")
    assert names(tmp_path / "model") == ["config.json", "model.safetensors", "packages.json"]


def test_arrays_of_either_kind_come_back(tmp_path: Path) -> None:
    weights = {
        "int8": np.arange(-3, 3, dtype=np.int8),
        "strided": np.arange(12, dtype=np.float32).reshape(3, 4).T,
        "bfloat16": mx.array([1.5, -2.0], mx.bfloat16),
    }
    save_model(tmp_path, {"model_type": "kokoro", "name": "日本"}, weights)
    loaded = mx.load(str(tmp_path / "model.safetensors"))
    assert isinstance(loaded, dict)
    assert loaded["bfloat16"].dtype == mx.bfloat16
    for name in ("int8", "strided"):
        np.testing.assert_array_equal(np.array(loaded[name]), weights[name])
    assert json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))["name"] == "日本"


def test_a_config_needs_a_model_type(tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match="model_type"):
        save_model(tmp_path, {}, {})
    for text in ("{}", "[]", "{", '{"model_type": 3}'):
        (tmp_path / "config.json").write_text(text)
        assert not is_model_folder(tmp_path)
