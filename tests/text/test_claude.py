"""Claude Code's stream-json: each way in which it says things twice, late, or not at all."""

from __future__ import annotations

import json
import random

import pytest
from text.spoken import (
    STOP,
    TOOL,
    block,
    block_stop,
    delta,
    event,
    heard,
    lines,
    result,
    sentences,
    snapshot,
    start,
    text_of,
)

from mlx_speak.text import TextEvent, read_stream


def said(*records: dict) -> str:
    """The text of a stream, without the breaks that tool calls put in."""
    return text_of(read_stream(lines(*records), "claude")).replace("\n\n", "|").strip("|")


def events(*records: dict) -> list[TextEvent]:
    return list(read_stream(lines(*records), "claude"))


def test_deltas_and_snapshot_are_said_once():
    stream = (
        start("m"),
        block(0),
        delta(0, "Two "),
        delta(0, "words."),
        snapshot("m", "Two words."),
        block_stop(0),
        STOP,
    )
    assert events(*stream, result("Two words.")) == [
        TextEvent("Two ", "text", "m"),
        TextEvent("words.", "text", "m"),
        TextEvent("", "end", "m"),
    ]


class TestOneLineABlock:
    """Pitfall 1: one assistant line per content block; they share the message's id."""

    def test_blocks_of_one_message(self):
        stream = (
            snapshot("m", {"type": "thinking", "thinking": "Hm."}),
            snapshot("m", "First."),
            snapshot("m", TOOL),
            snapshot("m", "Second."),
        )
        assert said(*stream) == "First.|Second."

    def test_a_line_that_comes_again_is_not_said_again(self):
        first = snapshot("m", "First.", uuid="u1")
        assert said(first, first, snapshot("m", "First."), snapshot("m", "Next.")) == "First.Next."

    def test_a_snapshot_may_hold_the_blocks_before_it(self):
        stream = (
            snapshot("m", "First."),
            snapshot("m", "First.", TOOL),
            snapshot("m", "First.", TOOL, "Last."),
        )
        assert said(*stream) == "First.|Last."

    def test_another_message_may_say_the_same(self):
        assert said(snapshot("a", "Done."), snapshot("b", "Done.")) == "Done.Done."

    def test_text_blocks_in_a_row_continue_the_sentence(self):
        stream = (snapshot("m", "According to "), snapshot("m", "the manual, it works."))
        assert sentences(lines(*stream)) == ["According to the manual, it works."]


class TestSnapshotBeforeOrAfterStop:
    """Pitfall 2: the snapshot may arrive before or after content_block_stop."""

    @pytest.mark.parametrize("late", [0, 1, 2, 3, 4])
    def test_at_any_place(self, late):
        stream = [block_stop(0), block(1, "tool_use"), block_stop(1), STOP]
        stream.insert(late, snapshot("m", "It is late."))
        assert said(start("m"), block(0), delta(0, "It is late."), *stream) == "It is late."

    def test_before_its_last_deltas(self):
        stream = (
            start("m"),
            block(0),
            delta(0, "It is "),
            snapshot("m", "It is early."),
            delta(0, "early"),
            delta(0, "."),
            block_stop(0),
            STOP,
        )
        assert said(*stream) == "It is early."


class TestStalledStream:
    """Pitfall 3: one delta, then only a snapshot."""

    def test_the_snapshot_adds_the_rest(self):
        assert said(start("m"), block(0), delta(0, "The"), snapshot("m", "The rest.")) == (
            "The rest."
        )

    def test_a_block_without_deltas(self):
        assert said(start("m"), block(0), snapshot("m", "All of it.")) == "All of it."

    def test_the_start_was_missed(self):
        assert said(delta(0, "The"), snapshot("m", "The rest."), STOP) == "The rest."

    def test_a_snapshot_that_was_trimmed(self):
        stream = (start("m"), block(0), delta(0, "\n\nThe "), snapshot("m", "The rest."))
        assert said(*stream).strip("|") == "The rest."

    def test_two_blocks_of_which_the_second_stalled(self):
        stream = (
            start("m"),
            block(0),
            delta(0, "One."),
            snapshot("m", "One."),
            block_stop(0),
            block(1, "tool_use"),
            block(2),
            delta(2, "Tw"),
            snapshot("m", "Two."),
        )
        assert said(*stream) == "One.|Two."


class TestRetry:
    """Pitfall 4: what was begun and then said anew, replaced or interrupted is withdrawn."""

    def test_a_new_start_without_stop(self):
        stream = (
            start("a"),
            block(0),
            delta(0, "It fails. Because"),
            start("b"),
            block(0),
            delta(0, "It passes."),
            STOP,
        )
        assert [(e.kind, e.message) for e in events(*stream) if e.kind != "text"] == [
            ("retract", "a"),
            ("end", "b"),
        ]
        assert sentences(lines(*stream)) == ["It passes."]

    def test_the_same_message_anew(self):
        stream = (start("a"), block(0), delta(0, "It f"), start("a"), block(0), delta(0, "It p."))
        assert sentences(lines(*stream, STOP)) == ["It p."]

    def test_an_answer_in_one_piece_instead(self):
        stream = (start("a"), block(0), delta(0, "It fai"), snapshot("b", "It passes."))
        assert sentences(lines(*stream)) == ["It passes."]

    def test_a_new_start_after_a_stop_withdraws_nothing(self):
        stream = (start("a"), block(0), delta(0, "One."), STOP, start("b"), delta(0, "Two."))
        assert sentences(lines(*stream)) == ["One.", "Two."]

    def test_supersedes(self):
        stream = (
            snapshot("a", "I refuse.", uuid="u1"),
            snapshot("b", "I comply.", uuid="u2", supersedes=["u1", "unknown"]),
        )
        assert TextEvent("", "retract", "a") in events(*stream)
        assert sentences(lines(*stream)) == ["I comply."]

    def test_a_notice_of_retraction(self):
        notice = {
            "type": "system",
            "subtype": "model_refusal_fallback",
            "retracted_message_uuids": ["u1"],
        }
        assert sentences(lines(snapshot("a", "No.", uuid="u1"), notice)) == []

    def test_aborted(self):
        aborted = snapshot("a", "I was ab", aborted=True)
        stream = (start("a"), block(0), delta(0, "I was ab"), aborted)
        assert events(*stream)[-1] == TextEvent("", "retract", "a")
        assert sentences(lines(*stream)) == []


class TestResult:
    """Pitfall 5: the result repeats the last text."""

    def test_it_is_not_said_again(self):
        assert said(snapshot("m", "Done."), result("Done.")) == "Done."

    def test_it_is_said_if_nothing_was(self):
        assert said(result("Done.")) == "Done."
        assert said(snapshot("m", TOOL), result("Done.")) == "Done."

    def test_in_every_turn(self):
        assert said(snapshot("m", "One."), result("One."), result("Two.")) == "One.Two."

    def test_a_single_json_document(self):
        document = json.dumps([{"type": "system", "subtype": "init"}, result("Done.")])
        assert text_of(read_stream(document.encode())) == "Done."


def test_subagents_are_not_heard():
    """Pitfall 6: lines with a parent are a subagent's."""
    sub = {"parent_tool_use_id": "toolu_1"}
    stream = (
        snapshot("a", "I ask."),
        {**start("s"), **sub},
        {**delta(0, "Searching."), **sub},
        snapshot("s", "Searching.", **sub),
        {"type": "user", "message": {"role": "user", "content": "Search!"}, **sub},
        snapshot("b", "It is found.", parent_tool_use_id=None),
    )
    assert sentences(lines(*stream)) == ["I ask.", "It is found."]


class TestFailure:
    """Pitfall 7: a failed request is a "success" with is_error set."""

    error = 'API Error: 529 {"type":"error","error":{"type":"overloaded_error"}}'

    def test_it_is_told_briefly(self):
        assert said(result(self.error, is_error=True)) == "API Error: 529"

    def test_it_is_told_once(self):
        line = snapshot("x", self.error, error="server_error")
        assert said(line, result(self.error, is_error=True)) == "API Error: 529"

    def test_what_broke_off_is_withdrawn(self):
        stream = (start("a"), block(0), delta(0, "It is"), result(self.error, is_error=True))
        assert sentences(lines(*stream)) == ["API Error: 529"]

    def test_what_was_complete_is_not(self):
        stream = (snapshot("a", "It works."), result(self.error, is_error=True))
        assert sentences(lines(*stream)) == ["It works.", "API Error: 529"]

    def test_an_error_without_text(self):
        failed = {"type": "result", "subtype": "error_max_turns", "is_error": True}
        assert said(failed) == "Error max turns"
        assert said({**failed, "errors": ["Too many turns: 5\nat run"]}) == "Too many turns: 5"

    def test_an_interruption_is_no_failure(self):
        interrupted = {
            "type": "result",
            "subtype": "error_during_execution",
            "is_error": True,
            "terminal_reason": "aborted_streaming",
            "errors": ["[diagnostic] stop_reason=null"],
        }
        stream = (start("a"), block(0), delta(0, "It is"), snapshot("a", "It is", aborted=True))
        assert sentences(lines(snapshot("z", "One."), *stream, interrupted)) == ["One."]


class TestLines:
    """Pitfall 8: keys in any order, lines that are no JSON, unterminated, or megabytes long."""

    def test_key_order(self):
        record = snapshot("m", "In order.")
        for seed in range(5):
            items = list(record.items())
            random.Random(seed).shuffle(items)
            assert said(dict(items)) == "In order."
        assert said({"message": record["message"], "type": "assistant"}) == "In order."

    def test_lines_that_are_no_records(self):
        stream = b"\n".join(
            [
                b"npm warn deprecated",
                lines(snapshot("a", "One.")),
                b"\xff\xfe\x00{{{",
                b"null",
                b"[1, 2]",
                b'{"type": "assistant"',
                b"[" * 100_000,
                b'{"type":' + b"9" * 10_000 + b"}",
                lines(snapshot("b", "Two.")),
            ]
        )
        assert sentences(stream) == ["One.", "Two."]
        assert sentences(stream, "claude") == ["One.", "Two."]

    def test_the_last_line_may_lack_its_end(self):
        assert sentences(lines(snapshot("m", "No end."))[:-1]) == ["No end."]
        assert sentences(lines(snapshot("m", "Whole."), snapshot("n", "Cut."))[:-9]) == ["Whole."]

    def test_separators_that_json_need_not_escape(self):
        record = json.dumps(snapshot("m", "One\u2028two."), ensure_ascii=False)
        assert sentences(record.encode()) == ["One two."]

    def test_a_line_of_ten_megabytes(self):
        big = {"type": "user", "message": {"content": "x" * 10_000_000}}
        assert sentences(lines(snapshot("a", "One."), big, snapshot("b", "Two."))) == [
            "One.",
            "Two.",
        ]

    def test_unknown_records_and_fields(self):
        stream = (
            {"type": "system", "subtype": "init", "tools": []},
            {"type": "rate_limit_event", "session_id": "s"},
            {"type": "tool_progress", "elapsed": 3},
            {"type": "from_the_future", "message": {"content": "Not this."}},
            event({"type": "ping"}),
            event({"type": "content_block_delta", "index": 0, "delta": {"type": "new_delta"}}),
            snapshot("m", {"type": "new_block", "text": "Nor this."}, "But this."),
        )
        assert sentences(lines(*stream)) == ["But this."]


class TestDeltas:
    """Pitfall 9: deltas split words, graphemes and the bytes of characters."""

    text = "Ação é 👩\u200d💻 naïve, 日本語だ。 It is done."

    def test_any_split_of_the_bytes(self):
        stream = "".join(
            json.dumps(r, ensure_ascii=False) + "\n"
            for r in (start("m"), block(0), *(delta(0, c) for c in self.text), STOP)
        ).encode()
        whole = sentences(stream)
        assert sentences([bytes([byte]) for byte in stream]) == whole
        assert " ".join(whole) == "Ação é naïve, 日本語だ。 It is done."

    def test_halves_of_a_surrogate_pair(self):
        halves = [rf'{{"type":"text_delta","text":"{half}"}}' for half in (r"\ud835", r"\udfd8")]
        stream = b"".join(
            b'{"type":"stream_event","event":{"type":"content_block_delta","index":0,"delta":%b}}\n'
            % half.encode()
            for half in halves
        )
        assert text_of(read_stream(stream)) == "\U0001d7d8"
        assert text_of(read_stream(stream[: len(stream) // 2])) == ""

    def test_thinking_is_not_heard(self):
        thought = {"type": "thinking_delta", "thinking": "Hm."}
        stream = (
            start("m"),
            block(0, "thinking"),
            event({"type": "content_block_delta", "index": 0, "delta": thought}),
            block_stop(0),
            block(1),
            delta(1, "Yes."),
            STOP,
        )
        assert said(*stream) == "Yes."


def test_a_tool_call_ends_the_sentence_before_it():
    """What precedes a tool call is spoken while the tool runs, not after."""
    stream = lines(start("m"), block(0), delta(0, "Let me look"), block(1, "tool_use"))
    assert [s.text for s in heard(read_stream(iter([stream])))] == ["Let me look"]


@pytest.mark.parametrize("odd", [None, 7, True, "text", [], [[]], {}, {"id": []}, [{"type": []}]])
def test_fields_of_any_type(odd):
    """No record raises, whatever its fields hold."""
    fields = ("type", "event", "message", "parent_tool_use_id", "supersedes", "uuid", "result")
    inner = ("type", "index", "delta", "content_block", "message", "id", "content", "errors")
    whole = (start("m"), block(0), delta(0, "x"), snapshot("m", "x y"), STOP, result("z"))
    for record in whole:
        for name in fields:
            events({**record, name: odd}, record)
        for name in inner:
            changed = dict(record)
            for part in ("event", "message"):
                if part in changed:
                    changed[part] = {**changed[part], name: odd}
            events(changed, record)
