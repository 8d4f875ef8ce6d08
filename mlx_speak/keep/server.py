"""The warm process: speaks one text after another, and ends when none has come for a while."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..__main__ import parse_arguments
from ..errors import SpeakError
from ..keys import HINT, press, split
from ..speak import Models, chunks, speak
from ..status import Status
from . import IDENTITY, LOCK, SOCKET, Lines, peer, private_folder

_HELLO = 2.0  # seconds that a client may take to say what it wants
_TICK = 0.05


class Server:
    """Args:
    minutes: without a text after which `run` returns; each client may say anew.
    say: speaks one text; `speak`, but for tests.
    """

    def __init__(self, minutes: float, say: Callable[..., int] = speak):
        self.minutes = minutes
        self._say = say
        self._models = Models()
        self._over = False

    def run(self, listener: socket.socket) -> None:
        """Serve until nobody came for `minutes`, or a client of another version did."""
        while not self._over:
            listener.settimeout(max(self.minutes * 60, 1e-3))
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                return
            with connection:
                try:
                    self._serve(connection)
                except (OSError, ValueError) as error:  # the client's doing, or its end
                    print(f"a client: {error}", file=sys.stderr, flush=True)

    def _serve(self, connection: socket.socket) -> None:
        pid, user = peer(connection)
        if user != os.getuid():
            raise PermissionError(f"process {pid} is of user {user}")
        connection.settimeout(_HELLO)
        _, descriptors, _, _ = socket.recv_fds(connection, 1, 2)
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(os.fdopen(each, "rb", 0)) for each in descriptors]
            lines = Lines(connection)
            hello = lines.receive(_HELLO)
            if hello is None or len(files) != 2:
                return
            if hello.get("identity") != IDENTITY:
                self._over = True
                lines.send(restart=True)
                return
            lines.send(accepted=True)
            self.minutes = float(hello["minutes"])
            # The reader of the text closes it, when it has seen that all is over.
            stdin = os.fdopen(os.dup(files[0].fileno()), "rb", 0)
            stderr = stack.enter_context(
                os.fdopen(os.dup(files[1].fileno()), "w", encoding="utf-8", errors="replace")
            )
            lines.send(exit=self._speak(lines, hello, stdin, stderr))

    def _speak(self, lines: Lines, hello: dict[str, Any], stdin: Any, stderr: Any) -> int:
        arguments = parse_arguments(hello["argv"])
        gone, done = threading.Event(), threading.Event()

        def control(pipe: Any) -> None:
            """Do as the client's keys say; once it is gone, see that nothing is said."""
            with contextlib.suppress(OSError):
                while data := lines.connection.recv(64):
                    for key in split(data):
                        press(pipe, key)
            gone.set()
            while not done.wait(_TICK):  # `stop` reaches only a run that has begun
                pipe.stop()

        def ready(pipe: Any) -> str:
            thread = threading.Thread(target=control, args=(pipe,), name="keys", daemon=True)
            thread.start()
            controllers.append(thread)
            lines.send(ready=True)
            return HINT if hello["keys"] else ""

        controllers: list[threading.Thread] = []
        stream = chunks(stdin, lambda: gone.is_set() or done.is_set())
        os.chdir(hello["folder"])
        try:
            with Status(arguments.quiet, stderr, hello["environment"]) as status:
                try:
                    return self._say(arguments, stream, status, self._models, ready)
                except SpeakError as error:
                    status.error(str(error))
                    return 2
        finally:
            done.set()
            with contextlib.suppress(OSError):
                lines.connection.shutdown(socket.SHUT_RD)  # wakes `control`
            for thread in controllers:
                thread.join()
            os.chdir("/")


def listen(folder: Path) -> socket.socket:
    """A socket for this user alone; what a server that died has left is put away."""
    (folder / SOCKET).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)
    try:
        listener.bind(str(folder / SOCKET))
    finally:
        os.umask(mask)
    listener.listen(16)
    return listener


def main(minutes: float) -> None:
    folder = private_folder()
    with (folder / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # another one was first
            return

        def end(*_: object) -> None:
            raise SystemExit

        signal.signal(signal.SIGTERM, end)
        with listen(folder) as listener:
            try:
                Server(minutes).run(listener)
            except SystemExit:
                pass
            finally:
                (folder / SOCKET).unlink(missing_ok=True)


if __name__ == "__main__":
    code = 1
    try:
        main(float(sys.argv[1]))
        code = 0
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    sys.stderr.flush()
    os._exit(code)  # a thread may still wait for a client's text
