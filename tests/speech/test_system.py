"""The system's own voices: espeak-ng as it is here, and `say` as a script that records its use."""

from __future__ import annotations

import gc
import json
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from support import needs

from mlx_speak.errors import MissingExtraError, UnknownLanguageError
from mlx_speak.speech import SpeechError, espeak_library
from mlx_speak.speech.system import EspeakVoice, SayVoice, load

# What macOS 15 prints, in part.
LISTED = """\
Alice               it_IT    # Ciao! Mi chiamo Alice.
Bad News            en_US    # Hello! My name is Bad News.
Daniel              en_GB    # Hello! My name is Daniel.
Eddy (German (Germany)) de_DE    # Hallo! Ich heiße Eddy.
Kyoko               ja_JP    # こんにちは! 私の名前はKyokoです。
Majed               ar_001   # مرحبًا! اسمي ماجد.
Samantha            en_US    # Hello! My name is Samantha.
Tingting            zh_CN    # 你好！我叫婷婷。
"""

SAY = f"""#!{sys.executable}
import json, struct, sys
if sys.argv[1:] == ["-v", "?"]:
    sys.stdout.write({LISTED!r})
    sys.exit()
text = sys.stdin.read()
open(__file__ + ".json", "w").write(json.dumps([sys.argv[1:], text]))
if "fail" in text:
    sys.exit("the voice fell silent")
assert "--data-format=LEF32@24000" in sys.argv
sound = bytes(4 * 2400) + struct.pack("<f", 0.5) * 24000 + bytes(4 * 2400)
layout = struct.pack("<HHIIHH", 3, 1, 24000, 96000, 4, 32)
with open(sys.argv[sys.argv.index("-o") + 1], "wb") as file:
    file.write(b"RIFF" + struct.pack("<I", 36 + len(sound)) + b"WAVE")
    file.write(b"fmt " + struct.pack("<I", 16) + layout)
    file.write(b"data" + struct.pack("<I", len(sound)) + sound)
"""


@pytest.fixture
def say(tmp_path: Path) -> SayVoice:
    command = tmp_path / "say"
    command.write_text(SAY)
    command.chmod(0o755)
    return SayVoice(str(command))


def told(say: SayVoice) -> tuple[list[str], str]:
    return json.loads(Path(say._command + ".json").read_text())


@pytest.fixture(scope="module")
def espeak_voice() -> EspeakVoice:
    needs(espeak_library.installed(), "espeak-ng, of the extra pt")
    return EspeakVoice()


def test_say_lists_its_voices(say: SayVoice) -> None:
    named = {speaker.name: speaker.language for speaker in say.speakers}
    assert len(named) == 8
    assert named["Eddy (German (Germany))"].tag == "de-DE"
    assert named["Majed"].flores == "arb_Arab"
    assert named["Tingting"].flores == "zho_Hans"


@pytest.mark.parametrize(
    ("language", "speaker", "spoken"),
    [
        ("en", None, "Samantha"),
        ("en-GB", None, "Daniel"),
        ("ja", None, "Kyoko"),
        ("de-AT", None, "Eddy (German (Germany))"),
        (None, "Bad News", "Bad News"),
    ],
)
def test_say_chooses_by_language(say: SayVoice, language, speaker, spoken: str) -> None:
    audio = say.generate("Hello.", language, speaker)
    arguments, text = told(say)
    assert arguments[:2] == ["-v", spoken]
    assert "-r" not in arguments
    assert text == "Hello."
    assert audio.sample_rate == 24000
    assert audio.seconds == pytest.approx(1 + 0.02 + 0.1, abs=0.01)  # its silence is trimmed


def test_say_is_told_the_rate(say: SayVoice) -> None:
    say.generate("Hello.", "en", speed=2)
    arguments, _ = told(say)
    assert arguments[arguments.index("-r") + 1] == "350"


@pytest.mark.parametrize(
    "text",
    ["-o /etc/passwd", "[[rate 900]] quick", "$(id); `id`", 'a "quoted" \x1b[31m\x00 text'],
)
def test_text_cannot_command_say(say: SayVoice, text: str) -> None:
    say.generate(text, "en")
    arguments, heard = told(say)
    assert text not in arguments
    assert "[[" not in heard
    assert heard.isprintable()


def test_say_tells_why_it_failed(say: SayVoice) -> None:
    with pytest.raises(SpeechError, match="the voice fell silent"):
        say.generate("fail", "en")
    with pytest.raises(SpeechError, match="could not be run"):
        SayVoice("/no/such/say").generate("Hello.", "en")


def test_what_is_not_there_is_named(say: SayVoice) -> None:
    with pytest.raises(UnknownLanguageError, match="Thai"):
        say.check("th")
    with pytest.raises(SpeechError, match="did you mean Samantha"):
        say.check("en", "Samanta")
    with pytest.raises(SpeechError, match="speed"):
        say.generate("Hello.", "en", speed=0)


def test_espeak_speaks_many_languages(espeak_voice: EspeakVoice) -> None:
    spoken = {language.code for language in espeak_voice.languages}
    assert {"de", "zh", "ar", "ru", "sw", "tr", "ko"} <= spoken
    assert len(spoken) > 80
    for language, text in [("de", "Die Prüfungen sind bestanden."), ("ru", "Тесты прошли.")]:
        audio = espeak_voice.generate(text, language)
        assert 0.5 < audio.seconds < 3
        assert np.sqrt(np.mean(np.square(audio.samples))) > 0.02
        assert np.abs(audio.samples).max() <= 1


@pytest.mark.parametrize(
    ("language", "speaker"),
    [("en", "gmw/en"), ("en-US", "gmw/en-US"), ("pt-BR", "roa/pt-BR"), ("zh", "sit/cmn")],
)
def test_espeak_chooses_the_plain_voice(espeak_voice, language: str, speaker: str) -> None:
    assert espeak_voice._choose(language, None).name == speaker


def test_espeak_speaks_faster(espeak_voice: EspeakVoice) -> None:
    normal, fast = (espeak_voice.generate("One, two, three, four.", "en", speed=s) for s in (1, 2))
    assert fast.seconds < 0.75 * normal.seconds


@pytest.mark.parametrize("text", ["", "  ", "…!?", "\x00\x1b"])
def test_nothing_comes_of_nothing(espeak_voice: EspeakVoice, text: str) -> None:
    assert list(espeak_voice.stream_generate(text, "en")) == []


@pytest.mark.parametrize("command", ["\x01450S", "\x01 450S ", "<prosody rate='500%'>"])
def test_text_cannot_command_espeak(espeak_voice: EspeakVoice, command: str) -> None:
    """Its embedded commands begin with control-A. Obeyed, each would make the speech shorter."""
    text = "One, two, three, four, five, six."
    plain, told = (espeak_voice.generate(x, "en") for x in (text, command + text))
    assert told.seconds > plain.seconds - 0.02


def test_reading_phonemes_does_not_change_the_voice(espeak_voice: EspeakVoice) -> None:
    from mlx_speak.speech.phonemes import phonemize

    before = espeak_voice.generate("Guten Tag.", "de")
    phonemize("Bom dia.", "pt")
    after = espeak_voice.generate("Guten Tag.", "de")
    # espeak's noise is not seeded: a few samples more or less pass its silence.
    assert after.seconds == pytest.approx(before.seconds, abs=0.02)


def test_without_espeak_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(espeak_library, "SYSTEM_LIBRARIES", ())
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    monkeypatch.setattr(sys, "platform", "linux")
    espeak_library.espeak.cache_clear()
    try:
        with pytest.raises(MissingExtraError, match="espeak"):
            load()
    finally:
        espeak_library.espeak.cache_clear()


def test_each_system_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert isinstance(load(), SayVoice)


def test_espeak_keeps_nothing_of_what_it_spoke(espeak_voice: EspeakVoice) -> None:
    """A voice that speaks all day: of two hundred lengths of sound nothing stays in Python."""
    texts = ["word " * (1 + n % 20) + "a" * (1 + n // 20) for n in range(200)]
    for text in texts[:5]:
        espeak_voice.generate(text, "pt")
    gc.collect()
    tracemalloc.start()
    try:
        for text in texts:
            espeak_voice.generate(text, "pt")
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 50_000  # a kilobyte a sentence would be four times as much
