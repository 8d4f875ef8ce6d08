"""English voices on the same sentences: how fast they are, and how well a recogniser hears them.

    python benchmarks/voices.py [--engines …] [--sentences 24] [--slow 1] [--json results.json]

Kokoro's engines get the same phonemes and style, espeak-ng the text, once through our system voice
and once as the command. One sentence goes to one engine after the other, in turns; what each said
is written down by Whisper tiny.en, whose own error on clean speech is 2 to 6 %. A time is that of
a whole sentence to samples; of the command's, with the start of its process. mlx-audio takes
minutes for a sentence on this backend: it gets `--slow` of them, and no turn to warm up.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx_audio_peer
import numpy as np
import speech
from workers import Worker, machine, take_turns, use_own_processor, use_threads

TESTS = Path(__file__).parents[1] / "tests"
sys.path += [str(TESTS), str(TESTS / "speech")]  # `speech` itself is a module here

RATE = 24_000
OURS = speech.OURS
SYSTEM, COMMAND = "espeak-ng, our system voice", "espeak-ng, the command"
MLX_AUDIO = {"mlx-audio": False, "mlx-audio, on our BLAS": True}
"""The engines that are slow, and whether our BLAS is put under them."""

Say = Callable[[str, str], tuple[np.ndarray, float]]
"""(text, phonemes) → samples at 24 kHz, and seconds."""


def make_system(threads: int) -> tuple[Callable[..., Any], str]:
    """espeak-ng's library, as our voice `say` uses it on Linux."""
    from mlx_speak import load_voice
    from mlx_speak.audio.resample import resample

    voice = load_voice("say")

    def answer(text: str) -> tuple[np.ndarray, float]:
        start = time.perf_counter()
        audio = voice.generate(text, language="en-US")
        seconds = time.perf_counter() - start
        return resample(audio.samples, audio.sample_rate, RATE), seconds

    return answer, f"{voice.name}, {len(voice.speakers)} speakers"


def make_command(threads: int) -> tuple[Callable[..., Any], str]:
    """The program espeak-ng, started anew for each sentence."""
    import soundfile

    from mlx_speak.audio.resample import resample

    try:
        command = ["espeak-ng", "--version"]
        about = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except OSError as error:
        raise ImportError(str(error)) from error

    def answer(text: str) -> tuple[np.ndarray, float]:
        command = ["espeak-ng", "-v", "en-us", "--stdout", text]
        start = time.perf_counter()
        wav = subprocess.run(command, capture_output=True, check=True).stdout
        seconds = time.perf_counter() - start
        samples, rate = soundfile.read(io.BytesIO(wav), dtype="float32")
        return resample(samples, rate, RATE), seconds

    return answer, about.partition("  Data")[0]


ENGINES = (*speech.ENGINES, SYSTEM, COMMAND, *MLX_AUDIO)


def start(names: list[str], threads: int, scratch: Path) -> tuple[dict[str, Say], dict[str, str]]:
    """The engines that are here, by name; and of all what they are, or why they are not here."""
    says: dict[str, Say] = {}
    about: dict[str, str] = {}

    def add(name: str, worker: Any, say: Callable[[Any], Say]) -> None:
        about[name] = worker.about or f"missing: {worker.error}"
        if worker.about:
            says[name] = say(worker)

    for name in names:
        if name in speech.ENGINES:
            worker = Worker(speech.make, name, threads)
            add(name, worker, lambda ask: lambda text, phonemes: ask(phonemes))
        elif name in MLX_AUDIO:
            folder = _mlx_audio_folder(scratch)
            peer = mlx_audio_peer.start(folder, threads, MLX_AUDIO[name])
            add(name, peer, lambda ask: lambda text, phonemes: _saved(ask, phonemes, scratch))
        else:
            worker = Worker({SYSTEM: make_system, COMMAND: make_command}[name], threads)
            add(name, worker, lambda ask: lambda text, phonemes: ask(text))
    return says, about


def _mlx_audio_folder(scratch: Path) -> Path:
    from mlx_speak.convert.kokoro_onnx import read_kokoro_onnx

    folder = scratch / "mlx-audio"
    if not folder.exists():
        folder.mkdir()
        weights = read_kokoro_onnx(speech._onnx(scratch))
        mlx_audio_peer.prepare(folder, weights, speech._config())
    return folder


def _saved(ask: Callable[..., Any], phonemes: str, scratch: Path) -> tuple[np.ndarray, float]:
    path = scratch / "samples.npy"
    seconds = ask(phonemes, speech._style(len(phonemes))[0].tolist(), str(path))
    return np.load(path), seconds


def measure(names: list[str], count: int, slow: int, threads: int) -> dict[str, Any]:
    """Have every engine say the sentences, and write down what was heard."""
    from recogniser import SENTENCES, edit_distance, transcriber, words

    from mlx_speak.speech.phonemes import phonemize

    texts = SENTENCES[:count]
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        says, about = start(names, threads, scratch)
        transcribe = transcriber(scratch / "whisper")
        raw: dict[str, list[dict[str, Any]]] = {name: [] for name in says}
        for turn in range(-1, len(texts)):
            text = texts[max(turn, 0)]
            for name in take_turns(list(says), turn):
                if name in MLX_AUDIO and not 0 <= turn < slow:
                    continue
                samples, seconds = says[name](text, phonemize(text, "en"))
                if turn < 0:  # the first turn warms up
                    continue
                heard = transcribe(samples)
                wrong = edit_distance(words(text), words(heard))
                audio = len(samples) / RATE
                row = {"seconds": seconds, "audio": audio, "wrong": wrong, "heard": heard}
                raw[name].append(row | {"words": len(words(text))})
    return {"about": about, "engines": summary(raw), "raw": raw}


def summary(raw: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, float]]:
    """Of each engine its medians, and how many words were heard wrong.

    `ours` is the first engine's median on the same sentences, of which there may be only a few.
    """
    table = {}
    for name, rows in raw.items():
        ours = [row["seconds"] for row in next(iter(raw.values()))[: len(rows)]]
        table[name] = {
            "sentences": len(rows),
            "p50": statistics.median(row["seconds"] for row in rows),
            "ours": statistics.median(ours),
            "rtf": sum(row["seconds"] for row in rows) / sum(row["audio"] for row in rows),
            "wrong": sum(row["wrong"] for row in rows),
            "words": sum(row["words"] for row in rows),
        }
    return table


def report(found: dict[str, Any]) -> None:
    for name, row in found["engines"].items():
        print(
            f"{name:28}{row['p50'] * 1e3:9.0f} ms   ours / it {row['ours'] / row['p50']:6.2f}   "
            f"RTF {row['rtf']:6.2f}   {row['wrong']} of {row['words']} words wrong"
        )
    for name, about in found["about"].items():
        print(f"{name}: {about}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sentences", type=int, default=24)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--slow", type=int, default=1, help="sentences for mlx-audio")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    options = parser.parse_args()
    use_own_processor()
    use_threads(options.threads)
    here = machine() | {"threads": str(options.threads)}
    found = measure(options.engines, options.sentences, options.slow, options.threads)
    report(found)
    if options.json:
        options.json.write_text(json.dumps({"machine": here, **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
