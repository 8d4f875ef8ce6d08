"""Reading streams: formats, how they are told apart, and sources of bytes."""

from __future__ import annotations

import io
import json
import os
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from text.spoken import lines, pieces, sentences, snapshot, text_of

import mlx_speak
from mlx_speak.text import FORMATS, TextEvent, read_stream
from mlx_speak.text.clean import Cleaner

CODEX = lines(
    {"type": "thread.started", "thread_id": "t"},
    {"type": "turn.started"},
    {"type": "item.completed", "item": {"id": "i0", "type": "reasoning", "text": "Hm."}},
    {"type": "item.started", "item": {"id": "i1", "type": "command_execution", "command": "ls"}},
    {"type": "item.updated", "item": {"id": "i2", "type": "agent_message", "text": "Two "}},
    {"type": "item.completed", "item": {"id": "i2", "type": "agent_message", "text": "Two files."}},
    {"type": "turn.completed", "usage": {}},
    {"type": "turn.started"},
    {"type": "item.completed", "item": {"id": "i2", "type": "agent_message", "text": "Two more."}},
    {"type": "error", "message": "Reconnecting... 1/5"},
    {"type": "turn.failed", "error": {"message": 'Stream lost: {"code": 500}'}},
)
GEMINI = lines(
    {"type": "init", "session_id": "s", "model": "gemini"},
    {"type": "message", "role": "user", "content": "How many?"},
    {"type": "message", "role": "assistant", "content": "Let me ", "delta": True},
    {"type": "message", "role": "assistant", "content": "look.", "delta": True},
    {"type": "tool_use", "tool_name": "ls"},
    {"type": "tool_result", "output": "a b"},
    {"type": "message", "role": "assistant", "content": "There are ", "delta": True},
    {"type": "message", "role": "assistant", "content": "There are two."},
    {"type": "result", "status": "error", "error": {"message": "Quota exceeded"}},
)


def chunk(text: str | None, finish: str | None = None) -> dict:
    delta = {"role": "assistant"} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    other = {"index": 1, "delta": {"content": "Another choice."}}
    return {"id": "c", "object": "chat.completion.chunk", "choices": [choice, other]}


OPENAI = [chunk(None), chunk("There are "), chunk("two."), chunk(None, "stop")]
SSE = (
    b": keep-alive\n\n"
    + b"".join(b"event: message\ndata: " + lines(record) + b"\n" for record in OPENAI)
    + b"data: [DONE]\n\n"
)
SPOKEN = {
    "codex": (CODEX, ["Two files.", "Two more.", "Stream lost"]),
    "gemini": (GEMINI, ["Let me look.", "There are two.", "Quota exceeded"]),
    "openai": (lines(*OPENAI), ["There are two."]),
    "claude": (lines(snapshot("m", "There are two.")), ["There are two."]),
    "text": (b"There are two.\n", ["There are two."]),
}


KEYS = (
    "type event message delta content text index id item choices role error content_block "
    "subtype result uuid parent_tool_use_id"
)
VALUES = (
    "assistant user result system stream_event text text_delta message_start message_stop "
    "content_block_start content_block_delta item.completed agent_message message success error"
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS.split()) | st.text(max_size=4),
            inner | st.sampled_from(VALUES.split()),
            max_size=6,
        )
    ),
    max_leaves=12,
)
"""JSON that looks like the records of some format and is none."""


@pytest.mark.parametrize("format", SPOKEN)
def test_format(format):
    stream, expected = SPOKEN[format]
    assert sentences(stream, format) == expected
    assert sentences(stream, "auto") == expected


def test_openai_as_server_sent_events():
    assert sentences(SSE, "openai") == ["There are two."]
    assert sentences(SSE) == ["There are two."]
    assert sentences(SSE.replace(b"\n", b"\r\n")) == ["There are two."]


def test_openai_in_its_other_shapes():
    whole = {"choices": [{"message": {"content": [{"type": "text", "text": "Two."}]}}]}
    assert sentences(lines(whole)) == ["Two."]
    responses = lines(
        {"type": "response.created"},
        {"type": "response.output_text.delta", "item_id": "i", "delta": "Tw"},
        {"type": "response.output_text.delta", "item_id": "i", "delta": "o."},
        {"type": "response.output_text.done", "item_id": "i", "text": "Two."},
    )
    assert sentences(responses) == ["Two."]
    error = lines(chunk("Two "), {"error": {"message": "Rate limit reached"}})
    assert sentences(error, "openai") == ["Two", "Rate limit reached"]


def test_messages_end():
    ends = [e.message for e in read_stream(CODEX) if e.kind == "end"]
    assert ends == ["turn-1-i2", "turn-2-i2", "turn-2-failed"]


class TestAuto:
    def test_text_is_not_held_back(self):
        """Each character of plain text is handed on before the next is read."""
        taken = []

        def source():
            for character in "Hello, world. {x}":
                taken.append(character)
                yield character

        for event in read_stream(source()):
            if event.kind == "text":
                assert event.text == taken[-1]

    def test_a_line_that_may_be_a_record_is_held_until_it_ends(self):
        texts = [e.text for e in read_stream(iter(["{", '"a', "\n", "{b}", " c\n", "d"]))]
        assert texts == ['{"a\n', "{b} c\n", "d", ""]

    def test_noise_before_the_first_record_is_withdrawn(self):
        stream = b"npm warn old\n\n" + lines(snapshot("m", "Hello."))
        assert [e.kind for e in read_stream(stream)] == ["text", "text", "retract", "text", "end"]
        assert sentences(stream) == ["Hello."]

    def test_text_that_looks_like_fields_of_events(self):
        assert sentences(b"event: the party\nid: none\ndata: lost\n") == [
            "event: the party id: none data: lost"
        ]
        assert sentences(b": a\n") == [": a"]

    def test_json_of_no_known_format_is_not_spoken(self):
        assert sentences(b'{"level": "info", "msg": "Hi."}\nHello.\n') == ["Hello."]

    def test_records_far_into_a_text_are_text(self):
        text = b"A line of prose.\n\n" * 30
        assert sentences(text + lines(snapshot("m", "No.")))[:30] == ["A line of prose."] * 30
        assert "retract" not in [e.kind for e in read_stream(text + lines(snapshot("m", "No.")))]

    def test_nothing(self):
        assert list(read_stream(b"")) == []
        assert list(read_stream(b"\n\n")) == [
            TextEvent("\n", "text", "text"),
            TextEvent("\n", "text", "text"),
            TextEvent("", "end", "text"),
        ]

    @given(st.sampled_from([*SPOKEN]), st.lists(st.integers(0, 1500), max_size=20))
    def test_any_split(self, format, cuts):
        stream, expected = SPOKEN[format]
        assert sentences(pieces(stream, cuts)) == expected


class TestSource:
    stream = "Ação. 日本語。\n".encode()
    text = "Ação. 日本語。\n"

    @pytest.mark.parametrize(
        "make",
        [
            lambda data: data,
            lambda data: data.decode(),
            bytearray,
            memoryview,
            io.BytesIO,
            lambda data: io.StringIO(data.decode()),
            lambda data: io.TextIOWrapper(io.BytesIO(data), "ascii"),
            lambda data: io.BufferedReader(io.BytesIO(data)),
            lambda data: [data[:3], data[3:]],
            lambda data: (bytes([byte]) for byte in data),
            lambda data: iter(data.decode()),
            lambda data: b"\xef\xbb\xbf" + data,
        ],
    )
    def test_kinds(self, make):
        assert text_of(read_stream(make(self.stream), "text")) == self.text

    @pytest.mark.parametrize("mode", ["rb", "r"])
    def test_a_pipe_is_read_as_it_fills(self, mode):
        """What a writer has written is handed on while the pipe stays open."""
        reading, writing = os.pipe()
        with open(reading, mode) as file:
            events = read_stream(file, "text")
            for text in ("One. ", "Two. "):
                threading.Timer(0.05, os.write, (writing, text.encode())).start()
                began = time.monotonic()
                assert next(events).text == text
                assert time.monotonic() - began < 5  # a full buffer would never come
            os.close(writing)
            assert [e.kind for e in events] == ["end"]

    def test_a_pipe_that_does_not_block(self):
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        threading.Timer(0.05, lambda: (os.write(writing, b"Hi."), os.close(writing))).start()
        with open(reading, "rb", buffering=0) as file:
            assert text_of(read_stream(file)) == "Hi."

    def test_a_terminal_that_hangs_up(self):
        ours, theirs = os.openpty()
        os.write(theirs, b"Hi.\n")
        with open(ours, "rb", buffering=0) as file:
            events = read_stream(file)
            assert next(events).text == "Hi.\n"
            os.close(theirs)
            assert [e.kind for e in events] == ["end"]

    def test_other_errors_are_not_hidden(self, tmp_path):
        with (tmp_path / "f").open("wb") as file, pytest.raises(io.UnsupportedOperation):
            list(read_stream(file))

    def test_refusals(self):
        with pytest.raises(ValueError, match="unknown format 'xml'; known are auto, claude"):
            read_stream(b"", "xml")
        with pytest.raises(TypeError, match="cannot read a stream from NoneType"):
            read_stream(None)
        with pytest.raises(TypeError, match="bytes or str, not int"):
            list(read_stream([1, 2]))


class TestHarmless:
    """Nothing that a stream holds raises or hangs."""

    @given(st.binary(max_size=400), st.sampled_from(FORMATS))
    def test_any_bytes(self, data, format):
        sentences(data, format)

    @given(st.text(st.characters(), max_size=200), st.lists(st.integers(0, 200), max_size=5))
    def test_any_text(self, text, cuts):
        assert sentences(pieces(text, cuts), "text") == sentences(text, "text")

    @given(JSON, st.sampled_from(FORMATS))
    def test_any_json(self, value, format):
        sentences(json.dumps([value, value]) + "\n" + json.dumps(value), format)

    @pytest.mark.parametrize("part", [*"a{`[<*|.>\\& ", "\0", "\ufffd", "[a ", "<a ", "a. ", "> "])
    def test_a_long_line_of_anything(self, part):
        """Linear time: 128 KiB take below a second, and quadratic time would take minutes."""
        began = time.monotonic()
        sentences(part * 16_384 for _ in range(8 // len(part)))
        assert time.monotonic() - began < 20

    def test_cut_off_anywhere(self):
        for stream, expected in SPOKEN.values():
            for end in range(0, len(stream), 7):
                for sentence in sentences(stream[:end]):
                    assert any(e.startswith(sentence.rstrip()) for e in expected) or "{" in sentence


class TestCleaner:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("\x1b[1;31mred\x1b[0m", "red"),
            ("\x1b]0;title\x07a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "alink"),
            ("\x1bP1$r\x1b\\a\x1b(Bb\x1b=c\x9b2Jd", "abcd"),
            ("a\x1b[31\nb\x1b]0;lost\nc", "a\nb\nc"),
            ("a\x00b\x07c\x7fd\x08e", "abcde"),
            ("a\r\nb\rc\x0bd\u2028e\x85f", "a\nb\nc\nd\ne\nf"),
            ("\ufeffa\u200bb\u202ec\u2066d\ue000e\ufffdf", "abcdef"),
            ("\ud835\udfd8 \ud835 \udfd8", "\U0001d7d8  "),
            ("tab\tand é, 👩\u200d💻, نمی\u200cخواهم", "tab\tand é, 👩\u200d💻, نمی\u200cخواهم"),
            ("a\x1b", "a"),
        ],
    )
    def test_what_is_left(self, text, expected):
        cleaner = Cleaner()
        assert cleaner.feed(text) + cleaner.close() == expected
        assert "".join(cleaner.feed(c) for c in text) + cleaner.close() == expected

    @given(
        st.text(
            st.sampled_from("ab\x1b[]0;1mP\\^_\x07\x9b\x9d\x9c\r\n\x00\ud83d\ude00 ("),
            max_size=60,
        ),
        st.lists(st.integers(0, 60), max_size=8),
    )
    def test_any_split(self, text, cuts):
        whole = Cleaner()
        expected = whole.feed(text) + whole.close()
        parts = Cleaner()
        assert "".join(map(parts.feed, pieces(text, cuts))) + parts.close() == expected

    def test_across_the_events_of_a_message(self):
        stream = ["\x1b[3", "1mred", "\x1b", "[0m.", "\r"]
        assert text_of(read_stream(iter(stream), "text")) == "red.\n"


def test_it_is_public():
    assert mlx_speak.read_stream is read_stream
