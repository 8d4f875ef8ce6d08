"""XTTS folders for tests: coqui's files with random weights, and those converted."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from mlx_speak.convert import convert

from mlx_speak.audio import Audio

FIXTURES = Path(__file__).parent / "fixtures"


def coqui_folder(folder: Path) -> Path:
    """A tiny XTTS as coqui publishes it: config, model, vocabulary, one speaker."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "model.pth", "speakers_xtts.pth"):
        shutil.copy(FIXTURES / "xtts_tiny" / name, folder)
    shutil.copy(FIXTURES / "xtts_front_end" / "vocab.json", folder)
    return folder


@pytest.fixture(scope="session")
def xtts_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny XTTS, converted."""
    root = tmp_path_factory.mktemp("xtts")
    return convert(coqui_folder(root / "coqui"), root / "xtts")


def recording(path: Path, seconds: float = 2.0, rate: int = 16000, level: float = 0.3) -> Path:
    """Something with a pitch and noise, as speech has."""
    random = np.random.default_rng(round(seconds * rate))
    time = np.arange(round(seconds * rate)) / rate
    tone = np.sin(2 * np.pi * 140 * time) + 0.3 * random.standard_normal(len(time))
    samples = level * tone / max(np.abs(tone).max(), 1e-9)
    return Audio(samples.astype(np.float32), rate).save(path)
