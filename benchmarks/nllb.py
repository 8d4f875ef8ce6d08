"""NLLB-200 against transformers and CTranslate2: the same token ids, one process each, in turns.

    python benchmarks/translation.py --model nllb [--device cpu|gpu] [--shape distilled-600M]
                                     [--engines NAME,NAME …] [--weights FOLDER_OR_HUB_ID]

Every sentence goes to one engine after the other, so that whatever else the machine does meets
them alike; the order turns with every sentence. Times are of one sentence, from token ids to token
ids, greedily: the whole; to its first token behind the language's; the encoder alone; and from
there on per token, all checks included. A batch is timed too, and the memory held.

Without `--weights`, they are random (see `nllb_weights.py`): as fast as real ones, but a
translation always has as many tokens as its source, and how often it leaves the vocabulary is set.
A lower precision soon says something else then; only float32 engines must agree.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import memory_speed
import nllb_weights
from nllb_engines import DEFAULTS, ENGINES, OURS, Task, Tokens, make, prepare
from nllb_summary import BATCH, Result, Timing, report, summary
from workers import Worker, cores, take_turns, use_threads

from mlx_speak.home import home

BATCH_PATIENCE = 120
"""Seconds that so many single sentences may take for the batch to be measured too."""

LONGEST = 200
"""Tokens of a real translation, at most."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--threads", type=int, default=cores(), help="of the processor, for each")
    parser.add_argument(
        "--engines",
        type=lambda text: text.split(","),
        help=f"names with commas between them, ours first; of {', '.join(ENGINES)}",
    )
    parser.add_argument(
        "--shape",
        choices=nllb_weights.SHAPES,
        default="distilled-600M",
        help="of the random weights",
    )
    parser.add_argument(
        "--weights", help="real weights instead: a folder in the hub's layout, or the hub's name"
    )
    parser.add_argument("--target", default="por_Latn", help="with real weights, the language")
    parser.add_argument(
        "--vocabulary", type=int, default=20_000, help="tokens of the target language"
    )
    parser.add_argument(
        "--misses", type=float, default=0.01, help="share of tokens outside of it, about"
    )
    parser.add_argument(
        "--lengths",
        type=lambda text: [int(length) for length in text.split(",")],
        default=[32, 8, 64],
        help="tokens of the random sentences; the first is the one reported",
    )
    parser.add_argument("--sentences", type=int, default=6, help="of the first length")
    parser.add_argument("--batches", type=int, default=1, help=f"of {BATCH} sentences")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure, print the results for people, and return them."""
    names = options.engines or DEFAULTS[options.device]
    if unknown := [name for name in names if name not in ENGINES]:
        raise SystemExit(f"no engine {unknown[0]!r}; there are {', '.join(ENGINES)}")
    use_threads(options.threads)
    task, sources, weights = (_real_task if options.weights else _random_task)(options)
    print(f"weights: {weights}")
    results, missing, bandwidth = measure(names, task, sources, options.batches)
    found = {
        **summary(results, sources, bandwidth),
        "weights": weights,
        "device": task.device,
        "threads": task.threads,
        "vocabulary": len(task.vocabulary),
        "missing": missing,
    }
    report(found)
    return {**found, "raw": {name: asdict(result) for name, result in results.items()}}


def _random_task(options: argparse.Namespace) -> tuple[Task, list[list[Tokens]], str]:
    shape = nllb_weights.SHAPES[options.shape]
    count = min(options.vocabulary, len(shape.pieces) // 8)
    hub = nllb_weights.checkpoint(options.shape, options.misses, count)
    vocabulary = json.loads((hub / "vocabulary.json").read_text(encoding="utf-8"))
    target = shape.languages.start + 79
    task = Task(hub, hub.parent, vocabulary, target, options.device, options.threads)
    # Half as many of the lengths that only show how a sentence's time grows.
    counts = [options.sentences, *[-(-options.sentences // 2)] * (len(options.lengths) - 1)]
    sources = [
        nllb_weights.sentences(shape, count, length)
        for count, length in zip(counts, options.lengths, strict=True)
    ]
    about = (
        f"random, in the shape of {options.shape}; about {options.misses:.1%} of the tokens lie "
        f"outside of the target language's {count}"
    )
    return task, sources, about


def _real_task(options: argparse.Namespace) -> tuple[Task, list[list[Tokens]], str]:
    """Real weights translate sentences that packages ship, to their natural ends."""
    from mlx_speak import hub
    from mlx_speak.languages import Language
    from mlx_speak.translation.restriction import Vocabulary
    from mlx_speak.translation.tokenizer import NLLBTokenizer

    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "translation"))
    from bitext import django, udhr

    folder = Path(options.weights).expanduser()
    if not folder.is_dir():
        files = ("*.json", "*.safetensors", "pytorch_model*.bin", "*.model")
        folder = hub.download(hub.Repository(options.weights), files)
    cache = home("benchmarks", options.weights.strip("/").replace("/", "--"))
    target = Language.parse(options.target)
    task = Task(folder, cache, [], 0, options.device, options.threads, ends=True)
    converted = prepare(f"{OURS} fp32", task)
    command = [sys.executable, "-m", "mlx_speak.convert", "vocabulary", str(converted)]
    chosen = ["--language", options.target, "--size", str(options.vocabulary)]
    subprocess.run([*command, *chosen], check=True)
    vocabulary = Vocabulary.load(converted / "vocabulary" / f"{target.flores}.safetensors")
    tokenizer = NLLBTokenizer.load(converted, hub.read_config(converted))
    english = Language.parse("en")
    texts = [text for text, _ in udhr() + django()]
    random.Random(0).shuffle(texts)
    sources = [tokenizer.encode(text, english) for text in texts[: options.sentences]]
    task = replace(
        task,
        vocabulary=vocabulary.ids.tolist(),
        target=tokenizer.language_token_id(target),
    )
    return task, [sources], f"{options.weights}, English to {target.name}"


def measure(
    names: list[str], task: Task, sources: list[list[Tokens]], batches: int
) -> tuple[dict[str, Result], dict[str, str], float]:
    """Send every sentence to every engine, taking turns.

    Args:
        names: of the engines.
        sources: for each length, its sentences.
        batches: how many batches of the first length to time.

    Returns:
        What each engine did, why an engine is missing, and the bytes a second that the device read.
    """
    results: dict[str, Result] = {}
    workers: dict[str, Worker] = {}
    missing: dict[str, str] = {}
    for name in names:
        worker = Worker(make, name, task, prepare(name, task))
        if worker.error:
            missing[name] = worker.error
            continue
        _, cold, _ = worker([sources[0][0]], _limit(sources[0][0], task))
        workers[name], results[name] = worker, Result(worker.about, worker.load_seconds, cold)
    probe = Worker(memory_speed.make, task.device, task.threads)
    if not workers or probe.error:
        raise SystemExit("\n".join(f"{name}: {reason}" for name, reason in missing.items()))
    bandwidth = [probe()]
    turn = 0
    for group in sources:
        for source in group:
            for name in take_turns(list(workers), turn):
                results[name].timings.append(_time(workers[name], source, _limit(source, task)))
            turn += 1
        bandwidth.append(probe())
    batch = (sources[0] * BATCH)[:BATCH]
    patient = [
        name for name in workers if BATCH * results[name].timings[0].seconds < BATCH_PATIENCE
    ]
    for turn in range(batches):
        for name in take_turns(patient, turn):
            targets, seconds, _ = workers[name](batch, max(_limit(x, task) for x in batch))
            results[name].batch_tokens = sum(map(len, targets))
            results[name].batch_seconds.append(seconds)
    probe.close()
    for name, worker in workers.items():
        results[name].resident_bytes = worker.resident_bytes()
        results[name].peak_bytes = worker.close()
    return results, missing, max(bandwidth)


def _time(worker: Worker, source: Tokens, limit: int) -> Timing:
    targets, seconds, read = worker([source], limit)
    _, first, _ = worker([source], 2)
    _, encoder, _ = worker([source], 0)
    return Timing(len(source), targets[0], seconds, first, encoder, read)


def _limit(source: Tokens, task: Task) -> int:
    """Tokens of the translation, its language included, at most.

    Random weights never come to an end; they say as much as they hear.
    """
    return LONGEST if task.ends else len(source) - 1
