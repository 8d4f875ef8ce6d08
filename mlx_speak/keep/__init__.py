"""A process that stays warm, so that the next text is spoken at once: `mlx-speak --keep`.

    mlx-speak ── its arguments, standard input and standard error ──▶ server: models, pipeline
       keys ──────────────── a byte or a few each ───────────────────▶ skip, pause, …
       exit status ◀──────────── lines of JSON ────────────────────── accepted, ready, exit

The two meet at a Unix socket in `home("run")`, a folder of this user alone, and each looks at the
other's user id besides. The client hands over its open files themselves, so that text and the live
line pass through nobody; when its side of the socket closes, its speech stops. One text is spoken
at a time: a second client waits for its turn. A server of another version ends itself when asked,
and the client starts one of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any

from .. import __version__
from ..home import home

SOCKET, LOCK, LOG = "keep.sock", "keep.lock", "keep.log"

IDENTITY = [__version__, str(Path(__file__).parent), sys.executable]
"""What client and server must have in common."""


def private_folder() -> Path:
    """Where socket, lock and log are.

    Raises:
        OSError: it cannot be made, or others have a right to it.
    """
    folder = home("run")
    state = folder.stat()
    if state.st_uid != os.getuid() or state.st_mode & 0o077:
        raise PermissionError(f"{folder} is not this user's alone (chmod 700 it)")
    return folder


def peer(connection: socket.socket) -> tuple[int, int]:
    """Process and user id of the other side, as the system tells them."""
    if sys.platform == "darwin":
        credentials = connection.getsockopt(0, 1, 76)  # SOL_LOCAL, LOCAL_PEERCRED: struct xucred
        (pid,) = struct.unpack("i", connection.getsockopt(0, 2, 4))  # LOCAL_PEERPID
        return pid, struct.unpack_from("II", credentials)[1]
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    pid, user, _ = struct.unpack("iII", credentials)
    return pid, user


class Lines:
    """Lines of JSON over a connection."""

    def __init__(self, connection: socket.socket):
        self.connection = connection
        self._pending = b""

    def send(self, **message: Any) -> None:
        self.connection.sendall(json.dumps(message).encode() + b"\n")

    def receive(self, timeout: float | None = None) -> dict[str, Any] | None:
        """The next message; None if the other side is gone.

        Raises:
            TimeoutError: nothing whole came in that many seconds. What came is kept.
            ValueError: what came is no message.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while b"\n" not in self._pending:
            if deadline is not None:
                self.connection.settimeout(max(deadline - time.monotonic(), 1e-3))
            try:
                data = self.connection.recv(1 << 16)
            except ConnectionError:
                return None
            finally:
                with contextlib.suppress(OSError):
                    self.connection.settimeout(None)
            if not data:
                return None
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        message = json.loads(line)
        if not isinstance(message, dict):
            raise ValueError(f"not a message: {line!r}")
        return message
