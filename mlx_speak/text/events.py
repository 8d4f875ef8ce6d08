"""What an assistant says, as events, from the stream that its program writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from . import source as _source
from .adapters import Adapter, Codex, Gemini, OpenAI, TextEvent
from .claude import Claude
from .clean import Cleaner

_ADAPTERS: dict[str, type[Adapter]] = {
    "claude": Claude,
    "codex": Codex,
    "gemini": Gemini,
    "openai": OpenAI,
}
FORMATS = ("auto", *_ADAPTERS, "text")

_PLAIN_LINES = 20
"""After so many lines of plain text, "auto" looks for records no more."""


def read_stream(source: Any, format: str = "auto") -> Iterator[TextEvent]:
    """Read an assistant's stream as it arrives.

    Args:
        source: a binary or text file (a pipe's bytes are handled as they come), bytes, str, or an
            iterable of either, cut anywhere.
        format: "claude" (Claude Code's stream-json, with or without partial messages), "codex"
            (`codex exec --json`), "gemini" (stream-json), "openai" (SSE or JSON lines), "text", or
            "auto": told by the content of the first lines. Unknown records are ignored.

    Returns:
        An iterator of `TextEvent`; its text carries no terminal escapes or control characters.

    Raises:
        ValueError: for an unknown format.
        TypeError: for a source that is neither file nor iterable.
    """
    if format not in FORMATS:
        raise ValueError(f"unknown format {format!r}; known are {', '.join(FORMATS)}")
    _source.check(source)
    return _clean(_parse(source, format))


def _parse(source: Any, format: str) -> Iterator[TextEvent]:
    parser: _Auto | _Records | _Text
    if format == "auto":
        parser = _Auto()
    elif format == "text":
        parser = _Text()
    else:
        parser = _Records(_ADAPTERS[format]())
    for chunk in _source.chunks(source):
        yield from parser.feed(chunk)
    yield from parser.close()


def _clean(events: Iterator[TextEvent]) -> Iterator[TextEvent]:
    """Clean the text of each message, across its events."""
    cleaner, last = Cleaner(), TextEvent("")
    for event in events:
        if event.kind == "retract" and event.message == last.message:
            cleaner.close()
        elif (event.kind == "end" or event.message != last.message) and (rest := cleaner.close()):
            yield replace(last, text=rest, kind="text")
        last = event
        if event.kind != "text":
            yield event
        elif text := cleaner.feed(event.text):
            yield replace(event, text=text)


class _Text:
    """Plain text: all of it is one message."""

    def __init__(self) -> None:
        self._said = False

    def feed(self, text: str) -> Iterator[TextEvent]:
        self._said = True
        yield TextEvent(text, "text", "text")

    def retract(self) -> Iterator[TextEvent]:
        if self._said:
            yield TextEvent("", "retract", "text")

    def close(self) -> Iterator[TextEvent]:
        if self._said:
            yield TextEvent("", "end", "text")


class _Records:
    """JSON records, one a line, bare or as the data of server-sent events."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self._lines = _source.Lines()

    def feed(self, text: str) -> Iterator[TextEvent]:
        for line in self._lines.feed(text):
            yield from self._line(line)

    def close(self) -> Iterator[TextEvent]:
        yield from self._line(self._lines.close())
        yield from self._adapter.close()

    def _line(self, line: str) -> Iterator[TextEvent]:
        for record in _records(line) or ():
            yield from self._adapter.record(record)


class _Auto:
    """Passes plain text on until a record of a known format appears, then reads that format.

    A line is held back only while it may still turn out to be a record. What was passed on before
    the first record (a shell's greeting, a package manager's warning) is retracted.
    """

    def __init__(self) -> None:
        self._text = _Text()
        self._reader: _Text | _Records | None = None
        self._held: list[str] = []
        self._head = ""
        self._passing = False
        self._plain_lines = 0

    def feed(self, text: str) -> Iterator[TextEvent]:
        if self._reader is not None:
            yield from self._reader.feed(text)
            return
        start = 0
        while start < len(text) and self._reader is None:
            end = text.find("\n", start) + 1 or len(text)
            yield from self._piece(text[start:end])
            start = end
        if self._reader is not None and start < len(text):
            yield from self._reader.feed(text[start:])

    def close(self) -> Iterator[TextEvent]:
        if self._held and self._reader is None:
            yield from self._decide("".join(self._held), final=True)
        yield from (self._reader or self._text).close()

    def _piece(self, piece: str) -> Iterator[TextEvent]:
        """A whole line or a part of one."""
        if self._passing:
            yield from self._text.feed(piece)
        else:
            self._held.append(piece)
            self._head += piece[: max(0, _HEAD - len(self._head))]
            if piece.endswith("\n"):
                yield from self._decide("".join(self._held))
            elif not _may_be_record(self._head):
                self._passing = True
                yield from self._text.feed("".join(self._held))
                self._held = []
        if piece.endswith("\n"):
            self._plain_lines += self._passing
            self._passing, self._head = False, ""
            if self._plain_lines >= _PLAIN_LINES and self._reader is None and not self._held:
                self._reader = self._text

    def _decide(self, lines: str, final: bool = False) -> Iterator[TextEvent]:
        """Tell what a held line is; fields of a server-sent event wait for its data."""
        line = lines.rstrip("\n").rpartition("\n")[2]
        records = _records(line)
        if records is None and not final and line.startswith(_EVENT_FIELDS):
            return
        self._held = []
        for record in records or ():
            for name, adapter in _ADAPTERS.items():
                if adapter.recognises(record):
                    self._reader = _Records(_ADAPTERS[name]())
                    yield from self._text.retract()
                    yield from self._reader.feed(line + "\n")
                    return
        if not records:  # JSON of no known format is for nobody's ears
            self._plain_lines += 1
            yield from self._text.feed(lines)


_EVENT_FIELDS = ("event:", "id:", "retry:", ":")
_HEAD = 64


def _may_be_record(head: str) -> bool:
    head = head.lstrip(" \t\ufeff")
    if head[:1] == "[":
        return head[1:].lstrip(" \t")[:1] in ("", "{")
    return head[:1] in ("", "{") or any(
        head.startswith(field) or field.startswith(head) for field in ("data:", *_EVENT_FIELDS)
    )


def _records(line: str) -> list[dict[str, Any]] | None:
    """The JSON objects of a line; None if it holds no JSON object or array."""
    line = line.strip().lstrip("\ufeff")
    if line.startswith("data:"):
        line = line[5:].strip()
        if line == "[DONE]":
            return []
    if line[:1] not in ("{", "["):
        return None
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    values = value if isinstance(value, list) else [value]
    return [record for record in values if isinstance(record, dict)]
