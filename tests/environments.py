"""Environments of their own for packages whose dependencies clash with ours."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mlx_speak.home import home, lock

_READY = "ready"


def python(
    name: str,
    installs: Sequence[Sequence[str]],
    finish: Callable[[Path], None] = lambda packages: None,
) -> Path:
    """The interpreter of an environment in the cache of mlx_speak, made where it is missing.

    Args:
        name: of the environment, with the version of what it is for.
        installs: the arguments of pip, one call after the other.
        finish: is given the folder of its packages at the end.

    Raises:
        OSError: something cannot be installed.
    """
    with lock(f"peer-{name}"):
        folder = home("peers") / name
        interpreter = folder / "bin" / "python"
        if (folder / _READY).exists():
            return interpreter
        shutil.rmtree(folder, ignore_errors=True)
        _run(sys.executable, "-m", "venv", str(folder))
        for arguments in installs:
            _run(str(interpreter), "-m", "pip", "--quiet", "install", *arguments)
        (packages,) = folder.glob("lib/python*/site-packages")
        finish(packages)
        (folder / _READY).touch()
        return interpreter


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"{' '.join(command)} failed: {done.stderr[-800:]}")
