"""From records to events: what the assistants' formats have in common, and the simpler ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class TextEvent:
    """A piece of what an assistant says, or news about a message of it."""

    text: str
    """New text, markdown; empty unless `kind` is "text"."""
    kind: Literal["text", "end", "retract"] = "text"
    """"end": the message is complete. "retract": all of it not yet spoken is withdrawn."""
    message: str = ""
    """Identifies the message that the event belongs to."""
    turn: int = 0
    """Counts the user's turns, where the format tells them: what belongs to an older one answers
    a question that the user has left behind."""


class Adapter:
    """Reads the records of one format, one after the other.

    Records come from other programs: any field may be missing or of any type, and no record
    raises. A message that has said something is open until it ends or is retracted.
    """

    def __init__(self) -> None:
        self._open = ""
        self._turn = 0

    @staticmethod
    def recognises(record: dict[str, Any]) -> bool:
        """Whether a record is of this format beyond doubt."""
        raise NotImplementedError

    def record(self, record: dict[str, Any]) -> Iterator[TextEvent]:
        """The events of the next record."""
        raise NotImplementedError

    def close(self) -> Iterator[TextEvent]:
        """The events due when the stream ends, in order or not."""
        yield from self._end()

    def _say(self, message: str, text: str) -> Iterator[TextEvent]:
        if not text:
            return
        if self._open != message:
            yield from self._end()
            self._open = message
        yield TextEvent(text, "text", message, self._turn)

    def _end(self) -> Iterator[TextEvent]:
        if self._open:
            yield TextEvent("", "end", self._open, self._turn)
            self._open = ""

    def _retract(self, message: str) -> Iterator[TextEvent]:
        if self._open == message:
            self._open = ""
        yield TextEvent("", "retract", message, self._turn)


class Codex(Adapter):
    """`codex exec --json`: items, of which agent messages are spoken; they may be updated."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, str] = {}

    @staticmethod
    def recognises(record: dict[str, Any]) -> bool:
        return string(record.get("type")).startswith(("thread.", "turn.", "item."))

    def record(self, record: dict[str, Any]) -> Iterator[TextEvent]:
        kind = string(record.get("type"))
        item = mapping(record.get("item"))
        if kind == "turn.started":
            yield from self._end()
            self._turn += 1
            self._said.clear()
        elif kind == "turn.failed":
            yield from self._end()
            message = string(mapping(record.get("error")).get("message"))
            yield from self._say(f"turn-{self._turn}-failed", failure(message))
            yield from self._end()
        elif kind.startswith("item.") and item.get("type") == "agent_message":
            # The turn is part of the name because item ids start anew in each.
            message = f"turn-{self._turn}-{string(item.get('id'))}"
            text, said = string(item.get("text")), self._said.get(message, "")
            if text.startswith(said):
                self._said[message] = text
                yield from self._say(message, text[len(said) :])
            if kind == "item.completed":
                yield from self._end()
                if not item.get("id"):
                    self._said.pop(message, None)


class Gemini(Adapter):
    """`gemini --output-format stream-json`: messages in deltas, ended by whatever else comes."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0
        self._parts: list[str] = []

    @staticmethod
    def recognises(record: dict[str, Any]) -> bool:
        kind = record.get("type")
        return (
            (kind == "init" and "session_id" in record)
            or (kind == "message" and record.get("role") in ("user", "assistant"))
            or (kind == "result" and "status" in record)
        )

    def record(self, record: dict[str, Any]) -> Iterator[TextEvent]:
        kind = record.get("type")
        if kind == "message" and record.get("role") == "assistant":
            if not self._open:
                self._count += 1
                self._parts = []
            text = string(record.get("content"))
            if not record.get("delta"):  # a whole message, perhaps after its own deltas
                said = "".join(self._parts)
                text = text[len(said) :] if text.startswith(said) else text
            self._parts.append(text)
            yield from self._say(f"message-{self._count}", text)
            if not record.get("delta"):
                yield from self._end()
        elif kind in ("message", "tool_use", "tool_result", "result"):
            yield from self._end()
            if kind == "result" and record.get("status") == "error":
                self._count += 1
                message = string(mapping(record.get("error")).get("message"))
                yield from self._say(f"message-{self._count}", failure(message))
                yield from self._end()
            self._turn += kind == "result"


class OpenAI(Adapter):
    """Chat completions and responses, as server-sent events, JSON lines or one whole answer."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    @staticmethod
    def recognises(record: dict[str, Any]) -> bool:
        return (
            isinstance(record.get("choices"), list)
            or string(record.get("object")).startswith("chat.completion")
            or string(record.get("type")).startswith("response.")
        )

    def record(self, record: dict[str, Any]) -> Iterator[TextEvent]:
        kind = string(record.get("type"))
        if kind == "response.output_text.delta":
            message = string(record.get("item_id")) or "response"
            yield from self._say(message, string(record.get("delta")))
        elif kind in ("response.output_text.done", "response.completed"):
            yield from self._end()
        elif error := mapping(record.get("error")):
            yield from self._end()
            yield from self._say("error", failure(string(error.get("message"))))
            yield from self._end()
        for choice in sequence(record.get("choices")):
            choice = mapping(choice)
            if choice.get("index", 0) == 0:
                yield from self._choice(string(record.get("id")), choice)

    def _choice(self, answer: str, choice: dict[str, Any]) -> Iterator[TextEvent]:
        content = mapping(choice.get("delta") or choice.get("message")).get("content")
        text = string(content) or "".join(
            string(mapping(part).get("text")) for part in sequence(content)
        )
        if not answer:  # some servers leave the id out: an answer lasts until it is finished
            self._count += not self._open
            answer = f"answer-{self._count}"
        yield from self._say(answer, text)
        if choice.get("finish_reason"):
            yield from self._end()


def failure(message: str) -> str:
    """The first line of an error message, without the JSON that programs append."""
    line = message.strip().partition("\n")[0].partition("{")[0]
    return line.strip(" \t:,-")[:200]


def mapping(value: object) -> dict[str, Any]:
    """`value` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> list[Any]:
    """`value` if it is a JSON array, else an empty one."""
    return value if isinstance(value, list) else []


def string(value: object) -> str:
    """`value` if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""
