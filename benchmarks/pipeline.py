"""From the last letter of a sentence to its sound: the pipeline against sequential ones.

    python benchmarks/pipeline.py [--sentences 200] [--pair en-pt] [--translator bergamot]
                                  [--voice kokoro] [--rate 60] [--card jack] [--json results.json]

First, sentence after sentence is written token by token, to every engine in turn, each in a process
of its own; the next sentence begins to be written behind it, as it would. Then paragraphs are
heard whole, for gaps, underruns and memory. Sound goes to a card that keeps real time: JACK's dummy
server through PortAudio where it is installed, whose time is a device's, else a clock.

No recording of an assistant's pace may be shared here, so pauses are drawn: exponential, 60 tokens
a second on average. `claude -p … | python benchmarks/pipeline.py --record FILE` records one, and
`--recording FILE` replays it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pipeline_engines
from texts import Delta, real_sentences, recorded, written
from workers import Worker, machine, take_turns, use_own_processor, use_threads

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "audio"))

EARLY, STRICT, SEQUENTIAL, OTHERS = "early start", "strict", "sequential", "torch, sequential"
_LONGEST = 300
"""Characters of a sentence; the preamble's paragraphs are one each, and no assistant's."""
_FOLLOWS = 6
"""Words of the next sentence that are written behind one."""
_SLOW = {SEQUENTIAL: 2, OTHERS: 5}
"""Engines that get one sentence of so many: they take longest. Ratios are of the same sentences."""


def engines(names: list[str], options: argparse.Namespace, output: str) -> dict[str, Worker]:
    """Those that can run here, started."""
    pair = tuple(options.pair.split("-"))
    name = f"bergamot-{options.pair}" if options.translator == "bergamot" else options.translator
    if name == "none":
        pair = (pair[1], pair[1])
    models = (name, options.voice, pair, output)
    makes = {
        EARLY: (pipeline_engines.ours, options.level, *models),
        STRICT: (pipeline_engines.ours, "off", *models),
        SEQUENTIAL: (pipeline_engines.sequential, *models),
        OTHERS: (pipeline_engines.others, pair, output),
    }
    workers = {}
    for engine in names:
        worker = Worker(*makes[engine])
        if worker.error:
            print(f"{engine}: {worker.error}", file=sys.stderr)
        else:
            workers[engine] = worker
    return workers


def first_sounds(
    workers: dict[str, Worker], sentences: list[str], rate: float
) -> dict[str, dict[str, Any]]:
    """Each sentence to each engine in turn, only its beginning heard."""
    raw: dict[str, list[dict[str, Any]]] = {name: [] for name in workers}
    for index, sentence in enumerate(sentences):
        following = " ".join(sentences[(index + 1) % len(sentences)].split()[:_FOLLOWS])
        deltas = written(f"{sentence} {following}", rate, index)
        for name in take_turns(list(workers), index):
            if index % _SLOW.get(name, 1) == 0:
                raw[name].append(workers[name](deltas, False) | {"index": index})
        if (index + 1) % 20 == 0:
            print(f"  {index + 1} sentences", file=sys.stderr)
    found = {}
    for name, results in raw.items():
        seconds = list(_heard(results).values())
        kept = [share for r in results for share in r["draft_kept"][:1]]
        found[name] = {
            "sentences": len(seconds),
            "first_sound": _spread(seconds),
            "found": _spread([r["found"][0] for r in results if r["found"]]),
            "drafted": len(kept),
            "draft_kept": statistics.mean(kept) if kept else None,
            "draft_whole": sum(share == 1 for share in kept) / len(kept) if kept else None,
            "prepared": sum(r["prepared"] > 0 for r in results) / len(results),
            "ours_over_it": _ratio(raw.get(EARLY, []), results),
            "raw": results,
        }
    return found


def _heard(results: list[dict[str, Any]]) -> dict[int, float]:
    """Seconds until the first sound, by sentence."""
    firsts = {r["index"]: r["first_sound"][0] for r in results if r["first_sound"]}
    return {index: seconds for index, seconds in firsts.items() if seconds}


def _ratio(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> float | None:
    """Of the medians over the sentences that both were heard to say."""
    mine, other = _heard(ours), _heard(theirs)
    both = mine.keys() & other.keys()
    if not both:
        return None
    return statistics.median(mine[i] for i in both) / statistics.median(other[i] for i in both)


def paragraphs(
    workers: dict[str, Worker], sentences: list[str], rate: float, count: int, length: int
) -> dict[str, dict[str, Any]]:
    """Paragraphs of `length` sentences to each engine in turn, heard to their end."""
    raw: dict[str, list[dict[str, Any]]] = {name: [] for name in workers}
    for index in range(count):
        chosen = sentences[::-1][index * length :][:length]
        deltas = written(" ".join(chosen), rate, index)
        for name in take_turns(list(workers), index):
            raw[name].append(workers[name](deltas, True))
    found = {}
    for name, results in raw.items():
        audio = sum(r["audio"] for r in results)
        found[name] = {
            "sentences": sum(len(r["sources"]) for r in results),
            "audio": audio,
            "real_time_factor": sum(r["work"] for r in results) / max(audio, 1e-9),
            "gaps": _spread([gap for r in results for gap in r["gaps"]]),
            "underruns": sum(r["underruns"] for r in results),
            "resident": [r["resident"] for r in results],
            "raw": results,
        }
    return found


def _spread(seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {}
    ranked = sorted(seconds)
    return {
        "p50": statistics.median(ranked),
        "p95": ranked[min(round(0.95 * (len(ranked) - 1)), len(ranked) - 1)],
        "max": ranked[-1],
    }


def show(found: dict[str, Any]) -> None:
    """Print the results for people, ratios first."""
    sounds = found["first_sounds"]
    for name, row in sounds.items():
        if name != EARLY and row["ours_over_it"]:
            print(f"{EARLY} / {name}: {row['ours_over_it']:.2f} × p50 of the first sound")
    print(
        f"\n{'first sound, ms':20}{'p50':>8}{'p95':>8}{'max':>8}{'found':>8}  drafts right, whole"
    )
    for name, row in sounds.items():
        times = [1e3 * row["first_sound"][key] for key in ("p50", "p95", "max")]
        drafts = ""
        if row["draft_kept"] is not None:
            drafts = f"  {row['draft_kept']:.0%} of {row['drafted']}, {row['draft_whole']:.0%}"
        found_p50 = 1e3 * row["found"]["p50"]
        print(f"{name:20}" + "".join(f"{ms:8.0f}" for ms in (*times, found_p50)) + drafts)
    heads = f"{'sound':>8}{'RTF':>7}{'gap p50':>9}{'max':>8}{'underruns':>11}  memory"
    print(f"\n{'paragraphs':20}{heads}")
    for name, row in found["paragraphs"].items():
        gaps = row["gaps"] or {"p50": 0.0, "max": 0.0}
        memory = row["resident"] or [0]
        print(
            f"{name:20}{row['audio']:7.0f}s{row['real_time_factor']:7.2f}"
            f"{1e3 * gaps['p50']:7.0f}ms{1e3 * gaps['max']:6.0f}ms{row['underruns']:11}"
            f"  {memory[0] / 1e9:.2f} → {memory[-1] / 1e9:.2f} GB"
        )


@contextlib.contextmanager
def open_card(kind: str) -> Iterator[str]:
    """The name of an output that keeps real time."""
    if kind != "jack":
        yield "silent"
        return
    from jack import jack_server

    with jack_server(f"mlx-speak-benchmark-{os.getpid()}") as environment:
        os.environ.update(environment)
        yield "speakers"


def record(path: Path) -> None:
    """Keep when each piece of the text on standard input arrived."""
    import mlx_speak as ms

    last = time.monotonic()
    with path.open("w", encoding="utf-8") as file, open(0, "rb", buffering=0) as stream:
        for event in ms.read_stream(stream):
            now = time.monotonic()
            file.write(json.dumps({"seconds": round(now - last, 4), "text": event.text}) + "\n")
            last = now


def replay(path: Path) -> list[Delta]:
    return list(recorded(path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sentences", type=int, default=200)
    parser.add_argument("--paragraphs", type=int, default=6)
    parser.add_argument("--length", type=int, default=6, help="sentences of a paragraph")
    parser.add_argument("--pair", default="en-pt", choices=["en-pt", "pt-en"])
    parser.add_argument("--translator", default="bergamot", help="or none, a name or a folder")
    parser.add_argument("--voice", default="kokoro", help="or say, a name or a folder")
    parser.add_argument("--level", default="balanced", help="of early work")
    parser.add_argument("--rate", type=float, default=60, help="tokens written a second")
    card = "jack" if shutil.which("jackd") else "clock"
    parser.add_argument("--card", choices=["jack", "clock"], default=card)
    parser.add_argument(
        "--engines", nargs="+", help="default: all that do the same work with this voice"
    )
    parser.add_argument("--record", type=Path, help="record the pace of standard input, and end")
    parser.add_argument("--recording", type=Path, help="replay this, heard whole")
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    options = parser.parse_args()
    if options.record:
        record(options.record)
        return
    if not options.engines:
        options.engines = [EARLY, STRICT, SEQUENTIAL]
        options.engines += [OTHERS] if options.voice == "kokoro" else []
    dropped = use_own_processor()
    use_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4)
    here = machine() | {"dropped": str(dropped or "nothing")}
    print("  ".join(f"{key}: {value}" for key, value in here.items()))

    from mlx_speak.languages import Language

    source = options.pair[3:] if options.translator == "none" else options.pair[:2]
    texts = real_sentences(Language.parse(source), 10_000, words=3)
    sentences = [text for text in texts if len(text) <= _LONGEST and text[-1] in ".!?"]
    with open_card(options.card) as output:
        workers = engines(options.engines, options, output)
        if options.recording:
            deltas = replay(options.recording)
            heard = {name: worker(deltas, True) for name, worker in workers.items()}
            print(json.dumps(heard, indent=1, ensure_ascii=False))
            return
        found = {
            "machine": here,
            "what": vars(options) | {"json": None},
            "engines": {name: worker.about for name, worker in workers.items()},
            "first_sounds": first_sounds(workers, sentences[: options.sentences], options.rate),
            "paragraphs": paragraphs(
                workers, sentences, options.rate, options.paragraphs, options.length
            ),
        }
        found["peak_mb"] = {name: worker.close() / 1e6 for name, worker in workers.items()}
    show(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1, ensure_ascii=False, default=str) + "\n")


if __name__ == "__main__":
    main()
