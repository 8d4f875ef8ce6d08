"""Thousands of sentences, a fault in every round: nothing lost, nothing twice, nothing left over.

    python tests/soak.py [--sentences 2000] [--models] [--voice say] [--pace 8] [--seed 0]

Each round is a stream of twenty sentences, written by a process of its own, that are translated,
spoken, and heard by a card and a WAV file. What was heard is compared with what was made, sample by
sample. Memory, threads and open files are compared with those after the first rounds.

Without `--models` a translator and a voice of a few lines stand for those that take long; the card
plays `--pace` times as fast as a real one.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from audio.card import Card
from fakes import FakeTranslator, FakeVoice

import mlx_speak as ms
from mlx_speak.audio import Audio, speakers
from mlx_speak.audio.files import WavOutput
from mlx_speak.audio.tee import Tee
from mlx_speak.errors import OutputError
from mlx_speak.text import read_aloud

ROUND = 20
OPENINGS = [
    "The build of part {} has ended without an error",
    "I read file number {} and found nothing to change there",
    "There are {} more cases to look at, which may take a while",
    "Test {} fails, because the list that it sorts is empty",
]
WRITER = """
import json, sys, time
for line in sys.stdin:
    seconds, text = json.loads(line)
    time.sleep(seconds)
    delta = {"type": "content_block_delta", "index": 0,
             "delta": {"type": "text_delta", "text": text}}
    print(json.dumps({"type": "stream_event", "event": delta}), flush=True)
print(json.dumps({"type": "stream_event", "event": {"type": "message_stop"}}), flush=True)
"""


class FastCard(Card):
    """Plays some times as fast as a clock would have it, and keeps what was heard."""

    def __init__(self, rate: int, pace: float):
        super().__init__()
        self.rate, self.rates, self.channels = rate, {rate}, 1
        self._block, self._seconds = rate // 50, 0.02 / pace
        self.heard: list[np.ndarray] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="card", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(self._seconds):
            if self.present and self.streams and self.streams[-1].started:
                block = self.streams[-1].ask(self._block)[:, 0]
                if block.any():
                    self.heard.append(block)

    def lose_for(self, seconds: float) -> None:
        self.lose()
        threading.Timer(seconds, lambda: setattr(self, "present", True)).start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()


class Disk(WavOutput):
    """A file whose disk has room again after a write has failed."""

    def write(self, samples: Any, *, more: bool = False) -> tuple[int, int]:
        try:
            return super().write(samples, more=more)
        except OutputError:
            limit_files(resource.RLIM_INFINITY)
            raise


class Faulty:
    """A translator or a voice; `fault` is asked before every step, and may raise or do harm.

    The sound of each sentence gets noise of its own, for equal words may sound the same.
    """

    def __init__(self, model: Any):
        self._model = model
        self.fault: Callable[[str, int, Any], Any] = lambda text, step, made: made
        self.made: list[tuple[str, np.ndarray]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def stream_translate(self, text: str, *languages: Any, **options: Any) -> Iterator[Any]:
        steps = self._model.stream_translate(text, *languages, **options)
        for step, prefix in enumerate(steps):
            yield self.fault(text, step, prefix)

    def steps(self, text: str, **options: Any) -> Iterator[Audio | None]:
        count, noise = 0, np.random.default_rng(list(text.encode()))
        for audio in self._model.steps(text, **options):
            if audio is not None:
                mark = noise.uniform(-1e-3, 1e-3, len(audio.samples)).astype(np.float32)
                audio = Audio(0.99 * audio.samples + mark, audio.sample_rate)
                audio = self.fault(text, count, audio)
                self.made.append((text, audio.samples))
                count += 1
            yield audio


class Soak:
    """The pipeline under test, and what it is made of.

    Args:
        models: load real ones.
        voice: which, of the real ones.
        pace: of the card.
        folder: for the WAV file.
    """

    def __init__(self, models: bool, voice: str, pace: float, folder: Path):
        self.translator = Faulty(
            ms.load_translator("bergamot-en-pt") if models else FakeTranslator()
        )
        self.voice = Faulty(ms.load_voice(voice) if models else FakeVoice(seconds=0.01))
        rate = self.voice.sample_rate
        self.card = FastCard(rate, pace)
        speakers._portaudio = lambda: self.card
        self.wav = Disk(folder / "soak.wav", rate)
        self.pipe = ms.Pipeline(
            self.translator,
            self.voice,
            "en",
            "pt",
            output=Tee([speakers.Speakers(rate), self.wav]),
            catch_up=ms.CatchUp.off(),
        )

    def round(self, number: int, fault: str, chance: random.Random) -> list[str]:
        """One stream with one fault in it; gives what went wrong that should not have."""
        sentences = [
            OPENINGS[i % len(OPENINGS)].format(ROUND * number + i) + "." for i in range(ROUND)
        ]
        victim = chance.randrange(3, ROUND - 5)
        self.card.heard.clear()
        self.voice.made.clear()
        process, feeder = self._writer(sentences, victim if fault == "stalled producer" else -1)
        slow = 0.03 if fault == "slow reader" else 0.0
        undo = self._arm(fault, sentences[victim], process)
        said: list[ms.Utterance] = []
        try:
            for utterance in self.pipe.run(ms.read_stream(process.stdout)):
                said.append(utterance)
                time.sleep(slow)
        finally:
            undo()
            process.kill()
            process.wait()
            feeder.join()
            process.stdout.close()
        return [*self._miscounted(said, sentences, fault, victim), *self._misheard(said)]

    def _writer(self, sentences: list[str], stalls: int) -> tuple[Any, threading.Thread]:
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

        def feed() -> None:
            with process.stdin as stdin:
                try:
                    for i, sentence in enumerate(sentences):
                        for part, word in enumerate(sentence.split(" ")):
                            wait = 0.5 if i == stalls and part == 3 else 0.0
                            stdin.write(json.dumps([wait, word + " "]).encode() + b"\n")
                except BrokenPipeError:
                    pass

        thread = threading.Thread(target=feed, name="feeder", daemon=True)
        thread.start()
        return process, thread

    def _arm(self, fault: str, victim: str, process: Any) -> Callable[[], None]:
        """Prepare the fault that comes with the victim; gives what ends it."""
        translated: list[str] = []
        happened = threading.Event()

        def in_translation(text: str, step: int, prefix: Any) -> Any:
            if text == victim:
                if fault == "translator fails" and step == 1:
                    raise RuntimeError("the translator fails")
                translated[:] = [prefix.text]
            return prefix

        def in_speech(text: str, step: int, audio: Audio) -> Audio:
            if not translated or text != translated[0] or happened.is_set():
                return audio
            if fault == "voice fails":
                raise RuntimeError("the voice fails")
            if fault == "no numbers":
                return Audio(audio.samples * np.nan, audio.sample_rate)
            happened.set()
            if fault == "card lost":
                self.card.lose_for(0.4)
            elif fault == "producer killed":
                process.kill()
            elif fault == "full disk":
                limit_files(os.path.getsize(self.wav.path))
            elif fault == "clock jumps":
                real = time.time
                time.time = lambda: real() + 7200.0
                _suspend(0.5)
            return audio

        wall = time.time

        def undo() -> None:
            time.time = wall
            limit_files(resource.RLIM_INFINITY)
            self.translator.fault = self.voice.fault = lambda text, step, made: made

        self.translator.fault, self.voice.fault = in_translation, in_speech
        return undo

    def _miscounted(
        self, said: list[ms.Utterance], sentences: list[str], fault: str, victim: int
    ) -> list[str]:
        """What is wrong with the sentences that were reported."""
        sources = [u.source for u in said]
        failed = [i for i, u in enumerate(said) if u.state == "failed"]
        expected, failures = sentences, [[]]
        if fault == "producer killed":  # in the middle of a sentence, perhaps
            expected = sentences[: len(said)]
            if sources and expected[-1].startswith(sources[-1].rstrip(".")):
                sources[-1] = expected[-1]
        if fault in ("translator fails", "voice fails", "no numbers"):
            failures = [[victim]]
        if fault == "full disk":  # one that was handed on after the victim was made
            failures = [[i] for i in range(victim + 1)]
        wrong = []
        if sources != expected:
            wrong.append(f"sentences {sources} instead of {expected}")
        if failed not in failures:
            errors = [repr(said[i].error) for i in failed]
            wrong.append(f"failed {failed}, {errors}; it should have been {failures}")
        if any(u.state not in ("failed", "heard") for u in said):
            wrong.append(f"states {[u.state for u in said]}")
        return wrong

    def _misheard(self, said: list[ms.Utterance]) -> list[str]:
        """What is wrong with the sound: pieces of each chunk, which must come once, in order.

        One of four may be missing: a lost card takes with it what it had, and where sound breaks
        off, it fades.
        """
        heard = np.concatenate([*self.card.heard, np.zeros(1, np.float32)]).tobytes()
        wrong, place, made = [], 0, deque(self.voice.made)
        for utterance in said:
            spoken, chunks = read_aloud(utterance.text, "pt"), []
            while made and made[0][0] in spoken:  # all of it, or one of its clauses
                chunks.append(made.popleft()[1])
            if utterance.state == "heard" and not chunks:
                wrong.append(f"not made: {utterance.source}")
            for samples in chunks:
                missing = 0
                for begin in range(len(samples) // 5, len(samples) - 100, len(samples) // 5 + 1):
                    piece = samples[begin : begin + 100].tobytes()
                    found = heard.find(piece, place)
                    missing += found < 0
                    if found >= 0:
                        place = found
                    if heard.find(piece, place + 1) >= 0 or heard.find(piece, 0, place) >= 0:
                        wrong.append(f"heard twice: {utterance.source}")
                if missing > 1:
                    wrong.append(f"not heard, or not in order: {utterance.source}")
        return wrong

    def close(self) -> None:
        self.pipe.close()
        self.pipe.output.close()
        self.card.end()


def limit_files(size: int) -> None:
    """No file grows beyond `size` bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def _suspend(seconds: float) -> None:
    """As a laptop does whose lid is closed: this process does nothing for a while."""
    wake = f"import os, time; time.sleep({seconds}); os.kill({os.getpid()}, {signal.SIGCONT})"
    with subprocess.Popen([sys.executable, "-c", wake]):
        os.kill(os.getpid(), signal.SIGSTOP)


FAULTS = [
    "none",
    "translator fails",
    "card lost",
    "no numbers",
    "slow reader",
    "voice fails",
    "producer killed",
    "full disk",
    "stalled producer",
    "clock jumps",
]


def resident() -> int:
    """Bytes of this process in memory."""
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize()
    said = subprocess.run(["ps", "-o", "rss=", "-p", str(os.getpid())], capture_output=True)
    return int(said.stdout) * 1024


def left_over() -> dict[str, int]:
    """Threads and open files."""
    return {"threads": threading.active_count(), "files": len(os.listdir("/dev/fd"))}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sentences", type=int, default=2000)
    parser.add_argument("--models", action="store_true", help="Bergamot and a real voice")
    parser.add_argument("--voice", default="say", help="of --models: say or kokoro")
    parser.add_argument("--pace", type=float, default=8.0, help="how fast the card plays")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rounds = max(options.sentences // ROUND, 1)
    chance = random.Random(options.seed)
    wrong: list[str] = []
    memory: list[int] = []
    before = left_over()
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(options.models, options.voice, options.pace, Path(folder))
        ready: dict[str, int] = {}
        for number in range(rounds):
            fault = FAULTS[number % len(FAULTS)]
            if number == 1:
                ready = left_over()  # MLX's thread, too
            for complaint in soak.round(number, fault, chance):
                wrong.append(f"round {number}, {fault}: {complaint}")
                print(wrong[-1], file=sys.stderr)
            gc.collect()
            memory.append(resident())
            if (number + 1) % 10 == 0 or number + 1 == rounds:
                print(f"{number + 1} rounds, {memory[-1] / 1e6:.0f} MB: {soak.pipe.stats()}")
        deadline = time.monotonic() + 3
        while left_over() != ready and time.monotonic() < deadline:
            time.sleep(0.05)
        if ready and left_over() != ready:
            wrong.append(f"left over: {left_over()}, at the beginning {ready}")
        soak.close()
    warm, end = max(memory[: max(rounds // 2, 1)]), memory[-1]
    growth = end / warm - 1
    if growth > 0.05:
        wrong.append(f"memory grew by {growth:.0%}")
    print(
        f"{rounds * ROUND} sentences in {rounds} rounds: memory {warm / 1e6:.0f} → "
        f"{end / 1e6:.0f} MB ({growth:+.1%}), {before} before, {ready} ready, "
        f"{left_over()} after; {len(wrong)} wrong"
    )
    for complaint in wrong[:20]:
        print(complaint)
    return bool(wrong)


if __name__ == "__main__":
    raise SystemExit(main())
