"""What the text tests share: the whole way from a stream to sentences, and lines to feed it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from typing import Any

from mlx_speak.text import Sentence, SentenceReader, TextEvent, read_stream


def sentences(source: Any, format: str = "auto", language: str = "en") -> list[str]:
    """The sentences of a stream that are left unspoken by no retraction, as if none was spoken."""
    return [sentence.text for sentence in heard(read_stream(source, format), language)]


def heard(events: Iterable[TextEvent], language: str = "en") -> list[Sentence]:
    """The sentences of events, less those of retracted messages."""
    reader = SentenceReader(language)
    found: list[Sentence] = []
    for event in events:
        if event.kind == "retract":
            found = [sentence for sentence in found if sentence.message != event.message]
        found += reader.feed(event)
    return found + reader.close()


def text_of(events: Iterable[TextEvent]) -> str:
    """The text of all events."""
    return "".join(event.text for event in events)


def lines(*records: dict[str, Any]) -> bytes:
    """Records as JSON lines."""
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def pieces(data: Any, cuts: Iterable[int]) -> list[Any]:
    """`data` cut at the given places."""
    places = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(places)]


# Claude Code's lines


def event(event: dict[str, Any], parent: str | None = None) -> dict[str, Any]:
    """A raw event of the Messages API, as partial messages carry it."""
    return {"type": "stream_event", "event": event, "parent_tool_use_id": parent}


def start(message: str) -> dict[str, Any]:
    return event({"type": "message_start", "message": {"id": message, "content": []}})


def block(index: int, kind: str = "text") -> dict[str, Any]:
    content = {"type": kind, "text": ""} if kind == "text" else {"type": kind}
    return event({"type": "content_block_start", "index": index, "content_block": content})


def delta(index: int, text: str) -> dict[str, Any]:
    return event(
        {
            "type": "content_block_delta",
            "index": index,
            "delta": {"type": "text_delta", "text": text},
        }
    )


def block_stop(index: int) -> dict[str, Any]:
    return event({"type": "content_block_stop", "index": index})


STOP = event({"type": "message_stop"})


def snapshot(message: str, *content: str | dict[str, Any], **fields: Any) -> dict[str, Any]:
    """An assistant line; a string stands for a text block."""
    blocks = [{"type": "text", "text": c} if isinstance(c, str) else c for c in content]
    return {"type": "assistant", "message": {"id": message, "content": blocks}, **fields}


TOOL = {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}}


def result(text: str, **fields: Any) -> dict[str, Any]:
    return {"type": "result", "subtype": "success", "is_error": False, "result": text, **fields}
