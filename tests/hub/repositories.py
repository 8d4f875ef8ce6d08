"""The hub as folders here, and models that only tell where they came from."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest
from mlx_speak.convert.folder import save_model

from mlx_speak import convert as convert_module
from mlx_speak import hub

SNAPSHOT = "0123456789abcdef0123456789abcdef01234567"


def write_model(folder: Path, model_type: str = "bergamot") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_type": model_type, "provenance": {}}
    save_model(folder, config, {"w": np.zeros(1, np.float32)})
    return folder


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models that only tell which folder they were loaded from."""
    for model_type, where in hub.MODULES.items():
        module = types.ModuleType(f"mlx_speak.{where}")
        module.load = lambda folder, kind=model_type: f"{kind} from {folder}"  # type: ignore
        module.load_model = lambda folder, lazy, kind=model_type: f"bare {kind} from {folder}"  # type: ignore
        monkeypatch.setitem(sys.modules, module.__name__, module)


class Hub:
    """The hub as `snapshot_download` shows it: repositories that are folders here."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path):
        import huggingface_hub

        self.folder = folder
        self.asked: list[tuple[str, str | None, tuple[str, ...]]] = []
        self.converted: list[Path] = []
        monkeypatch.setattr(huggingface_hub, "snapshot_download", self.snapshot_download)

        def convert(source: Path, destination: Path, **_: object) -> Path:
            self.converted.append(source)
            return write_model(destination, "kokoro")

        monkeypatch.setattr(convert_module, "convert", convert)

    def add(self, repository: str) -> Path:
        folder = self.folder / repository / SNAPSHOT
        folder.mkdir(parents=True)
        return folder

    def snapshot_download(self, repository: str, revision=None, allow_patterns=()) -> str:
        self.asked.append((repository, revision, tuple(allow_patterns)))
        folder = self.folder / repository / SNAPSHOT
        if not folder.is_dir():
            raise ConnectionError("Name or service not known\nand more")
        return str(folder)


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: Path) -> Hub:
    return Hub(monkeypatch, tmp_path / "hub")
