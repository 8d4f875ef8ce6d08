"""Keys that steer speech while standard input is the text's: read from the terminal itself."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import threading
import tty
from collections.abc import Callable
from types import FrameType
from typing import Any, Protocol

HINT = "space pauses, s skips, +/- speed, q stops"

_ARROW_RIGHT = (b"\x1b[C", b"\x1bOC")
_STEP = 0.1  # of speed, a press
_AWAY = 0.2  # seconds between looks at whether we are in the foreground again


class Steered(Protocol):
    """What of a `Pipeline` the keys use."""

    speed: float

    @property
    def paused(self) -> bool: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def skip(self) -> None: ...
    def stop(self) -> None: ...


def press(pipe: Steered, key: bytes) -> None:
    """Do what a key stands for; other keys do nothing."""
    from .speech.voice import FASTEST, SLOWEST

    if key == b" ":
        if pipe.paused:
            pipe.resume()
        else:
            pipe.pause()
    elif key in (b"s", *_ARROW_RIGHT):
        pipe.skip()
    elif key in (b"+", b"=", b"-"):
        change = -_STEP if key == b"-" else _STEP
        pipe.speed = min(max(round(pipe.speed + change, 2), SLOWEST), FASTEST)
    elif key == b"q":
        pipe.stop()


def split(data: bytes) -> list[bytes]:
    """What was read at once, as keys: an escape sequence is one, and ends what was read."""
    keys = []
    while data:
        length = len(data) if data[0] == 0x1B else 1
        for arrow in _ARROW_RIGHT:
            if data.startswith(arrow):
                length = len(arrow)
        keys.append(data[:length])
        data = data[length:]
    return keys


class Keys:
    """Within it, each key that is pressed in the terminal is passed to `pressed`, in a thread.

    Does nothing where there is no terminal to steer from, or where text is typed into it. The
    terminal is left as it was found at the end, also by an interrupt, `SIGTERM` or `SIGHUP`, and
    while the process is stopped (Ctrl-Z) or in the background.
    """

    def __init__(self, pressed: Callable[[bytes], None]):
        self._pressed = pressed
        self._terminal = -1
        self._found: list[Any] | None = None  # the terminal's modes, while they are changed
        self._wanted = False  # whether to change them when in the foreground
        self._changing = threading.RLock()  # a signal's handler may come while it is held
        self._wake: tuple[int, int] | None = None
        self._thread: threading.Thread | None = None
        self._handlers: dict[int, object] = {}

    @property
    def active(self) -> bool:
        return self._thread is not None

    def __enter__(self) -> Keys:
        if os.isatty(0) or not sys.stderr.isatty():
            return self
        try:
            self._terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:
            return self
        self._wake = os.pipe()
        if threading.current_thread() is threading.main_thread():
            for number, handler in (
                (signal.SIGTERM, self._end),
                (signal.SIGHUP, self._end),
                (signal.SIGTSTP, self._suspend),
            ):
                if signal.getsignal(number) == signal.SIG_DFL:  # what is ignored stays ignored
                    self._handlers[number] = signal.signal(number, handler)
        self._wanted = True
        self._take()
        self._thread = threading.Thread(target=self._read, name="keys", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._wake is None:
            return
        self._give_back()
        os.write(self._wake[1], b".")
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(1)
        self._thread = None
        for number in self._handlers:
            signal.signal(number, signal.SIG_DFL)
        self._handlers.clear()
        for descriptor in (*self._wake, self._terminal):
            os.close(descriptor)
        self._wake = None

    def _in_foreground(self) -> bool:
        """To touch the terminal from the background would stop the process."""
        try:
            return os.tcgetpgrp(self._terminal) == os.getpgrp()
        except OSError:
            return False

    def _take(self) -> None:
        with self._changing, contextlib.suppress(termios.error):
            if self._wanted and self._found is None and self._in_foreground():
                found = termios.tcgetattr(self._terminal)
                tty.setcbreak(self._terminal, termios.TCSANOW)
                self._found = found

    def _give_back(self) -> None:
        self._wanted = False
        with self._changing, contextlib.suppress(termios.error):
            found, self._found = self._found, None
            if found is not None and self._in_foreground():
                termios.tcsetattr(self._terminal, termios.TCSANOW, found)

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._give_back()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def _suspend(self, number: int, frame: FrameType | None) -> None:
        self._give_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._wanted = True  # continued: `_read` takes the terminal once we are in the foreground

    def _read(self) -> None:
        assert self._wake is not None
        woken, terminal = self._wake[0], self._terminal
        while True:
            self._take()
            here = self._found is not None and self._in_foreground()
            watched = [woken, terminal] if here else [woken]
            ready, _, _ = select.select(watched, [], [], _AWAY)
            if woken in ready:
                return
            if terminal in ready and self._in_foreground():
                try:
                    data = os.read(terminal, 64)
                except OSError:  # the terminal is gone
                    return
                if not data:
                    return
                for key in split(data):
                    self._pressed(key)
