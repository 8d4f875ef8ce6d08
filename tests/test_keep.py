"""The process that `mlx-speak --keep` keeps warm, through the command as a user runs it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlx_speak import keep
from mlx_speak.audio import Audio
from mlx_speak.home import home as home_folder
from mlx_speak.keep import server

TEXT = b"The tests pass. The report is on your desk."
QUICKLY = ("--to", "pt", "--voice", "say")  # whose voice takes no time


class Kept:
    """The command with a home of its own; what takes long to make is that of the real one."""

    def __init__(self, home: Path):
        self.home = home
        home.mkdir(mode=0o700, exist_ok=True)
        for part in ("models", "kokoro", "blas"):
            (home / part).symlink_to(home_folder(part))
        self.environment = {**os.environ, "MLX_SPEAK_HOME": str(home)}
        self.socket = home / "run" / keep.SOCKET

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "mlx_speak", *arguments]

    def run(self, *arguments: str, **options) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            self.command(*arguments),
            env=self.environment,
            capture_output=True,
            timeout=300,
            **{"input": TEXT, **options},
        )

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.command(*arguments),
            env=self.environment,
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    @property
    def pid(self) -> int:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.socket))
            return keep.peer(connection)[0]

    def end(self) -> None:
        if self.socket.exists():
            pid = self.pid
            assert self.run("--stop-keeping").returncode == 0
            until(lambda: not is_alive(pid))
        assert not self.socket.exists()


def is_alive(pid: int) -> bool:
    """Whether a process runs: one that has ended and that nobody waits for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        if sys.platform == "linux":
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def kept(models: dict[str, Path]) -> Iterator[Kept]:
    with tempfile.TemporaryDirectory(prefix="ms") as folder:  # a socket's path must be short
        kept = Kept(Path(folder, "home"))
        yield kept
        kept.end()


@pytest.mark.packages
def test_the_second_text_finds_the_process_of_the_first(kept: Kept, tmp_path: Path) -> None:
    first = kept.run("--to", "pt", "--keep", "--output", "a.wav", cwd=tmp_path)
    assert first.returncode == 0, first.stderr.decode()
    pid = kept.pid
    begun = time.monotonic()
    second = kept.run("--to", "pt", "--keep", "--output", "b.wav", cwd=tmp_path)
    assert time.monotonic() - begun < 20
    assert second.returncode == 0
    assert kept.pid == pid
    assert "Os testes passam." in second.stderr.decode()
    assert b"2 sentences" in second.stderr
    for name in ("a.wav", "b.wav"):  # in the folder of the client
        assert 2 < Audio.load(tmp_path / name).seconds < 8
    assert kept.socket.stat().st_mode & 0o777 == 0o600
    assert kept.socket.parent.stat().st_mode & 0o777 == 0o700
    wrong = kept.run("--to", "pt", "--keep", "--speaker", "pf_doro", "--output", "null")
    assert wrong.returncode == 2
    assert b"pf_dora" in wrong.stderr
    escapes = b"Hello \x1b]0;owned\x07\x1b[31mred\x1b[0m."
    clean = kept.run("--to", "en", "--keep", "--output", "null", input=escapes)
    assert b"Hello red" in clean.stderr
    assert b"\x1b" not in clean.stderr


@pytest.mark.packages
def test_a_client_that_goes_stops_its_speech_and_the_next_has_its_turn(
    kept: Kept, tmp_path: Path
) -> None:
    for number, status in ((signal.SIGINT, 130), (signal.SIGKILL, -9)):
        first = kept.start(*QUICKLY, "--keep", "--output", "silent")
        first.stdin.write(TEXT * 20)
        first.stdin.flush()  # and left open, as by an assistant that thinks
        line = b""
        while b"Os testes" not in line:
            line = first.stderr.readline()
            assert line
        second = kept.start(*QUICKLY, "--keep", "--output", "null")
        second.stdin.write(TEXT)
        second.stdin.close()
        assert b"another text is being spoken" in second.stderr.readline()
        first.send_signal(number)
        assert first.wait(10) == status
        assert second.wait(60) == 0
        assert b"Os testes passam." in second.stderr.read()
        first.stdin.close()
        first.stderr.close()
        second.stderr.close()


@pytest.mark.packages
def test_where_the_process_dies_the_command_goes_on_alone(kept: Kept) -> None:
    client = kept.start(*QUICKLY, "--keep", "--output", "null")
    client.stdin.write(b"The tests pass. Ye")
    client.stdin.flush()
    while b"Os testes" not in client.stderr.readline():
        assert client.poll() is None
    os.kill(kept.pid, signal.SIGKILL)
    client.stdin.write(b"The report is on your desk.")
    client.stdin.close()
    rest = client.stderr.read()
    assert client.wait(60) == 0
    assert b"has ended; going on without it" in rest
    assert b"The report is on your desk." in rest
    client.stderr.close()
    assert kept.socket.exists()  # what it left is in nobody's way:
    assert kept.run(*QUICKLY, "--keep", "0.02", "--output", "null").returncode == 0
    until(lambda: not kept.socket.exists())  # idle for 1.2 s


@pytest.mark.packages
def test_a_home_that_cannot_be_used_is_no_obstacle(kept: Kept) -> None:
    (kept.home / "run").mkdir(mode=0o755)
    (kept.home / "run").chmod(0o755)
    done = kept.run(*QUICKLY, "--keep", "--output", "null")
    assert done.returncode == 0
    assert b"without a warm process" in done.stderr
    assert b"2 sentences" in done.stderr


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ms") as name:
        yield Path(name)


def test_another_user_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(server, "peer", lambda connection: (1, os.getuid() + 1))
    spoken = []
    with server.listen(folder) as listener, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(folder / keep.SOCKET))
        socket.send_fds(client, [b"."], [0, 2])
        server.Server(1e-4, lambda *_: spoken.append(1) or 0).run(listener)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert not spoken
    assert "is of user" in capsys.readouterr().err


def test_a_client_of_another_version_ends_the_process(folder: Path) -> None:
    service = server.Server(60, lambda *_: pytest.fail("spoke"))
    with server.listen(folder) as listener, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(folder / keep.SOCKET))
        with open(os.devnull, "r+b") as null:
            socket.send_fds(client, [b"."], [null.fileno(), null.fileno()])
        lines = keep.Lines(client)
        lines.send(identity=["0.0.1", "/elsewhere", "python"])
        service.run(listener)
        assert lines.receive(1) == {"restart": True}


@pytest.mark.parametrize("said", [b"", b"x", b".[1]\n", b".nonsense\n", b"\x00" * 1000 + b"\n"])
def test_a_client_that_talks_nonsense_is_left_alone(folder: Path, said: bytes) -> None:
    with server.listen(folder) as listener, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(folder / keep.SOCKET))
        client.sendall(said)
        client.shutdown(socket.SHUT_WR)
        server.Server(1e-4, lambda *_: pytest.fail("spoke")).run(listener)


def test_messages_are_whole_however_they_are_cut() -> None:
    one, other = socket.socketpair()
    with one, other:
        lines = keep.Lines(one)
        other.sendall(b'{"a": ')
        with pytest.raises(TimeoutError):
            lines.receive(0.01)
        other.sendall(b'1}\n{"b": "\\u001b"}\n')
        assert [lines.receive(1), lines.receive(1)] == [{"a": 1}, {"b": "\x1b"}]
        other.close()
        assert lines.receive(1) is None


def test_the_other_side_is_known() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert keep.peer(one) == (os.getpid(), os.getuid())


def test_the_command_is_light_until_it_has_to_speak_itself() -> None:
    """What is not loaded costs the kept text nothing: it is to be taken within 100 ms."""
    script = (
        "import sys; import mlx_speak.__main__, mlx_speak.keep.client;"
        "print([m for m in ('numpy', 'mlx.core', 'rich', 'ctypes.util') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "[]\n"
