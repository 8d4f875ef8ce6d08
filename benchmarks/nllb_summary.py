"""What NLLB's engines did, in figures, and those in lines for people."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

from nllb_engines import Tokens

BATCH = 16
"""Sentences of a batch."""


@dataclass
class Timing:
    """What an engine did with one sentence."""

    source_tokens: int
    output: Tokens
    seconds: float
    first_token_seconds: float
    encoder_seconds: float
    """0 where the encoder cannot be run alone."""
    read: dict[str, float] = field(default_factory=dict)
    """What the engine counted: bytes, misses, checks."""


@dataclass
class Result:
    """What an engine did."""

    about: str
    load_seconds: float
    cold_seconds: float
    """The first sentence, before anything was warm."""
    timings: list[Timing] = field(default_factory=list)
    batch_seconds: list[float] = field(default_factory=list)
    batch_tokens: int = 0
    resident_bytes: int = 0
    peak_bytes: int = 0


def summary(
    results: dict[str, Result], sources: list[list[Tokens]], bandwidth: float
) -> dict[str, Any]:
    """Ratios first. All but the sweep over the lengths is of the first length.

    Args:
        results: of each engine, the first of them ours.
        sources: as `measure` has them.
        bandwidth: bytes a second.
    """
    count = len(sources[0])
    ours, *others = results
    rows = {name: _row(result, count, bandwidth) for name, result in results.items()}
    ratios = {
        f"{ours} / {name}": {
            "ms_per_token": rows[ours]["ms_per_token"] / rows[name]["ms_per_token"],
            "p50": rows[ours]["p50_ms"] / rows[name]["p50_ms"],
            "first_token": rows[ours]["first_token_ms"] / rows[name]["first_token_ms"],
            # Unlike the quotient of medians, this one compares sentence by sentence.
            "p50_of_each_sentence": statistics.median(
                mine.seconds / theirs.seconds
                for mine, theirs in zip(
                    results[ours].timings[:count], results[name].timings[:count], strict=True
                )
            ),
        }
        for name in others
    }
    agreement = {
        one: {
            other: statistics.mean(
                _agreement(mine.output, theirs.output)
                for mine, theirs in zip(results[one].timings, results[other].timings, strict=True)
            )
            for other in results
        }
        for one in results
    }
    sweep = {}
    start = 0
    for group in sources:
        tokens = round(statistics.median(map(len, group))) - 2  # its language and `</s>`
        sweep[str(tokens)] = {
            name: 1e3 * statistics.median(x.seconds for x in result.timings[start:][: len(group)])
            for name, result in results.items()
        }
        start += len(group)
    return {
        "ratios": ratios,
        "engines": rows,
        "sentence_ms_by_length": sweep,
        "agreement": agreement,
        "bandwidth_gb_per_s": bandwidth / 1e9,
        "sentences": count,
        "source_tokens": int(next(iter(sweep))),
    }


def _row(result: Result, count: int, bandwidth: float) -> dict[str, Any]:
    timings = result.timings[:count]
    milliseconds = sorted(1e3 * timing.seconds for timing in timings)
    decoding = [_decoding_seconds(timing) for timing in timings]
    tokens = [len(timing.output) for timing in timings]
    per_token = [seconds / count for seconds, count in zip(decoding, tokens, strict=True)]
    read = sum(timing.read.get("bytes", 0.0) for timing in timings)
    encoder = statistics.median(timing.encoder_seconds for timing in timings)
    row = {
        "ms_per_token": 1e3 * statistics.median(per_token),
        "p50_ms": statistics.median(milliseconds),
        "p95_ms": milliseconds[int(0.95 * len(milliseconds))],
        "first_token_ms": 1e3 * statistics.median(x.first_token_seconds for x in timings),
        "encoder_ms": 1e3 * encoder or None,
        "mb_per_token": read / sum(tokens) / 1e6 or None,
        "bandwidth_share": read / sum(decoding) / bandwidth or None,
        "load_s": result.load_seconds,
        "cold_ms": 1e3 * result.cold_seconds,
        "resident_mb": result.resident_bytes / 1e6,
        "peak_mb": result.peak_bytes / 1e6,
        "about": result.about,
    }
    if result.batch_seconds:
        row["batch_tokens_per_s"] = result.batch_tokens / min(result.batch_seconds)
    if "misses" in timings[0].read:
        for name in ("misses", "ties", "checks"):
            row[f"{name}_per_100_tokens"] = (
                100 * sum(timing.read[name] for timing in timings) / sum(tokens)
            )
    return row


def _decoding_seconds(timing: Timing) -> float:
    """The time of a sentence less its encoder's.

    Where the encoder cannot be run alone, every token is taken to cost what those after the first
    cost, which is so for engines that take a step for each.
    """
    tokens = len(timing.output)
    if timing.encoder_seconds or tokens < 3:
        return timing.seconds - timing.encoder_seconds
    return tokens * (timing.seconds - timing.first_token_seconds) / (tokens - 2)


def _agreement(one: Tokens, other: Tokens) -> float:
    """The share of a translation's tokens before the first in which another differs."""
    same = 0
    for mine, theirs in zip(one, other, strict=False):
        if mine != theirs:
            break
        same += 1
    return same / max(len(one), len(other), 1)


_ROWS = {
    "ms_per_token": "ms per token",
    "p50_ms": "sentence, p50 ms",
    "p95_ms": "sentence, p95 ms",
    "first_token_ms": "first token, ms",
    "encoder_ms": "encoder, ms",
    "mb_per_token": "MB read per token",
    "bandwidth_share": "share of bandwidth",
    "batch_tokens_per_s": f"batch of {BATCH}, tokens/s",
    "load_s": "load, s",
    "cold_ms": "first sentence, ms",
    "resident_mb": "resident, MB",
    "peak_mb": "peak, MB",
    "misses_per_100_tokens": "misses per 100",
    "ties_per_100_tokens": "ties per 100",
    "checks_per_100_tokens": "checks per 100",
}


def report(found: dict[str, Any]) -> None:
    """Print the results for people, ratios first."""
    print(
        f"{found['sentences']} sentences of {found['source_tokens']} tokens; the {found['device']} "
        f"reads {found['bandwidth_gb_per_s']:.1f} GB/s\n"
    )
    for names, ratio in found["ratios"].items():
        print(
            f"  {names}: {ratio['ms_per_token']:.2f} × per token, {ratio['p50']:.2f} × p50, "
            f"{ratio['p50_of_each_sentence']:.2f} × sentence by sentence, "
            f"{ratio['first_token']:.2f} × first token"
        )
    engines = found["engines"]
    width = 2 + max(map(len, engines))
    print("\n" + " " * 24 + "".join(f"{name:>{width}}" for name in engines))
    for key, label in _ROWS.items():
        values = [row.get(key) for row in engines.values()]
        if any(value is not None for value in values):
            cells = ["–" if x is None else f"{x:.3g}" if x < 10 else f"{x:.0f}" for x in values]
            print(f"  {label:22}" + "".join(f"{cell:>{width}}" for cell in cells))
    for length, milliseconds in found["sentence_ms_by_length"].items():
        cells = [f"{milliseconds[name]:.0f}" for name in engines]
        print(f"  {length + ' tokens, p50 ms':22}" + "".join(f"{x:>{width}}" for x in cells))
    print("\nTokens before the first that differs, of all sentences:")
    for one, row in found["agreement"].items():
        print(f"  {one:22}" + "".join(f"{share:>{width}.0%}" for share in row.values()))
    print()
    for name, row in engines.items():
        print(f"{name}: {row['about']}")
    for name, reason in found["missing"].items():
        print(f"{name}: left out, {reason}")
