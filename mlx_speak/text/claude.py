"""Claude Code's stream-json (`claude -p --output-format stream-json --verbose`).

What is said comes twice: token by token in `stream_event` lines, raw events of the Messages API,
if `--include-partial-messages` is given; and block by block in `assistant` lines, the snapshots.
Either may be missing, late, repeated or broken off. Field meanings are those of the type
declarations in the npm package @anthropic-ai/claude-agent-sdk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .adapters import Adapter, TextEvent, failure, mapping, sequence, string


@dataclass
class _Block:
    """A text block: what was emitted of it, and how far the deltas have come."""

    parts: list[str] = field(default_factory=list)
    emitted: int = 0
    streamed: int = 0
    settled: bool = False
    """Whether its snapshot has arrived."""


@dataclass
class _Message:
    name: str
    blocks: list[_Block] = field(default_factory=list)
    by_index: dict[Any, _Block] = field(default_factory=dict)
    apart: bool = True
    """Whether the next text block starts a new paragraph: a tool call or thought came between.
    Without one the next block continues the sentence (citations cut text into blocks)."""


class Claude(Adapter):
    """Merges deltas and snapshots of the main conversation; subagents are not heard."""

    def __init__(self) -> None:
        super().__init__()
        self._messages: dict[str, _Message] = {}
        self._streaming: _Message | None = None
        self._by_line: dict[str, str] = {}  # uuid of a snapshot line -> message
        self._said: set[str] = set()  # messages heard in this turn
        self._failures: set[str] = set()  # failures told in this turn
        self._count = 0

    @staticmethod
    def recognises(record: dict[str, Any]) -> bool:
        kind = record.get("type")
        return (
            (kind in ("system", "result") and isinstance(record.get("subtype"), str))
            or (kind in ("assistant", "user") and isinstance(record.get("message"), dict))
            or (kind == "stream_event" and isinstance(record.get("event"), dict))
            or (kind == "rate_limit_event" and "session_id" in record)
        )

    def record(self, record: dict[str, Any]) -> Iterator[TextEvent]:
        if record.get("parent_tool_use_id") is not None:
            return
        kind = record.get("type")
        if kind == "stream_event":
            yield from self._event(mapping(record.get("event")))
        elif kind == "assistant":
            yield from self._snapshot(record)
        elif kind == "result":
            yield from self._result(record)
        elif kind == "system":
            yield from self._supersede(record.get("retracted_message_uuids"))
        elif kind == "user" and self._streaming is None:
            yield from self._end()

    # Deltas

    def _event(self, event: dict[str, Any]) -> Iterator[TextEvent]:
        kind = event.get("type")
        if kind == "message_start":
            if self._streaming:  # the last attempt broke off; this one says it anew
                yield from self._withdraw(self._streaming.name)
            self._streaming = self._new_message(string(mapping(event.get("message")).get("id")))
        elif kind == "content_block_start":
            content = mapping(event.get("content_block"))
            message = self._streamed_message()
            if content.get("type") == "text":
                self._block(message, event, new=True)
                yield from self._delta(message, event, string(content.get("text")))
            else:
                yield from self._part(message)
        elif kind == "content_block_delta":
            delta = mapping(event.get("delta"))
            if delta.get("type") == "text_delta":
                yield from self._delta(self._streamed_message(), event, string(delta.get("text")))
        elif kind == "message_stop":
            self._streaming = None
            yield from self._end()

    def _streamed_message(self) -> _Message:
        """The message being streamed; one without id if its start was not seen."""
        if self._streaming is None:
            self._streaming = self._new_message("")
        return self._streaming

    def _block(self, message: _Message, event: dict[str, Any], new: bool = False) -> _Block:
        index = event.get("index")
        index = index if isinstance(index, int) else -1
        if new or index not in message.by_index:
            message.by_index[index] = _Block()
            message.blocks.append(message.by_index[index])
        return message.by_index[index]

    def _delta(self, message: _Message, event: dict[str, Any], text: str) -> Iterator[TextEvent]:
        block = self._block(message, event)
        ahead = block.emitted - block.streamed  # a snapshot came before its last deltas
        block.streamed += len(text)
        yield from self._emit(message, block, text[max(0, ahead) :])

    # Snapshots

    def _snapshot(self, record: dict[str, Any]) -> Iterator[TextEvent]:
        yield from self._supersede(record.get("supersedes"))
        uuid = string(record.get("uuid"))
        if uuid and uuid in self._by_line:
            return
        snapshot = mapping(record.get("message"))
        identity = string(snapshot.get("id"))
        streaming = self._streaming
        if streaming and streaming.name in self._messages and identity not in self._messages:
            yield from self._break_off(streaming)  # answered anew, this time in one piece
        message = self._message(identity)
        if uuid:
            self._by_line[uuid] = message.name
        if record.get("aborted"):
            yield from self._break_off(message)
            return
        content = snapshot.get("content")
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        blocks = [mapping(block) for block in sequence(content)]
        if record.get("error"):
            if self._streaming:
                yield from self._break_off(self._streaming)
            yield from self._fail("".join(string(block.get("text")) for block in blocks))
            return
        for block in blocks:
            if block.get("type") == "text":
                yield from self._settle(message, string(block.get("text")))
            else:
                yield from self._part(message)

    def _message(self, identity: str) -> _Message:
        """The message of a snapshot, which may be the one whose start was not seen."""
        if identity in self._messages:
            return self._messages[identity]
        streaming = self._streaming
        if streaming and (not identity or streaming not in self._messages.values()):
            self._messages[identity] = streaming
            return streaming
        return self._new_message(identity)

    def _settle(self, message: _Message, text: str) -> Iterator[TextEvent]:
        """Emit what a snapshot adds to its block. Snapshots have no index, but keep the order."""
        for block in message.blocks:
            emitted = "".join(block.parts)
            if block.settled:
                if text == emitted:
                    return
                continue
            block.parts = [emitted]
            if text.startswith(emitted) or emitted.startswith(text):
                block.settled = True
                yield from self._emit(message, block, text[len(emitted) :])
                return
            core = emitted.strip()  # a snapshot's ends may be trimmed
            if core and text.strip().startswith(core):
                block.settled = True
                rest = text.strip()[len(core) :]
                yield from self._emit(
                    message, block, rest.lstrip() if emitted[-1].isspace() else rest
                )
                return
        if message.blocks and not message.apart:
            last = message.blocks[-1]
            emitted = "".join(last.parts)
            if emitted and text.startswith(emitted):  # the same block, further on
                yield from self._emit(message, last, text[len(emitted) :])
                return
        block = _Block(settled=True)
        message.blocks.append(block)
        yield from self._emit(message, block, text)

    # Both

    def _new_message(self, identity: str) -> _Message:
        self._count += 1
        message = _Message(identity or f"message-{self._count}")
        if identity:
            self._messages[identity] = message
        return message

    def _emit(self, message: _Message, block: _Block, text: str) -> Iterator[TextEvent]:
        if text:
            block.parts.append(text)
            block.emitted += len(text)
            message.apart = False
            self._said.add(message.name)
            yield from self._say(message.name, text)

    def _part(self, message: _Message) -> Iterator[TextEvent]:
        """A block that is not text: the sentence before it ends here."""
        if not message.apart:
            message.apart = True
            yield from self._say(message.name, "\n\n")

    def _supersede(self, uuids: object) -> Iterator[TextEvent]:
        """Withdraw the messages that lines were part of, whose uuids are given."""
        named = [string(uuid) for uuid in sequence(uuids)]
        names = [self._by_line.get(uuid) or (uuid in self._messages and uuid) for uuid in named]
        for name in dict.fromkeys(filter(None, names)):
            yield from self._withdraw(str(name))

    def _withdraw(self, name: str) -> Iterator[TextEvent]:
        if name in self._said:
            self._said.discard(name)
            yield from self._retract(name)

    def _break_off(self, message: _Message) -> Iterator[TextEvent]:
        if message is self._streaming:
            self._streaming = None
        yield from self._withdraw(message.name)

    def _fail(self, text: str) -> Iterator[TextEvent]:
        text = failure(text)
        if text and text not in self._failures:
            self._failures.add(text)
            self._count += 1
            yield from self._say(f"failure-{self._count}", text)
            yield from self._end()

    def _result(self, record: dict[str, Any]) -> Iterator[TextEvent]:
        """The end of a turn. A failed request is a "success" here, with `is_error` set."""
        subtype, text = string(record.get("subtype")), string(record.get("result"))
        if record.get("is_error") or subtype.startswith("error"):
            if self._streaming:
                yield from self._break_off(self._streaming)
            yield from self._end()
            if not string(record.get("terminal_reason")).startswith("aborted"):  # by the user
                errors = [string(error) for error in sequence(record.get("errors"))]
                causes = [text, *errors, subtype.replace("_", " ").capitalize()]
                yield from self._fail(next(filter(None, causes), ""))
        else:
            yield from self._end()
            if not self._said:  # otherwise it repeats what was said last
                self._count += 1
                yield from self._say(f"result-{self._count}", text)
                yield from self._end()
        self._streaming = None
        self._messages.clear()
        self._by_line.clear()
        self._said.clear()
        self._failures.clear()
        self._turn += 1
