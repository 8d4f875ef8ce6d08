"""`Audio`: what it accepts, keeps, and writes."""

from __future__ import annotations

import base64
import builtins
import re
import struct
import subprocess
import sys
import wave

import numpy as np
import pytest
from support import package

from mlx_speak.audio import Audio, AudioError
from mlx_speak.errors import OutputError, SpeakError

RATE = 24000
PCM_STEP = 1 / 32768


def tone(seconds: float = 0.5, frequency: float = 440.0, rate: int = RATE) -> Audio:
    time = np.arange(round(seconds * rate)) / rate
    return Audio((0.5 * np.sin(2 * np.pi * frequency * time)).astype(np.float32), rate)


def test_is_its_samples():
    audio = Audio(np.linspace(-1, 1, 48, dtype=np.float64), RATE)
    assert audio.samples.dtype == np.float32
    assert len(audio) == 48
    assert audio.seconds == pytest.approx(0.002)
    assert np.array_equal(np.asarray(audio), audio.samples)
    assert np.array(audio, np.float64).dtype == np.float64
    assert repr(audio) == "Audio(0.00 s, 24000 Hz)"


def test_cannot_be_changed():
    source = np.zeros(8, np.float32)
    audio = Audio(source, RATE)
    with pytest.raises(ValueError, match="read-only"):
        audio.samples[0] = 1
    with pytest.raises(AttributeError):
        audio.sample_rate = 8000  # type: ignore[misc]
    copy = np.array(audio, copy=True)
    copy[0] = 1
    assert source.flags.writeable


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((2, 4), np.float32), "shape (2, 4)"),
        (np.float32(0), "shape ()"),
        (np.zeros(4, np.int16), "int16"),
        (np.zeros(4, np.complex64), "complex64"),
        ([0.0, float("nan"), float("inf")], "2 of 3 samples are NaN or infinite"),
        (["a"], "<U1"),
        ([[0.0], [0.0, 1.0]], "one-dimensional"),
        (None, "shape ()"),
    ],
)
def test_refuses_what_is_no_sound(samples, message):
    with pytest.raises(AudioError, match=re.escape(message)):
        Audio(samples, RATE)


def test_accepts_large_finite_samples():
    # Their float32 sum overflows, which must not be taken for an infinite sample.
    assert len(Audio(np.full(8, 3e38, np.float32), RATE)) == 8


@pytest.mark.parametrize("rate", [0, -1, 24000.5, True])
def test_refuses_a_bad_rate(rate):
    with pytest.raises(AudioError, match="sample rate"):
        Audio(np.zeros(4, np.float32), rate)


def test_empty_sound_is_sound(tmp_path):
    empty = Audio(np.zeros(0, np.float32), RATE)
    assert empty.seconds == 0
    assert len(empty.fade()) == len(empty.trim_silence()) == len(empty.resample(8000)) == 0
    assert len(Audio.load(empty.save(tmp_path / "empty.wav"))) == 0


def test_wav_round_trip(tmp_path):
    audio = tone()
    path = audio.save(tmp_path / "tone.wav")
    with wave.open(str(path)) as file:
        assert file.getparams()[:4] == (1, 2, RATE, len(audio))
    loaded = Audio.load(path)
    assert loaded.sample_rate == RATE
    # Rounding to 16 bits is off by half a step at most.
    np.testing.assert_allclose(loaded.samples, audio.samples, rtol=0, atol=PCM_STEP / 2)
    again = Audio.load(loaded.save(tmp_path / "again.wav"))
    assert np.array_equal(again.samples, loaded.samples)


def test_save_clips(tmp_path):
    loud = Audio(np.array([2.0, -2.0, 1.0, -1.0], np.float32), RATE)
    loaded = Audio.load(loud.save(tmp_path / "loud.wav"))
    assert loaded.samples.tolist() == [1 - PCM_STEP, -1.0, 1 - PCM_STEP, -1.0]


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2])
def test_loads_every_pcm_width(tmp_path, width, channels):
    levels = [0.0, 0.5, -0.5, -1.0]
    path = tmp_path / "pcm.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(16000)
        for level in levels:
            value = round(level * 2 ** (8 * width - 1)) + (128 if width == 1 else 0)
            file.writeframes(value.to_bytes(width, "little", signed=width > 1) * channels)
    loaded = Audio.load(path)
    assert loaded.sample_rate == 16000
    assert loaded.samples.tolist() == levels


def test_load_averages_channels(tmp_path):
    path = tmp_path / "stereo.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(struct.pack("<4h", 16384, 0, -16384, 16384))
    assert Audio.load(path).samples.tolist() == [0.25, 0.0]


@pytest.mark.parametrize("suffix", [".flac", ".ogg"])
def test_other_formats_by_soundfile(tmp_path, suffix):
    package("soundfile")
    audio = tone()
    loaded = Audio.load(audio.save(tmp_path / f"tone{suffix}"))
    assert loaded.sample_rate == RATE
    # Vorbis is lossy: 2 % of full scale is far below a wrong channel, gain or offset.
    np.testing.assert_allclose(loaded.samples, audio.samples, atol=0.02)


@pytest.mark.parametrize("format", ["WAV", "WAVEX"])
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_loads_floating_point_wav_by_itself(tmp_path, monkeypatch, format, subtype):
    soundfile = package("soundfile")
    audio, path = tone(), tmp_path / "float.wav"
    soundfile.write(path, np.stack([audio.samples] * 2, 1), RATE, subtype=subtype, format=format)
    monkeypatch.setattr(soundfile, "read", None)
    loaded = Audio.load(path)
    assert loaded.sample_rate == RATE
    assert np.array_equal(loaded.samples, audio.samples)
    path.write_bytes(path.read_bytes()[:-6])  # cut within a sample
    assert len(Audio.load(path)) == len(audio) - 1


def test_names_the_missing_package(tmp_path, monkeypatch):
    real = builtins.__import__

    def without_soundfile(name, *rest):
        if name == "soundfile":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_soundfile)
    with pytest.raises(OutputError, match="pip install soundfile"):
        tone().save(tmp_path / "tone.flac")


def test_names_the_file_it_cannot_write(tmp_path):
    with pytest.raises(OutputError, match="No such file"):
        tone().save(tmp_path / "missing" / "tone.wav")
    with pytest.raises(OutputError, match=r"tone\.nothing"):
        tone().save(tmp_path / "tone.nothing")


def test_names_the_file_it_cannot_read(tmp_path):
    with pytest.raises(AudioError, match="no sound file"):
        Audio.load(tmp_path / "missing.wav")
    (tmp_path / "noise.wav").write_bytes(b"RIFF, but not much more")
    with pytest.raises(AudioError, match=r"noise\.wav"):
        Audio.load(tmp_path / "noise.wav")


def test_join():
    first, second = tone(0.1), tone(0.2)
    joined = Audio.join(part for part in (first, second))
    assert np.array_equal(joined.samples, np.concatenate([first.samples, second.samples]))
    with pytest.raises(AudioError, match=r"\[16000, 24000\]"):
        Audio.join([first, tone(rate=16000)])
    with pytest.raises(AudioError, match="nothing to join"):
        Audio.join([])


def test_fade_starts_and_ends_in_silence():
    audio = Audio(np.ones(RATE, np.float32), RATE)
    faded = audio.fade(0.01, 0.02).samples
    assert faded[0] < 1e-3
    assert faded[-1] < 1e-3
    assert (np.diff(faded[:240]) > 0).all()
    assert (np.diff(faded[-480:]) < 0).all()
    assert (faded[240:-480] == 1).all()
    # No step is steeper than a raised cosine of 10 ms, π / 2 / 240.
    assert np.abs(np.diff(faded)).max() <= np.pi / 2 / 240


@pytest.mark.parametrize("frames", [1, 2, 3, 100, 479, 480, 481])
def test_fade_of_a_short_sound(frames):
    faded = Audio(np.ones(frames, np.float32), RATE).fade(0.01, 0.01)
    assert len(faded) == frames
    assert np.abs(faded.samples).max() <= 1
    with pytest.raises(AudioError, match="cannot last"):
        faded.fade(-0.01)


def test_trim_silence_keeps_the_set_length():
    quiet = np.full(RATE, 0.005, np.float32)
    audio = Audio(np.concatenate([quiet, tone(0.5).samples + 0.5, quiet]), RATE)
    trimmed = audio.trim_silence(0.01, lead=0.02, trail=0.1)
    assert trimmed.seconds == pytest.approx(0.62, abs=0.001)
    assert np.array_equal(trimmed.samples, audio.samples[RATE - 480 : RATE - 480 + len(trimmed)])
    assert len(Audio(quiet, RATE).trim_silence(lead=0.02, trail=0.1)) == round(0.12 * RATE)
    assert len(tone(0.1, rate=8000).trim_silence(lead=9, trail=9)) == 800


def test_notebook_widget_plays_the_sound():
    audio = tone(0.1)
    found = re.fullmatch(
        r'<audio controls src="data:audio/wav;base64,([^"]+)"></audio>', audio._repr_html_()
    )
    assert found
    data = base64.b64decode(found[1])
    assert data[:4] == b"RIFF"
    assert len(data) == 44 + 2 * len(audio)


def test_errors_are_speak_errors():
    assert issubclass(AudioError, SpeakError)
    assert issubclass(AudioError, ValueError)


def test_imports_neither_mlx_nor_the_sound_card():
    code = (
        "import sys, mlx_speak.audio;"
        "print([m for m in ('mlx.core', 'sounddevice', 'soundfile', 'scipy') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
