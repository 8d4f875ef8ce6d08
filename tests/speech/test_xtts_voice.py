"""XTTS as a voice: streaming, speakers, cloning and its cache, what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx_speak.convert.folder import save_tensors
from xtts_models import recording

from mlx_speak import load_voice
from mlx_speak.audio import Audio
from mlx_speak.errors import ModelFormatError, UnknownLanguageError
from mlx_speak.speech import SpeechError
from mlx_speak.speech.xtts import XTTSVoice
from mlx_speak.speech.xtts.speakers import tensors
from mlx_speak.text import read_aloud

TEXT = "Hello there, this costs $3.50. It works, and that is all."


@pytest.fixture
def voice(xtts_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> XTTSVoice:
    monkeypatch.setenv("MLX_SPEAK_HOME", str(tmp_path / "home"))
    loaded = load_voice(xtts_folder)
    assert isinstance(loaded, XTTSVoice)
    return loaded


def test_streaming_brings_what_generating_does(voice: XTTSVoice) -> None:
    chunks = list(voice.steps(read_aloud(TEXT, "en"), "en"))
    sounds = [np.array(chunk) for chunk in chunks if chunk is not None]
    assert len(sounds) > 1  # how many more depends on how fast the machine is
    assert chunks.index(None) == 0
    whole = voice.generate(TEXT, "en")
    assert whole.sample_rate == 24000
    # As the decoder's windows join to what one run of it yields.
    np.testing.assert_allclose(np.concatenate(sounds), whole, rtol=0, atol=1e-5)


def test_every_language_is_spoken(voice: XTTSVoice) -> None:
    assert len(voice.languages) == 17
    for language in voice.languages:
        voice.check(language)
        first = next(chunk for chunk in voice.steps("1 a", language) if chunk is not None)
        assert len(first) > 0
    with pytest.raises(UnknownLanguageError, match="does not speak Swedish"):
        voice.generate("Hej.", "sv")


def test_regions_do_not_matter(voice: XTTSVoice) -> None:
    brazil, plain = (np.array(voice.generate("Olá.", tag)) for tag in ("pt-BR", "pt"))
    assert np.array_equal(brazil, plain)


@pytest.mark.parametrize("text", ["", "   ", "…!?", "\n"])
def test_nothing_to_say(voice: XTTSVoice, text: str) -> None:
    assert not len(voice.generate(text, "en"))


def test_seeds_and_speed(voice: XTTSVoice) -> None:
    one = np.array(voice.generate("Hello.", "en"))
    assert np.array_equal(one, np.array(voice.generate("Hello.", "en")))
    voice.seed, voice.temperature = 5, 2.0
    assert not np.array_equal(one, np.array(voice.generate("Hello.", "en")))
    voice.seed, voice.temperature, voice.top_k = 0, 0.75, 1
    slow, fast = (voice.generate("Hello.", "en", speed=speed).seconds for speed in (1.0, 1.25))
    assert slow / fast == pytest.approx(1.25, rel=0.05)
    with pytest.raises(SpeechError, match="speed 9"):
        voice.generate("Hello.", "en", speed=9)


def test_speakers_by_name(voice: XTTSVoice) -> None:
    (only,) = voice.speakers
    assert only.name == "Oracle Voice"
    named = np.array(voice.generate("Hello.", "en", speaker="Oracle Voice"))
    assert np.array_equal(named, np.array(voice.generate("Hello.", "en")))
    assert np.array_equal(named, np.array(voice.generate("Hello.", "en", speaker=only)))
    with pytest.raises(SpeechError, match="did you mean Oracle Voice"):
        voice.check("en", "Oracle Vioce")


def test_the_speaker_is_read_once(voice: XTTSVoice, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    prefix = voice.model.prefix
    monkeypatch.setattr(voice.model, "prefix", lambda latents: read.append(1) or prefix(latents))
    for _ in voice.prepare("Hello.", "en"):
        pass
    voice.generate("Hello.", "en")
    voice.generate("Hello again.", "en")
    assert len(read) == 1


@pytest.mark.parametrize("rate", [8000, 22050, 44100])
def test_a_cloned_speaker(voice: XTTSVoice, tmp_path: Path, rate: int) -> None:
    path = recording(tmp_path / "me.wav", rate=rate)
    speaker = voice.clone(path)
    assert speaker.name == "me"
    assert speaker in voice.speakers
    own = np.array(voice.generate("Hello.", "en", speaker=speaker))
    assert np.array_equal(own, np.array(voice.generate("Hello.", "en", speaker="me")))
    assert not np.array_equal(own, np.array(voice.generate("Hello.", "en")))
    saved = speaker.save(tmp_path / "me.safetensors")
    assert voice.load_speaker(saved) is speaker


def test_what_was_heard_is_kept_by_its_content(
    voice: XTTSVoice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, xtts_folder: Path
) -> None:
    path = recording(tmp_path / "me.wav")
    speaker = voice.clone(path)
    again = load_voice(xtts_folder)
    monkeypatch.setattr(again.model, "condition", None)  # asking it would fail
    moved = shutil.copy(path, tmp_path / "moved.wav")
    kept = again.clone(moved)
    assert kept.name == "moved"
    assert np.array_equal(kept.gpt_cond_latent, speaker.gpt_cond_latent)
    (file,) = (tmp_path / "home" / "speakers").iterdir()
    assert file.parent.stat().st_mode & 0o077 == 0
    file.write_bytes(file.read_bytes()[:99])  # damaged: it is listened to once more
    fresh = load_voice(xtts_folder).clone(path)
    assert np.array_equal(fresh.gpt_cond_latent, speaker.gpt_cond_latent)


def test_several_recordings_of_one_person(voice: XTTSVoice, tmp_path: Path) -> None:
    one = recording(tmp_path / "one.wav", 2.0, 16000)
    two = recording(tmp_path / "two.wav", 3.0, 22050)
    both = voice.clone([one, two], name="both")
    assert both.name == "both"
    alone = voice.clone(one)
    assert not np.array_equal(both.speaker_embedding, alone.speaker_embedding)


def test_stereo_and_other_formats(voice: XTTSVoice, tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    mono = Audio.load(recording(tmp_path / "mono.wav"))
    stereo = np.stack([np.array(mono), np.array(mono)], axis=1)
    soundfile.write(tmp_path / "stereo.flac", stereo, mono.sample_rate, subtype="PCM_16")
    heard = voice.clone(tmp_path / "stereo.flac", name="stereo")
    expected = voice.clone(tmp_path / "mono.wav")
    # FLAC keeps the 16 bits of the WAV.
    assert np.abs(heard.gpt_cond_latent - expected.gpt_cond_latent).max() < 1e-4


def test_a_path_is_a_speaker_too(voice: XTTSVoice, tmp_path: Path) -> None:
    path = recording(tmp_path / "me.wav")
    assert len(voice.generate("Hello.", "en", speaker=str(path)))
    assert [speaker.name for speaker in voice.speakers] == ["Oracle Voice", "me"]


def test_names_are_unique(voice: XTTSVoice, tmp_path: Path) -> None:
    path = recording(tmp_path / "me.wav")
    assert voice.clone(path) is voice.clone(path)
    with pytest.raises(SpeechError, match="has a speaker 'Oracle Voice' already"):
        voice.clone(path, name="Oracle Voice")


def bad_recording(path: Path, kind: str) -> Path:
    if kind == "short":
        return recording(path, 0.4)
    if kind == "silent":
        return recording(path, 3.0, level=0.001)
    if kind == "clipped":
        loud = 8 * np.array(Audio.load(recording(path, 3.0)))
        return Audio(np.clip(loud, -1, 1), 16000).save(path)
    if kind == "empty":
        return Audio(np.zeros(0, np.float32), 16000).save(path)
    path.write_text("no sound")
    return path


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("short", "0.4 s of sound"),
        ("silent", "silent"),
        ("empty", "silent"),
        ("clipped", "% of it is clipped"),
        ("text", "cannot read"),
    ],
)
def test_recordings_of_no_use(voice: XTTSVoice, tmp_path: Path, kind: str, said: str) -> None:
    path = bad_recording(tmp_path / "bad.wav", kind)
    with pytest.raises(SpeechError, match=said) as caught:
        voice.clone(path)
    assert "bad.wav" in str(caught.value)
    assert len(voice.speakers) == 1


def test_a_recording_that_is_missing(voice: XTTSVoice, tmp_path: Path) -> None:
    with pytest.raises(SpeechError, match=r"none\.wav.*No such file"):
        voice.clone(tmp_path / "none.wav")
    with pytest.raises(SpeechError, match="no recording"):
        voice.clone([])


def test_saved_speakers_of_another_model(voice: XTTSVoice, tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    latent, embedding = np.zeros((1, 32, 65), np.float32), np.zeros((1, 24, 1), np.float32)
    save_tensors(path, tensors({"other": (latent, embedding)}))
    with pytest.raises(SpeechError, match="of another size"):
        voice.load_speaker(path)
    save_tensors(path, tensors({"x": (latent[..., 1:] * np.nan, embedding)}))
    with pytest.raises(SpeechError, match="finite"):
        voice.load_speaker(path)
    path.write_bytes(b"nothing")
    with pytest.raises(SpeechError, match="holds no speaker"):
        voice.load_speaker(path)


def test_without_speakers(xtts_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(xtts_folder, tmp_path / "bare")
    (folder / "speakers.safetensors").unlink()
    voice = load_voice(folder)
    assert voice.speakers == []
    with pytest.raises(SpeechError, match=r"clone one with voice\.clone"):
        voice.check("en")


def test_without_a_vocabulary(xtts_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(xtts_folder, tmp_path / "bare")
    (folder / "vocab.json").unlink()
    with pytest.raises(ModelFormatError, match=r"no vocab\.json"):
        load_voice(folder)


def test_broken_sound_is_not_played(voice: XTTSVoice) -> None:
    voice.model.decoder.conv_pre.bias = voice.model.decoder.conv_pre.bias * mx.nan
    with pytest.raises(SpeechError, match="no numbers"):
        voice.generate("Hello.", "en")


def test_warming_up(voice: XTTSVoice) -> None:
    voice.warm_up("pt", "Oracle Voice")
    with pytest.raises(UnknownLanguageError):
        voice.warm_up("sv")


def test_from_a_thread_that_did_not_load_it(voice: XTTSVoice) -> None:
    """As the pipeline's: streams belong to threads, and the weights were loaded by this one."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        elsewhere = pool.submit(voice.generate, "Hello.", "en").result()
    assert np.array_equal(np.array(elsewhere), np.array(voice.generate("Hello.", "en")))
