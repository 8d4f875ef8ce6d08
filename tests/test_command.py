"""The `mlx-speak` command and the examples, run as a user runs them, on the packaged models."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mlx_speak.audio import Audio
from mlx_speak.text import Placeholders

ROOT = Path(__file__).parent.parent
TEXT = b"The tests pass. The report is on your desk."

pytestmark = pytest.mark.packages


def run(*arguments: str, data: bytes = TEXT, **options) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, *arguments], input=data, capture_output=True, timeout=300, **options
    )


def speak(*arguments: str, data: bytes = TEXT) -> subprocess.CompletedProcess[bytes]:
    return run("-m", "mlx_speak", *arguments, data=data)


def loudness(audio: Audio) -> float:
    return float(np.sqrt(np.mean(np.square(audio.samples))))


def test_a_text_is_spoken_in_portuguese_to_a_file(models, tmp_path):
    path = tmp_path / "speech.wav"
    result = speak("--to", "pt", "--output", str(path))
    assert result.returncode == 0, result.stderr.decode()
    log = result.stderr.decode()
    assert "The tests pass." in log
    assert "Os testes passam." in log
    assert "2 sentences" in log
    assert result.stdout == b""
    audio = Audio.load(path)
    assert audio.sample_rate == 24000
    assert 2 < audio.seconds < 8
    assert loudness(audio) > 0.01


def test_quiet_prints_nothing(models, tmp_path):
    result = speak("--to", "pt", "--output", str(tmp_path / "a.wav"), "--quiet", data=b"Yes.")
    assert result.returncode == 0
    assert result.stderr == b""


def test_the_same_language_is_spoken_untranslated(models, tmp_path):
    result = speak("--to", "en", "--output", str(tmp_path / "a.wav"), data=b"All is well.")
    assert result.returncode == 0, result.stderr.decode()
    assert "translated" not in result.stderr.decode()


def test_a_language_that_kokoro_lacks_is_spoken_by_the_system(models, tmp_path):
    path = tmp_path / "a.wav"
    text = "Alle Prüfungen sind bestanden.".encode()
    result = speak("--from", "de", "--to", "de", "--output", str(path), data=text)
    assert result.returncode == 0, result.stderr.decode()
    assert loudness(Audio.load(path)) > 0.01


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--to", "portugese"], "Portuguese"),
        (["--to", "pt", "--voice", "nobody"], "nobody"),
        (["--to", "pt", "--speaker", "pf_doro"], "pf_dora"),
        (["--to", "pt", "--translator", "bergamot-pt-en"], "does not translate"),
        (["--to", "pt", "--output", "no/such/folder/a.wav"], "no/such/folder"),
        (["--to", "pt", "--output", "gramophone"], "gramophone"),
        (["--to", "ko", "--voice", "kokoro", "--translator", "bergamot-en-pt"], "Korean"),
        (["--to", "pt", "--bits", "5"], "8, 4"),
        (["--to", "pt", "--max-lag", "0"], "--max-lag 60"),
    ],
)
def test_a_wrong_argument_is_answered_with_the_way_out(models, arguments, says):
    result = (
        speak(*arguments, "--output", "null") if "--output" not in arguments else speak(*arguments)
    )
    assert result.returncode == 2
    assert says in result.stderr.decode()
    assert "Traceback" not in result.stderr.decode()


def test_escape_sequences_do_not_reach_the_terminal(models):
    data = b"Hello \x1b]0;owned\x07\x1b[31mred\x1b[0m (see [/bold] and [link=x]this)."
    result = speak("--to", "en", "--output", "null", data=data)
    assert result.returncode == 0
    assert b"\x1b" not in result.stderr
    assert "owned" not in result.stderr.decode()
    assert "Hello red" in result.stderr.decode()


def test_on_a_terminal_a_live_line_tells_what_is_said(models):
    main, secondary = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "mlx_speak", "--to", "pt", "--output", "silent"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=secondary,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"},
    )
    os.close(secondary)
    process.stdin.write(TEXT)
    process.stdin.close()
    shown = b""
    while True:
        try:
            data = os.read(main, 65536)
        except OSError:  # Linux: the other side is closed
            break
        if not data:
            break
        shown += data
    os.close(main)
    assert process.wait(60) == 0
    assert "♪".encode() in shown
    assert b"waiting" in shown
    assert b"Os testes passam." in shown


def test_what_waits_too_long_is_left_out_if_that_is_asked_for(models):
    """And the listener is told."""
    sentences = "".join(f"This is sentence number {i} of a long report. " for i in range(12))
    options = ["--to", "en", "--voice", "say", "--output", "silent", "--max-lag", "4"]
    process = subprocess.Popen(
        [sys.executable, "-m", "mlx_speak", *options],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdin.write(sentences)
    process.stdin.flush()
    time.sleep(8)
    _, log = process.communicate(timeout=60)
    assert process.returncode == 0, log
    assert "skipped, as speech was" in log
    assert Placeholders().skipped in log


def test_an_interrupt_ends_at_once_and_leaves_a_file_that_plays(models, tmp_path):
    path = tmp_path / "a.wav"
    process = subprocess.Popen(
        [sys.executable, "-m", "mlx_speak", "--to", "pt", "--output", str(path)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell that runs the tests in the background has interrupts ignored, also for children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    process.stdin.write(TEXT * 20)
    process.stdin.flush()  # and left open, as by an assistant that thinks
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (path.exists() and path.stat().st_size > 10_000):
        time.sleep(0.02)
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    # It takes 200 ms; the rest is for machines that are busy with something else.
    assert time.monotonic() - asked < 2
    assert b"Traceback" not in process.stderr.read()
    process.stdin.close()
    process.stderr.close()
    assert Audio.load(path).seconds > 0.1
