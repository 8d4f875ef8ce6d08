"""Layers are made with the same random parameters in every run."""

from __future__ import annotations

import mlx.core as mx
import pytest

from mlx_speak.nn import native


@pytest.fixture(autouse=True)
def seeded() -> None:
    mx.random.seed(0)


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The functions of the library that were called."""
    names: list[str] = []
    call = native.call

    def noted(name: str, *arguments: object) -> None:
        names.append(name)
        call(name, *arguments)

    monkeypatch.setattr(native, "call", noted)
    return names
