"""Fixtures of this room."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from kokoro_models import kokoro_folder, kokoro_onnx, real, small
from speech.recogniser import transcriber
from xtts_models import xtts_folder

__all__ = ["kokoro_folder", "kokoro_onnx", "real", "small", "transcribe", "xtts_folder"]


@pytest.fixture(scope="session")
def transcribe(tmp_path_factory: pytest.TempPathFactory) -> Callable[[np.ndarray], str]:
    """A function from 24 kHz samples of English to text."""
    return transcriber(tmp_path_factory.mktemp("whisper"))
