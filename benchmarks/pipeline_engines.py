"""What pipeline.py compares: ours, a naive sequential one on our models, and one of others' parts.

Each engine runs in a process of its own and answers requests to hear a text that is being written:
it gets the deltas with the seconds between them, and says when what was heard.
"""

from __future__ import annotations

import queue
import resource
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from texts import Delta
from workers import cores

AUDIBLE = 0.01
_SPEAKERS = {"pt": ("pf_dora", "pt-BR"), "en": ("af_heart", "en-US")}
_AFTERWARDS = 0.15  # seconds of the sentence that are heard where only its beginning is asked for


@dataclass
class Heard:
    """What became of the sentences of one text. All times in seconds."""

    sources: list[str] = field(default_factory=list)
    first_sound: list[float | None] = field(default_factory=list)
    """From each sentence's last character to its first audible sample."""
    found: list[float] = field(default_factory=list)
    """From each sentence's last character until it was known to be one."""
    gaps: list[float] = field(default_factory=list)
    """Silence before each sentence but the first, beyond what the sound itself has."""
    audio: float = 0.0
    work: float = 0.0
    """What models were busy for the sentences, early work aside."""
    underruns: int = 0
    draft_kept: list[float] = field(default_factory=list)
    prepared: int = 0
    resident: int = 0
    """Bytes of memory, afterwards."""


def typed(deltas: list[Delta]) -> Iterator[Any]:
    """The events of one message, at their times."""
    from mlx_speak.text import TextEvent

    due = time.monotonic()
    for wait, text in deltas:
        due += wait
        time.sleep(max(0.0, due - time.monotonic()))
        yield TextEvent(text, "text", "m")
    yield TextEvent("", "end", "m")


def ours(
    level: str, translator: str, voice: str, pair: tuple[str, str], output: str
) -> tuple[Callable[..., Any], str]:
    """Our pipeline, with early work or without."""
    import mlx_speak as ms
    from mlx_speak import blas

    pipe = ms.Pipeline(
        _translator(translator),
        _voice(voice),
        *pair,
        output=output,
        early=level,
        catch_up=ms.CatchUp.off(),
    )
    pipe.warm_up()

    def answer(deltas: list[Delta], whole: bool) -> dict[str, Any]:
        heard, underruns = Heard(), pipe.output.stats.underruns
        ended = threading.Event()
        if not whole:
            threading.Thread(target=_stop_when_heard, args=(pipe, ended), daemon=True).start()
        last_end = None
        for utterance in pipe.run(typed(deltas)):
            times = utterance.times
            heard.sources.append(utterance.source)
            heard.first_sound.append(times.latency)
            heard.found.append(times.found - times.seen)
            if last_end is not None and times.heard is not None:
                heard.gaps.append(max(times.heard - max(last_end, times.seen), 0.0))
            last_end = times.finished
            heard.audio += utterance.audio_seconds
            heard.work += utterance.translate_seconds + utterance.speak_seconds
            if utterance.draft_kept is not None:
                heard.draft_kept.append(utterance.draft_kept)
            heard.prepared += utterance.prepared
        ended.set()
        pipe.scheduler.call(lambda: None)  # until the step that was under way is over
        heard.underruns = pipe.output.stats.underruns - underruns
        heard.resident = _resident()
        return asdict(heard)

    return answer, f"early={level}, {blas.describe()}"


def _stop_when_heard(pipe: Any, ended: threading.Event) -> None:
    while not ended.wait(0.005):
        current = pipe.current
        if current is not None and (at := pipe._player.heard(current.track)) is not None:
            ended.wait(max(0.0, at - time.monotonic()) + _AFTERWARDS)
            pipe.cut()
            return


def sequential(
    translator: str, voice: str, pair: tuple[str, str], output: str
) -> tuple[Callable[..., Any], str]:
    """What one would write first: a sentence, its translation, all its sound, and then the next."""
    from mlx_speak import blas

    model, speaker = _translator(translator), _voice(voice)
    source, target = pair

    def speak(text: str) -> np.ndarray:
        if model is not None:
            text = model.translate(text, source, target).text
        return speaker.generate(text, language=target).samples

    speak("One, two.")
    return _one_after_the_other(speak, pair, speaker.sample_rate, output), blas.describe()


def others(pair: tuple[str, str], output: str) -> tuple[Callable[..., Any], str]:
    """The same models in others' engines: Bergamot's own, and Kokoro in torch, in sequence."""
    import bitext
    import speech

    from mlx_speak.audio import Audio
    from mlx_speak.languages import Language
    from mlx_speak.speech.phonemes import phonemize

    translator = bitext.native(*pair)
    speech.SPEAKER, region = _SPEAKERS[pair[1]]
    engine = speech.kokoro_torch(cores())
    target = Language.parse(region)

    def speak(text: str) -> np.ndarray:
        phonemes = phonemize(translator.translate(text), target)[:500]
        audio = Audio(np.clip(engine.speak(phonemes), -1, 1), 24_000)
        return audio.trim_silence(lead=0.02, trail=0.1).samples

    speak("One, two.")
    return _one_after_the_other(speak, pair, 24_000, output), engine.about


def _one_after_the_other(
    speak: Callable[[str], np.ndarray], pair: tuple[str, str], sample_rate: int, output: str
) -> Callable[..., Any]:
    from mlx_speak.audio import open_output
    from mlx_speak.text import SentenceReader

    card = open_output(output, sample_rate)

    def answer(deltas: list[Delta], whole: bool) -> dict[str, Any]:
        heard, arrived = Heard(), queue.Queue[Any]()
        threading.Thread(
            target=lambda: [arrived.put((time.monotonic(), event)) for event in typed(deltas)]
        ).start()
        clock = [0.0]  # when an event arrived, not when there was time for it
        reader = SentenceReader(pair[0], clock=lambda: clock[0])
        last_end = None
        while True:
            clock[0], event = arrived.get()
            found = time.monotonic()
            for sentence in reader.feed(event):
                begun = time.monotonic()
                samples = speak(sentence.text)
                heard.work += time.monotonic() - begun
                if last_end is not None:
                    card.wait(last_end)
                start, end = card.write(samples)
                first = start + int(np.argmax(np.abs(samples) > AUDIBLE))
                card.wait(first + 1, 2.0)
                at = card.heard_at(first)
                heard.sources.append(sentence.text)
                heard.first_sound.append(None if at is None else at - sentence.seen)
                heard.found.append(found - sentence.seen)
                if last_end is not None and at is not None and (was := card.heard_at(last_end - 1)):
                    heard.gaps.append(max(at - max(was, sentence.seen), 0.0))
                heard.audio += len(samples) / sample_rate
                last_end = end
                if not whole:
                    break
            if event.kind == "end" or (not whole and heard.sources):
                break
        if whole and last_end is not None:
            card.wait(last_end)
        card.clear()
        while event.kind != "end":
            _, event = arrived.get()
        heard.resident = _resident()
        return asdict(heard)

    return answer


def _translator(name: str) -> Any:
    import mlx_speak as ms

    if name == "none":
        return None
    if name.startswith("bergamot"):
        from mlx_speak.convert import packages

        name = str(packages.build(only=[name])[name])
    return ms.load_translator(name)


def _voice(name: str) -> Any:
    import mlx_speak as ms

    if name == "kokoro":
        from mlx_speak.convert import packages

        name = str(packages.build(only=["kokoro"])["kokoro"])
    return ms.load_voice(name)


def _resident() -> int:
    """Bytes of memory that this process holds now; where that is not told, held at most."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
