"""Where mlx_speak keeps what it fetched and built: `$MLX_SPEAK_HOME`, else `~/.cache/mlx_speak`."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


def home(*parts: str) -> Path:
    """The cache folder, or a folder within it; created when first asked for, for this user only."""
    base = os.environ.get("MLX_SPEAK_HOME")
    if base:
        root = Path(base).expanduser().resolve()
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "mlx_speak"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = root
    for part in parts:  # `parents=True` would make those between for everybody
        folder = folder / part
        folder.mkdir(mode=0o700, exist_ok=True)
    return folder


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold the lock of that name among all processes of this user.

    The system releases it when the process dies, however it does.
    """
    with (home("locks") / name).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
