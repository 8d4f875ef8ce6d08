"""Outputs without a sound card: a file, nobody, and nobody at the pace of a clock."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import threading
import time
import wave
from contextlib import contextmanager

import numpy as np
import pytest

from mlx_speak.audio import Audio, AudioError, Output, open_output
from mlx_speak.audio.files import WavOutput
from mlx_speak.audio.output import NullOutput
from mlx_speak.audio.realtime import SilentOutput
from mlx_speak.errors import OutputError

RATE = 24000
LATE = 0.5
"""Seconds by which a loaded machine may run a thread late; the waits tested here are longer."""


def speech(seconds: float) -> np.ndarray:
    return (0.5 * np.sin(np.arange(round(seconds * RATE)) * 0.05)).astype(np.float32)


class Recording(SilentOutput):
    """Keeps what would be heard, with the time at which each block was read."""

    def __init__(self, **options):
        self.blocks: list[tuple[float, np.ndarray]] = []
        super().__init__(**options)

    def _played(self, out):
        self.blocks.append((time.monotonic(), out.copy()))

    @property
    def heard(self) -> np.ndarray:
        return np.concatenate([block for _, block in self.blocks])


@contextmanager
def in_thread(function):
    """Run `function` meanwhile; it must have ended 5 s after the block at the latest."""
    outcome: list = []
    running = threading.Event()

    def run():
        running.set()
        outcome.append(function())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert running.wait(5)
    yield outcome
    thread.join(5)
    assert not thread.is_alive()


@pytest.fixture(params=["null", "silent", "wav"])
def any_output(request, tmp_path):
    spec = tmp_path / "speech.wav" if request.param == "wav" else request.param
    with open_output(spec, RATE) as output:
        yield output


def test_every_output_keeps_the_contract(any_output):
    output = any_output
    before = time.monotonic()
    assert output.sample_rate == RATE
    assert output.heard_at(0) is None
    assert output.wait(0)
    assert output.write(speech(0.05)) == (0, 1200)
    assert output.write(Audio(speech(0.05), RATE), more=True) == (1200, 2400)
    assert output.write([]) == (2400, 2400)
    assert output.wait(2400, timeout=5)
    assert output.drain(timeout=5)
    assert output.buffered == 0
    heard = [output.heard_at(frame) for frame in range(0, 2400, 100)]
    assert heard == sorted(heard)
    assert before <= heard[0] <= heard[-1] <= time.monotonic()
    assert output.heard_at(2400) is None
    assert not output.wait(2401, timeout=0.05)
    output.pause()
    output.resume()
    output.clear()
    stats = output.stats
    assert (stats.frames, stats.played, stats.cleared, stats.underruns) == (2400, 2400, 0, 0)
    output.close()
    output.close()
    with pytest.raises(OutputError, match="closed"):
        output.write(speech(0.1))


def test_every_output_checks_its_samples(any_output):
    for bad in (np.zeros((2, 2), np.float32), np.zeros(4, np.int16), [float("nan")]):
        with pytest.raises(AudioError):
            any_output.write(bad)
    with pytest.raises(AudioError, match=r"resample\(24000\)"):
        any_output.write(Audio(np.zeros(10, np.float32), 16000))
    assert any_output.stats.frames == 0


def test_open_output_names_what_it_knows(tmp_path):
    for spec in ("speech.mp3", "", None, 3):
        with pytest.raises(OutputError, match=r"'speakers', 'null', 'silent' or a path"):
            open_output(spec)
    given = NullOutput(16000)
    assert open_output(given, 16000) is given
    with pytest.raises(OutputError, match="16000 Hz, but 24000"):
        open_output(given)
    assert isinstance(open_output("null"), Output)
    with open_output(str(tmp_path / "A.WAV"), 8000) as output:
        assert isinstance(output, WavOutput)
        assert output.sample_rate == 8000


def test_wav_is_playable_after_every_write(tmp_path):
    path = tmp_path / "speech.wav"
    source = speech(1.0)
    with WavOutput(path, RATE) as output:
        assert len(Audio.load(path)) == 0
        for begin in range(0, len(source), 5000):
            output.write(source[begin : begin + 5000])
            np.testing.assert_allclose(
                Audio.load(path).samples, source[: begin + 5000], rtol=0, atol=0.5 / 32768
            )
    assert path.stat().st_size == 44 + 2 * len(source)


def test_wav_survives_the_death_of_the_program(tmp_path):
    path = tmp_path / "speech.wav"
    code = (
        "import os, sys, numpy as np\n"
        "from mlx_speak.audio import open_output\n"
        "output = open_output(sys.argv[1])\n"
        "for _ in range(3): output.write(np.full(1000, 0.25, np.float32))\n"
        "os._exit(1)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert Audio.load(path).samples.tolist() == [0.25] * 3000


def test_full_disk_leaves_what_was_written_and_goes_on_when_there_is_room(tmp_path):
    """The file may grow to 10001 bytes, an odd number that cuts a sample in two."""
    path = tmp_path / "speech.wav"
    code = (
        "import json, resource, sys, numpy as np\n"
        "from mlx_speak.audio import open_output\n"
        "from mlx_speak.errors import OutputError\n"
        "_, most = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10001, most))\n"
        "output = open_output(sys.argv[1])\n"
        "messages = []\n"
        "for _ in range(4):\n"
        "    try: output.write(np.full(2000, 0.25, np.float32))\n"
        "    except OutputError as error: messages.append(str(error))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))\n"
        "output.write(np.full(1000, 0.25, np.float32))\n"
        "output.close()\n"
        "print(json.dumps(messages))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    messages = json.loads(run.stdout)
    assert len(messages) == 2
    assert messages[0] == messages[1]
    assert str(path) in messages[0]
    assert "the first 0.2 s are in it" in messages[0]
    with wave.open(str(path)) as file:
        assert file.getnframes() == (10001 - 44) // 2 + 1000
    assert set(Audio.load(path).samples) == {0.25}


def test_wav_header_counts_past_two_gibibytes(tmp_path):
    """Sizes are unsigned; past 4 GiB there is an error in words."""
    output = WavOutput(tmp_path / "long.wav", RATE)
    output._size = 2**31 + 1000
    output._update_header()
    assert struct.unpack("<I", (tmp_path / "long.wav").read_bytes()[40:44]) == (2**31 + 1000,)
    output._size = 2**32 - 100
    with pytest.raises(OutputError, match="4 GiB"):
        output.write(speech(1.0))
    output.close()


def test_wav_in_a_missing_folder(tmp_path):
    with pytest.raises(OutputError, match=r"missing.*No such file"):
        open_output(tmp_path / "missing" / "speech.wav")


def test_null_does_not_wait():
    started = time.monotonic()
    with NullOutput(RATE) as output:
        for _ in range(60):
            output.write(np.zeros(RATE, np.float32))
    assert output.stats.frames == 60 * RATE
    assert time.monotonic() - started < 5  # for a minute of sound


def test_silent_keeps_the_time():
    with SilentOutput(RATE) as output:
        started = time.monotonic()
        assert output.write(speech(1.0)) == (0, RATE)
        assert output.buffered > 0.5
        assert output.drain()
        took = time.monotonic() - started
        assert 1.0 <= took < 1.0 + LATE
        first = output.heard_at(0)
        assert started <= first < started + LATE
        assert output.heard_at(RATE - 1) == pytest.approx(first + 1, abs=0.01)


def test_write_blocks_while_the_ring_is_full():
    with SilentOutput(RATE, capacity=0.2) as output:
        started = time.monotonic()
        output.write(speech(1.0))
        assert 0.75 < time.monotonic() - started < 0.8 + LATE
        assert output.buffered <= 0.2


def test_sleepers_wake_when_their_frame_is_heard():
    with SilentOutput(RATE) as output:
        _, first = output.write(speech(0.3))
        output.write(speech(0.7))
        started = time.monotonic()
        assert not output.wait(first, timeout=0.1)
        assert time.monotonic() - started < 0.1 + LATE
        assert output.wait(first)
        assert output.heard_at(first - 1) <= time.monotonic() < started + 0.3 + LATE
        output.clear()


def test_clear_silences_and_releases_the_writer():
    output = Recording(capacity=0.5)
    with in_thread(lambda: output.write(speech(10.0))) as outcome:
        time.sleep(0.3)
        cleared = time.monotonic()
        output.clear()
        assert output.buffered == 0
    start, end = outcome[0]
    assert start == 0
    assert 0.5 * RATE <= end < 10 * RATE
    assert time.monotonic() - cleared < LATE
    assert not output.wait(end, timeout=5)
    assert output.heard_at(end - 1) is None
    # The 8 ms fall may begin one 10 ms block after the call.
    loud = [at for at, block in output.blocks if np.abs(block).max() > 0.01]
    assert loud[-1] - cleared < 0.1
    # Silence lasts; what is written afterwards is heard, in its own place.
    start, again = output.write(speech(0.2))
    assert start == end
    assert output.wait(again, timeout=5)
    assert output.heard_at(start) > cleared
    output.close()
    stats = output.stats
    assert (stats.frames, stats.played + stats.cleared) == (again, again)
    # 0.5 · 0.05 is the steepest the sine gets; a rise or fall of 8 ms adds 0.5 · π / 2 / 192.
    assert np.abs(np.diff(output.heard)).max() < 0.025 + 0.0082


def test_pause_keeps_the_rest():
    with Recording() as output:
        _, end = output.write(speech(0.6))
        time.sleep(0.2)
        output.pause()
        time.sleep(0.1)
        held = output.buffered
        assert 0.2 < held < 0.55
        assert not output.drain(timeout=0.2)
        assert output.buffered == held
        assert not output.heard[-RATE // 10 :].any()
        output.resume()
        assert output.wait(end, timeout=5)
        assert output.stats.played == end
        assert output.stats.underruns == 0


def test_starved_speech_is_counted():
    with SilentOutput(RATE) as output:
        output.write(speech(0.05), more=True)
        time.sleep(0.3)
        assert output.stats.underruns == 1
        output.write(speech(0.05), more=False)
        time.sleep(0.3)
        assert output.stats.underruns == 1


@pytest.mark.parametrize("waiter", ["write", "wait", "drain"])
def test_close_releases_every_waiter(waiter):
    output = SilentOutput(RATE, capacity=0.5)
    output.write(speech(0.5))
    waits = {
        "write": lambda: output.write(speech(60.0)),
        "wait": lambda: output.wait(60 * RATE),
        "drain": lambda: (output.pause(), output.drain())[1],
    }
    with in_thread(waits[waiter]) as outcome:
        time.sleep(0.2)
        closing = time.monotonic()
        output.close()
        assert time.monotonic() - closing < LATE
    assert outcome[0] is False or waiter == "write"


def test_exception_ends_the_sound_at_once():
    def interrupted():
        with SilentOutput(RATE) as output:
            output.write(speech(5.0))
            raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert time.monotonic() - started < 1
