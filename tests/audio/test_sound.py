"""The sound card through real PortAudio, without one: ALSA's null and file devices, JACK's dummy.

The dummy server keeps real time, so the figures for delay and pace are those of a card. Everything
runs in processes that the tests start and end.
"""

from __future__ import annotations

import ctypes.util
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support import needs, package

from mlx_speak.audio import Audio

from . import jack
from .jack import PERIOD
from .players import RATE, speech

pytestmark = [
    pytest.mark.sound,
    pytest.mark.skipif(sys.platform != "linux", reason="ALSA and JACK's dummy driver are Linux's"),
]

PLAYERS = Path(__file__).with_name("players.py")
BLOCK = PERIOD / RATE
"""Seconds the dummy server reads at a time."""
LATE = 1.0
"""Seconds by which a busy machine may wake a thread late; what the card hears is held tighter."""
STEEPEST = 0.5 * (2 * np.pi * 440 / RATE + 2 * np.pi / 2 / 192)
"""Between samples of a 440 Hz tone at half scale, on a rise and a fall of 8 ms at once."""


def play(name: str, **environment: str) -> dict:
    run = subprocess.run(
        [sys.executable, str(PLAYERS), name],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def play_undisturbed(name: str, **environment: str) -> dict:
    """Play again, up to three times in all, while the server itself ran late.

    It does on a busy machine, without real-time scheduling, and then loses time and samples; the
    server counts that, apart from what is tested here.
    """
    for _ in range(3):
        result = play(name, **environment)
        if not (result["underflows"] or result.get("overruns")):
            return result
    needs(False, "this machine is too busy to keep real time")
    return result


def without_jack(**environment: str) -> dict[str, str]:
    return {"JACK_DEFAULT_SERVER": "none", "JACK_NO_START_SERVER": "1", **environment}


@pytest.fixture(autouse=True)
def _portaudio():
    needs(importlib.util.find_spec("sounddevice"), "sounddevice is not installed")
    needs(ctypes.util.find_library("portaudio"), "libportaudio2 is not installed")


@pytest.fixture
def alsa(tmp_path):
    def configure(definition: str) -> dict[str, str]:
        path = tmp_path / "asound.conf"
        path.write_text(definition)
        return without_jack(ALSA_CONFIG_PATH=str(path))

    return configure


def jack_server(name: str, rate: int = RATE):
    needs(shutil.which("jackd"), "jackd2 is not installed")
    return jack.jack_server(name, rate)


@pytest.fixture
def name():
    return f"mlx-speak-{os.getpid()}"


def test_without_a_card_the_error_says_the_way_out(alsa):
    result = play("no_card", **alsa("pcm.!default { type hw card 99 }"))
    assert "no sound card" in result["error"]
    assert "output='speech.wav'" in result["error"]


def test_null_device_takes_everything(alsa):
    result = play("unpaced", **alsa("pcm.!default { type null }"))
    assert result["waited"]
    assert result["drained"]
    assert result["marked"]
    assert result["frames"] == result["played"] == 30 * RATE
    assert result["cleared"] == 0


def test_file_device_gets_the_very_samples(alsa, tmp_path):
    raw = tmp_path / "heard.raw"
    result = play(
        "to_file",
        **alsa(
            "pcm.nobody { type null }\n"
            f'pcm.!default {{ type file slave.pcm nobody file "{raw}" format raw }}\n'
        ),
    )
    assert result["played"] == RATE
    heard = np.fromfile(raw, np.float32).reshape(-1, 2)
    np.testing.assert_array_equal(heard[:, 0], heard[:, 1])
    # The tone begins with a zero: its second sample is the first that differs from silence.
    start = np.flatnonzero(heard[:, 0])[0] - 1
    np.testing.assert_array_equal(heard[start : start + RATE, 0], speech(1.0))
    assert not heard[start + RATE + 192 :].any()


def test_five_seconds_take_five_seconds(name):
    with jack_server(name) as environment:
        result = play_undisturbed("paced", **environment)
    assert 5.0 <= result["took"] < 5.0 + LATE
    assert result["played"] == 5 * RATE
    assert result["underruns"] == 0
    heard = np.array(result["heard"])
    assert 0 < heard[0] < 0.1  # first sound, from the call of write
    assert (np.diff(heard) > 0).all()
    # Frame n is heard n / rate after the first, within a block.
    expected = heard[0] + np.arange(len(heard)) * 240 / RATE
    np.testing.assert_allclose(heard, expected, rtol=0, atol=BLOCK)


def test_clear_and_pause_take_effect_at_once(name):
    with jack_server(name) as environment:
        result = play_undisturbed("controlled", **environment)
    assert result["silent_after"] < 0.1
    assert result["released_after"] < LATE
    assert result["again_after"] < 0.1
    assert result["paused_after"] < 0.1
    assert result["moved_while_paused"] == 0
    assert result["waited"]
    # One second of speech and a pause of 0.7 s.
    assert result["lasted"] == pytest.approx(1.7, abs=LATE)
    assert result["frames"] == result["played"] + result["cleared"]
    assert result["underruns"] == 0
    assert result["steepest"] <= STEEPEST


@pytest.mark.parametrize("rate", [24000, 48000, 44100])
def test_the_server_hears_the_tone(name, rate, tmp_path):
    """Also where the server refuses 24 kHz, which JACK does unless it runs at that."""
    needs(shutil.which("jack_rec"), "jack_rec, of jackd2, is not installed")
    package("soundfile")
    recording = tmp_path / "heard.wav"
    with jack_server(name, rate) as environment:
        result = play_undisturbed("recorded", **environment, RECORDING=str(recording))
    assert result["played"] == RATE
    heard = Audio.load(recording)
    assert heard.sample_rate == rate
    loud = np.flatnonzero(np.abs(heard.samples) > 0.01)
    assert (loud[-1] - loud[0]) / rate == pytest.approx(1.0, abs=0.01)
    middle = heard.samples[loud[0] + rate // 4 : loud[0] + rate * 3 // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)))) / (len(middle) / 4)
    assert np.argmax(spectrum) * rate / len(middle) == pytest.approx(440, abs=2.1)
    assert spectrum.max() == pytest.approx(0.5, rel=0.05)


def test_a_dead_server_is_an_error_in_time(name):
    """PortAudio's client of JACK cannot be revived, nor closed; nothing may hang for that."""
    with jack_server(name) as environment:
        player = subprocess.Popen(
            [sys.executable, str(PLAYERS), "loses_the_server"],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert player.stdout is not None
        while "playing" not in player.stdout.readline():
            assert player.poll() is None
    try:
        out, _ = player.communicate("gone\n", timeout=60)
    finally:
        player.kill()
        player.wait()
    assert player.returncode == 0
    result = json.loads(out.splitlines()[-1])
    assert "the sound card was lost" in result["error"]
    # A second to notice, two to close, and the time to look for another card.
    assert result["took"] < 10
    assert result["closed_in"] < 3
    assert result["played"] + result["queued"] == result["frames"] == 3 * RATE
