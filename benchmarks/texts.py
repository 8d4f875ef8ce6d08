"""What the benchmarks read: real sentences, and how fast an assistant writes them."""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

# The tests use the same texts.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "translation"))

Delta = tuple[float, str]
"""Seconds to wait, and what then arrives."""

_TOKEN = re.compile(r"\s*\w{1,7}|\s*[^\w\s]|\s+")
"""About what a tokenizer of English makes of it: 4 to 5 characters."""


def real_sentences(source, count: int, words: int = 4) -> list[str]:
    """Those of the Universal Declaration of Human Rights, then Django's, of some length.

    Args:
        source: the `Language`, English or Portuguese.
        count: at most so many.
        words: of the shortest.
    """
    from bitext import django, udhr

    from mlx_speak.text.sentences import split_sentences

    side = 0 if source.tag == "en" else 1
    texts, messages = ([both[side] for both in pairs] for pairs in (udhr(), django()))
    random.Random(0).shuffle(messages)
    split = (s for text in [*texts, *messages] for s in split_sentences(text, source))
    unique = dict.fromkeys(" ".join(sentence.split()) for sentence in split)
    return [sentence for sentence in unique if len(sentence.split()) >= words][:count]


def written(text: str, tokens_per_second: float, seed: int) -> list[Delta]:
    """A text token by token; the pauses between them are exponentially distributed.

    Hosted assistants write 40 to 100 tokens a second; their servers send one or a few at a time.
    """
    chance = random.Random(seed)
    return [
        (chance.expovariate(tokens_per_second), token.group()) for token in _TOKEN.finditer(text)
    ]


def recorded(path: Path) -> Iterator[Delta]:
    """The deltas of a recording: lines of JSON with `seconds` (to wait) and `text`."""
    for line in path.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        yield float(record["seconds"]), str(record["text"])
