"""The keys that steer speech, pressed in a terminal of the test's own."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator

import pytest

from mlx_speak.keys import press, split

SHOW = """
import os, sys
from mlx_speak.keys import Keys
def show(text):  # at once: two threads do
    os.write(1, f"{text}\\n".encode())
with Keys(lambda key: show(f"key {key}")) as keys:
    show(f"active {keys.active}")
    sys.stdin.read()
show("over")
"""


class Pipe:
    def __init__(self, speed: float = 1.0):
        self.speed, self.paused, self.calls = speed, False, []

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def skip(self) -> None:
        self.calls.append("skip")

    def stop(self) -> None:
        self.calls.append("stop")


class Terminal:
    """A pseudo-terminal, and programs that have it as theirs while their text comes by a pipe."""

    def __init__(self) -> None:
        self.main, self.secondary = pty.openpty()
        self.shown = b""

    def start(self, *arguments: str, stdin: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
        def take_terminal() -> None:
            fcntl.ioctl(2, termios.TIOCSCTTY, 0)
            # Where tests run in the background, or under nohup, these are ignored by children too.
            for number in (signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)

        return subprocess.Popen(
            [sys.executable, *arguments],
            stdin=stdin,
            stdout=self.secondary,
            stderr=self.secondary,
            start_new_session=True,
            preexec_fn=take_terminal,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "160"},
        )

    def type(self, keys: bytes) -> None:
        os.write(self.main, keys)

    def wait_for(self, text: bytes, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.shown:
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} was not shown: {self.shown!r}"
            if select.select([self.main], [], [], left)[0]:
                self.shown += os.read(self.main, 65536)

    @property
    def modes(self) -> list[object]:
        return termios.tcgetattr(self.secondary)

    @property
    def is_cooked(self) -> bool:
        return bool(self.modes[3] & termios.ICANON)  # type: ignore[operator]


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    os.close(terminal.main)
    os.close(terminal.secondary)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_space_pauses_and_resumes() -> None:
    pipe = Pipe()
    press(pipe, b" ")
    assert pipe.paused
    press(pipe, b" ")
    assert not pipe.paused


@pytest.mark.parametrize(
    ("key", "call"), [(b"s", "skip"), (b"\x1b[C", "skip"), (b"\x1bOC", "skip"), (b"q", "stop")]
)
def test_a_key_is_a_call(key: bytes, call: str) -> None:
    pipe = Pipe()
    press(pipe, key)
    assert pipe.calls == [call]


def test_speed_changes_by_steps_within_what_can_be_understood() -> None:
    from mlx_speak.speech.voice import FASTEST, SLOWEST, check_speed

    pipe = Pipe()
    press(pipe, b"+")
    assert pipe.speed == 1.1
    press(pipe, b"-")
    assert pipe.speed == 1.0
    for key, limit in ((b"=", FASTEST), (b"-", SLOWEST)):
        for _ in range(100):
            press(pipe, key)
            check_speed(pipe.speed)
        assert pipe.speed == limit


@pytest.mark.parametrize("key", [b"x", b"\x1b", b"\x1b[A", b"\n", b"Q"])
def test_other_keys_do_nothing(key: bytes) -> None:
    pipe = Pipe()
    press(pipe, key)
    assert (pipe.calls, pipe.paused, pipe.speed) == ([], False, 1.0)


def test_keys_read_at_once_are_told_apart() -> None:
    assert split(b" s\x1b[C\x1b[Cq") == [b" ", b"s", b"\x1b[C", b"\x1b[C", b"q"]
    assert split(b"s\x1b[15~") == [b"s", b"\x1b[15~"]  # no letter of it is taken for a key
    assert split(b"") == []


def test_keys_come_from_the_terminal_and_text_from_the_pipe(terminal: Terminal) -> None:
    before = terminal.modes
    process = terminal.start("-c", SHOW)
    terminal.wait_for(b"active True")
    assert not terminal.is_cooked
    terminal.type(b"s")
    terminal.wait_for(b"key b's'")
    process.stdin.close()
    terminal.wait_for(b"over")
    assert process.wait(10) == 0
    assert terminal.modes == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_the_terminal_as_it_was(terminal: Terminal, number: int) -> None:
    before = terminal.modes
    process = terminal.start("-c", SHOW)
    terminal.wait_for(b"active True")
    assert not terminal.is_cooked
    process.send_signal(number)
    assert process.wait(10) == -number
    assert terminal.modes == before
    process.stdin.close()


def test_a_stopped_process_has_given_the_terminal_back(terminal: Terminal) -> None:
    process = terminal.start("-c", SHOW)
    terminal.wait_for(b"active True")
    process.send_signal(signal.SIGTSTP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)
    assert terminal.is_cooked
    process.send_signal(signal.SIGCONT)
    until(lambda: not terminal.is_cooked)
    terminal.type(b" ")
    terminal.wait_for(b"key b' '")
    process.stdin.close()
    assert process.wait(10) == 0
    assert terminal.is_cooked


def test_a_terminal_that_text_is_typed_into_has_no_keys(terminal: Terminal) -> None:
    process = terminal.start("-c", SHOW, stdin=terminal.secondary)
    terminal.wait_for(b"active False")
    assert terminal.is_cooked
    terminal.type(b"\x04")  # the end of the text
    assert process.wait(10) == 0


def test_without_a_terminal_there_are_no_keys() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHOW],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,
        timeout=60,
    )
    assert done.stdout == "active False\nover\n"


@pytest.mark.packages
def test_the_command_pauses_and_stops_by_key(models: object, terminal: Terminal) -> None:
    before = terminal.modes
    process = terminal.start("-m", "mlx_speak", "--to", "pt", "--output", "silent", "--eager")
    process.stdin.write(b"The tests pass. The report is on your desk. " * 10)
    process.stdin.flush()  # and left open, as by an assistant that thinks
    terminal.wait_for(b"q stops")
    terminal.type(b" ")
    terminal.wait_for(b", paused]")
    terminal.type(b"q")
    terminal.wait_for(b"sentences")
    assert process.wait(10) == 0
    assert terminal.modes == before
    process.stdin.close()
