"""A whole session, spoken: the one that `make speak` plays."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from text.spoken import pieces, sentences

SESSION = Path(__file__).parents[2] / "examples/sessions/claude.jsonl"
STREAM = SESSION.read_bytes()
SPOKEN = [
    "I'll look at why the upload test fails.",
    "The test fails because retry upload never waits between attempts.",
    "I'll ask a helper to check its callers.",
    "Only the backup script calls it, so the change is safe.",
    "Here is the fix:",
    "Python code.",
    "It changes two things:",
    "The delay doubles after each attempt.",
    "A network error no longer counts as success.",
    "Results.",
    "OK: All 48 tests pass now, e.g. the slow one on line 212.",
    "A table.",
    "Read the pull request before you merge it.",
    "Shall I also update the changelog?",
]


def test_what_is_spoken():
    assert sentences(STREAM) == SPOKEN
    assert sentences(SESSION.open("rb"), "claude") == SPOKEN


def without(*kinds: str) -> bytes:
    """The stream without the lines of some kinds."""
    kept = [line for line in STREAM.splitlines() if json.loads(line)["type"] not in kinds]
    return b"\n".join(kept)


def test_with_and_without_partial_messages():
    assert sentences(without("stream_event")) == SPOKEN


def test_with_partial_messages_alone():
    assert sentences(without("assistant", "result")) == SPOKEN


def test_with_the_result_alone():
    assert sentences(without("stream_event", "assistant")) == SPOKEN[-5:]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, len(STREAM)), max_size=60))
def test_any_split_of_the_bytes(cuts):
    assert sentences(pieces(STREAM, cuts)) == SPOKEN


def test_byte_by_byte():
    assert sentences(bytes([byte]) for byte in STREAM) == SPOKEN


@settings(max_examples=25, deadline=None)
@given(st.integers(0, len(STREAM)))
def test_cut_off_anywhere(end):
    """A stream that breaks off says a beginning of what the whole one says."""
    found = sentences(STREAM[:end])
    assert found[:-1] == SPOKEN[: max(0, len(found) - 1)]
