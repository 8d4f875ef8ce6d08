"""Everything that reads what others wrote, fed with what nobody should write.

    python tests/fuzz.py [--minutes 10] [--only stream] [--seed 0]

Each target takes a turn of some hundred inputs, found by hypothesis, until the time is over; a
failure is shrunk and printed with its seed. What is asked of a target is in its docstring.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import struct
import tempfile
import time
import traceback
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from mlx_speak.convert.marian import read_model, read_shortlist
from mlx_speak.convert.onnx_file import read_onnx
from mlx_speak.convert.safetensors_file import read_safetensors, write_safetensors
from mlx_speak.convert.torch_file import read_torch
from protobuf import NODE, integer, message, model, packed
from translation.tiny import marian_binary, random_model, shortlist_binary

from mlx_speak.audio import Audio
from mlx_speak.errors import SpeakError
from mlx_speak.text import FORMATS, SentenceReader, read_aloud, read_stream
from mlx_speak.text.words import WORDS


class Target(NamedTuple):
    """Something that is fed, and with what."""

    function: Callable[..., None]
    inputs: tuple[st.SearchStrategy[Any], ...]


# Text

ROOT = Path(__file__).parents[1]
TERMINAL = [
    "\x1b[31m",
    "\x1b]0;title\x07",
    "\x1b",
    "\x9b2J",
    "\x1bP",
    "\u202e",
    "\r",
    "\x00",
    "\x07",
]
PIECES = [
    *TERMINAL,
    *(
        "`",
        "```",
        "**",
        "_",
        "[",
        "](",
        ")",
        "<",
        ">",
        "&#27;",
        "&#x1b;[31m",
        "\n\n",
        "# ",
        "- ",
        "|",
    ),
    *("v2.13.0", "--flag", "/usr/bin", "snake_case", "1,234.5", "$5", "2026-11-25", "e.g. ", "x^2"),
    *(
        "The tests pass. ",
        "ação",
        "テスト。",
        "🎉",
        "\ud83d",
        "\udc00",
        "\\",
        "$(rm -rf ~)",
        "[[slnc 9]]",
    ),
]
TEXT = st.lists(st.sampled_from(PIECES) | st.text(max_size=8), max_size=30).map("".join)
RECORDED = [
    line for path in sorted(ROOT.glob("examples/sessions/*.jsonl")) for line in path.open("rb")
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                "type message content text delta event index id item choices error role".split()  # noqa: SIM905
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
KINDS = [
    *(
        "assistant",
        "user",
        "system",
        "result",
        "stream_event",
        "message",
        "init",
        "text",
        "tool_use",
    ),
    *("thread.started", "turn.started", "item.completed", "content_block_delta", "message_start"),
    *("response.output_text.delta", "text_delta", "content_block_start", "message_stop"),
]
RECORDS = st.builds(
    lambda kind, rest: json.dumps({**rest, "type": kind}).encode() + b"\n",
    st.sampled_from(KINDS),
    st.dictionaries(st.sampled_from(["message", "event", "item", "delta", "content"]), VALUES),
)


def changed(data: bytes, changes: list[tuple[int, int]]) -> bytes:
    """Data with some of its bytes replaced."""
    damaged = bytearray(data)
    for position, value in changes:
        if damaged:
            damaged[position % len(damaged)] = value
    return bytes(damaged)


CHANGES = st.lists(st.tuples(st.integers(0, 1 << 30), st.integers(0, 255)), max_size=6)
LINES = (
    RECORDS
    | st.builds(changed, st.sampled_from(RECORDED), CHANGES)
    | TEXT.map(lambda text: text.encode("utf-8", "surrogatepass"))
)
BYTES = st.lists(LINES, max_size=8).map(b"".join) | st.binary(max_size=200)


def is_plain(text: str) -> bool:
    """Whether a terminal shows a text and does nothing else with it."""
    return not any(unicodedata.category(c) in ("Cc", "Cs") or c in "\u202e\u2066" for c in text)


def stream(data: bytes, format: str, cuts: list[int]) -> None:
    """Nothing raises on any bytes, in any format, cut anywhere; sentences are plain text."""
    places = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    parts = [data[a:b] for a, b in itertools.pairwise(places)]
    reader, whole = SentenceReader(), SentenceReader()
    found = [s for event in read_stream(parts, format) for s in reader.feed(event)] + reader.close()
    again = [s for event in read_stream(data, format) for s in whole.feed(event)] + whole.close()
    assert [s.text for s in found] == [s.text for s in again]
    assert all(is_plain(sentence.text) for sentence in found)


def reading(text: str, language: str) -> None:
    """What is read aloud has something to say where the text has, and is found in no time."""
    began = time.process_time()
    said = read_aloud(text, language)
    assert time.process_time() - began < 2
    assert any(map(str.isalnum, said)) or not any(map(str.isalnum, text)) or "(" in text


# Files: each is read, or refused with an error that says why; nothing of it is run.


def reader_of(read: Callable[[Path], Any], valid: Callable[[], list[bytes]]) -> Target:
    """Feeds a reader with damaged copies of valid files, and with pieces of them."""
    path = Path(tempfile.mkdtemp(), "file")

    def target(data: bytes, changes: list[tuple[int, int]], share: float, tail: bytes) -> None:
        path.write_bytes(changed(data, changes)[: round(len(data) * share) or None] + tail)
        with contextlib.suppress(SpeakError, FileNotFoundError):
            read(path)

    inputs = (st.sampled_from(valid()), CHANGES, st.floats(0, 1), st.binary(max_size=16))
    return Target(target, inputs)


def torch_files() -> list[bytes]:
    import torch

    found = []
    for value in ({"a": torch.randn(3, 2)}, {"m": {"b": torch.ones(4).half()}, "n": [1, "x"]}):
        with tempfile.NamedTemporaryFile() as file:
            torch.save(value, file.name)
            found.append(Path(file.name).read_bytes())
    return found


def safetensors_files() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.safetensors")
        write_safetensors(path, {"a": np.ones((2, 3), np.float32), "b": np.zeros(5, np.float16)})
        return [path.read_bytes()]


def onnx_files() -> list[bytes]:
    tensor = packed(1, (2,)) + integer(2, 1) + message(8, "t") + message(9, bytes(8))
    return [model(NODE, message(5, tensor))]


def marian_files() -> list[bytes]:
    return [marian_binary(random_model()), shortlist_binary([[5, 6], [], [7, 8, 9], [5]])]


def wave_files() -> list[bytes]:
    audio = Audio(np.linspace(-1, 1, 400, dtype=np.float32), 8000)
    floating = audio.samples.astype("<f4").tobytes()
    header = struct.pack("<HHIIHH", 3, 1, 8000, 32000, 4, 32)
    chunks = b"fmt " + struct.pack("<I", 16) + header + b"data" + struct.pack("<I", len(floating))
    riff = b"RIFF" + struct.pack("<I", 4 + len(chunks) + len(floating)) + b"WAVE"
    return [audio._wav(), riff + chunks + floating]


def marian(path: Path) -> None:
    try:
        read_model(path)
    except SpeakError:
        read_shortlist(path)


CUTS = st.lists(st.integers(0, 500), max_size=4)
TARGETS: dict[str, Callable[[], Target]] = {
    "stream": lambda: Target(stream, (BYTES, st.sampled_from(["auto", *FORMATS]), CUTS)),
    "reading": lambda: Target(reading, (TEXT, st.sampled_from([*WORDS, "de"]))),
    "torch": lambda: reader_of(read_torch, torch_files),
    "safetensors": lambda: reader_of(read_safetensors, safetensors_files),
    "onnx": lambda: reader_of(read_onnx, onnx_files),
    "marian": lambda: reader_of(marian, marian_files),
    "wave": lambda: reader_of(Audio.load, wave_files),
}


def fuzz(target: Target, number: int, examples: int) -> str:
    """Feed a target with inputs that depend on a number; what failed, or an empty string."""
    rules = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    try:
        seed(number)(rules(given(*target.inputs)(target.function)))()
    except Exception:
        return traceback.format_exc()
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--only", choices=TARGETS, action="append")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    targets = {name: TARGETS[name]() for name in options.only or TARGETS}
    end = time.monotonic() + 60 * options.minutes
    turns, number, wrong = 0, options.seed, 0
    while time.monotonic() < end:
        for name, target in targets.items():
            if complaint := fuzz(target, number, 200):
                wrong += 1
                print(f"{name}, seed {number}:\n{complaint}", flush=True)
        turns, number = turns + 1, number + 1
        if wrong >= 5:
            break
    inputs = 200 * turns * len(targets)
    print(f"{inputs} inputs to {', '.join(targets)}; {wrong} wrong")
    return bool(wrong)


if __name__ == "__main__":
    raise SystemExit(main())
