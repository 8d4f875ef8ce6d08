"""Fixtures of this room."""

from pathlib import Path

import pytest
from translation.nllb_folder import write_folder


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny NLLB, converted; it is not to be written to."""
    return write_folder(tmp_path_factory.mktemp("nllb") / "tiny")
