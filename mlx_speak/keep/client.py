"""The side of the command: hands its text to the warm process, which it starts if need be."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ..keys import Keys
from . import IDENTITY, LOG, SOCKET, Lines, peer, private_folder

_START = 20.0  # seconds that a server may take until it listens
_TURN = 0.5  # seconds until it is said that another text is being spoken
_FAREWELL = 1.0  # seconds that an interrupted text may take to close its files
_ENVIRONMENT = ("TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES")


class _OtherVersion(Exception):
    """The server is not of this version, and ends."""


def speak_kept(argv: Sequence[str], minutes: float, quiet: bool) -> int | None:
    """Have the warm process speak standard input.

    Args:
        argv: the command's arguments.
        minutes: without a text after which it ends.

    Returns:
        The exit status, or None if there is no warm process, or none any more, and it has been
        said why: what is left of standard input is still to be spoken.
    """
    try:
        folder = private_folder()
        for _ in range(3):
            with contextlib.suppress(_OtherVersion), _connect(folder, minutes) as connection:
                return _hand_over(Lines(connection), argv, minutes, quiet)
            _wait_for_end(folder)
        raise ConnectionError("one of another version does not give way")
    except OSError as error:
        _say(f"speaking without a warm process: {error}")
        return None


def stop_keeping() -> int:
    """End the warm process, and what it says; returns the command's exit status."""
    try:
        folder = private_folder()
        connection = _try_to_connect(folder)
        if connection is None:
            _say("no process is kept warm")
            return 0
        with connection:
            pid, _ = peer(connection)
        os.kill(pid, signal.SIGTERM)
        _wait_for_end(folder)
    except OSError as error:
        _say(f"cannot end the warm process: {error}")
        return 1
    return 0


def _say(message: str) -> None:
    print(f"mlx-speak: {message}", file=sys.stderr)


def _try_to_connect(folder: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(folder / SOCKET))
        if peer(connection)[1] != os.getuid():
            raise PermissionError(f"{folder / SOCKET} is another user's")
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(folder: Path, minutes: float) -> socket.socket:
    """A connection to the warm process, which is started if there is none."""
    if connection := _try_to_connect(folder):
        return connection
    with (folder / LOG).open("ab") as log:
        os.chmod(folder / LOG, 0o600)
        process = subprocess.Popen(
            [sys.executable, "-m", "mlx_speak.keep.server", str(minutes)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
        )
    deadline = time.monotonic() + _START
    while time.monotonic() < deadline:
        if connection := _try_to_connect(folder):
            return connection
        if process.poll() not in (None, 0):  # 0: another one was first
            raise ConnectionError(f"it did not start; see {folder / LOG}")
        time.sleep(0.01)
    raise ConnectionError(f"it did not start in {_START:g} s; see {folder / LOG}")


def _wait_for_end(folder: Path) -> None:
    deadline = time.monotonic() + 5
    while (folder / SOCKET).exists() and time.monotonic() < deadline:
        time.sleep(0.01)


def _hand_over(lines: Lines, argv: Sequence[str], minutes: float, quiet: bool) -> int | None:
    """The exit status, or None if the server died."""
    connection = lines.connection

    def pressed(key: bytes) -> None:
        with contextlib.suppress(OSError):
            connection.sendall(key)

    with Keys(pressed) as keys:
        socket.send_fds(connection, [b"."], [0, 2])
        lines.send(
            identity=IDENTITY,
            argv=list(argv),
            minutes=minutes,
            folder=os.getcwd(),
            keys=keys.active,
            environment=_environment(),
        )
        try:
            return _exit_status(lines, quiet)
        except KeyboardInterrupt:
            connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(OSError):
                while (message := lines.receive(_FAREWELL)) and "exit" not in message:
                    pass
            raise


def _exit_status(lines: Lines, quiet: bool) -> int | None:
    patience: float | None = _TURN
    while True:
        try:
            message = lines.receive(patience)
        except TimeoutError:
            patience = None
            if not quiet:
                _say("waiting: another text is being spoken")
            continue
        patience = None
        if message is None:
            _say("the warm process has ended; going on without it")
            return None
        if "restart" in message:
            raise _OtherVersion
        if "exit" in message:
            return int(message["exit"])


def _environment() -> dict[str, str]:
    """What the look of the live line depends on."""
    found = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    with contextlib.suppress(OSError):
        size = os.get_terminal_size(2)
        found.setdefault("COLUMNS", str(size.columns))
        found.setdefault("LINES", str(size.lines))
    return found
