"""Sentences: when they come, whose they are, and that none is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from text.spoken import pieces

from mlx_speak.errors import UnknownLanguageError
from mlx_speak.text import Sentence, SentenceReader, SentenceSplitter, TextEvent, split_sentences


class Clock:
    """A clock that goes when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reader(clock) -> SentenceReader:
    return SentenceReader("en", flush_after=0.5, stall_after=3.0, clock=clock)


def text(text: str, message: str = "m") -> TextEvent:
    return TextEvent(text, "text", message)


class TestReader:
    def test_a_sentence_comes_with_the_next_word(self, reader):
        assert reader.feed(text("It works. So")) == []
        assert reader.pending == "It works. So"
        assert [s.text for s in reader.feed(text("me da"))] == ["It works."]
        assert reader.pending == "Some da"
        assert [s.text for s in reader.close()] == ["Some da"]
        assert reader.pending == ""

    def test_a_question_comes_after_four_characters(self, reader):
        assert reader.feed(text("Does it? An")) == []
        assert [s.text for s in reader.feed(text("d so "))] == ["Does it?"]

    @pytest.mark.parametrize(
        "sentence",
        [
            "See Dr. Smith at 3.15 p.m. on p. 55, e.g. here.",
            "Version 1.2.3 of events.py is ready.",
            "He said “Stop. Now.” and left.",
            "Wait... what happened to node.js?",
        ],
    )
    def test_what_does_not_end_a_sentence(self, reader, sentence):
        found = [s.text for c in f"{sentence} It goes on." for s in reader.feed(text(c))]
        assert [*found, *(s.text for s in reader.close())] == [sentence, "It goes on."]

    def test_seen_is_when_the_last_character_arrived(self, reader, clock):
        found = []
        for part in ("One", ".", " Two is", " longer", ".", "\n\n"):
            clock.now += 1
            found += reader.feed(text(part))
        assert found == [Sentence("One.", "m", 102.0), Sentence("Two is longer.", "m", 105.0)]

    def test_an_end_completes_the_message(self, reader):
        reader.feed(text("No full stop"))
        assert [s.text for s in reader.feed(TextEvent("", "end", "m"))] == ["No full stop"]

    def test_another_message_completes_the_one_before(self, reader):
        reader.feed(text("One ```", "a"))
        found = reader.feed(text("Two. And three ", "b")) + reader.close()
        assert [(s.text, s.message) for s in found] == [
            ("One ```", "a"),
            ("Two.", "b"),
            ("And three", "b"),
        ]

    def test_a_message_starts_with_clean_blocks(self, reader):
        """A fence that one message left open does not swallow the next."""
        found = reader.feed(text("```\nx\n", "a")) + reader.feed(text("Hello.", "b"))
        assert [s.text for s in found + reader.close()] == ["Code.", "Hello."]

    def test_retract_withdraws_the_tail(self, reader):
        assert reader.feed(text("One. Two", "a")) == []
        assert reader.feed(TextEvent("", "retract", "a")) == []
        assert reader.pending == ""
        assert reader.close() == []

    def test_retract_of_another_message_leaves_the_tail(self, reader):
        reader.feed(text("One", "a"))
        assert reader.feed(TextEvent("", "retract", "b")) == []
        assert [s.text for s in reader.close()] == ["One"]

    def test_what_has_no_sound_is_no_sentence(self, reader):
        assert reader.feed(text("***\n\n---\n\n🎉\n\n...\n\n")) + reader.close() == []

    def test_languages(self):
        reader = SentenceReader("ja")
        found = reader.feed(text("終わりました。次はテストです。"))
        assert [s.text for s in found] == ["終わりました。"]
        with pytest.raises(UnknownLanguageError):
            SentenceReader("tlh")


class TestPoll:
    def test_a_complete_tail_is_flushed_soon(self, reader, clock):
        reader.feed(text("It works."))
        assert reader.poll() == []
        clock.now += 0.4
        assert reader.poll() == []
        clock.now += 0.2
        assert reader.poll() == [Sentence("It works.", "m", 100.0)]
        assert reader.poll() == []
        assert reader.close() == []

    def test_an_unfinished_tail_only_when_it_stalls(self, reader, clock):
        reader.feed(text("Continue? [y/N] "))
        clock.now += 2.9
        assert [s.text for s in reader.poll()] == []
        clock.now += 0.2
        assert [s.text for s in reader.poll()] == ["Continue?", "y/N"]

    def test_the_line_goes_on_after_a_flush(self, reader, clock):
        reader.feed(text("- It works."))
        clock.now += 1
        assert [s.text for s in reader.poll()] == ["It works."]
        assert [s.text for s in reader.feed(text(" And how\n- it"))] == ["And how."]

    def test_an_open_link_is_waited_for(self, reader, clock):
        reader.feed(text("See [the docs. They"))
        clock.now += 1
        assert reader.poll() == []
        assert [s.text for s in reader.feed(text(" say](x) so.\n\n"))] == [
            "See the docs.",
            "They say so.",
        ]

    def test_silence_between_messages_is_no_tail(self, reader, clock):
        reader.feed(text("```\ncode\n"))
        clock.now += 60
        assert reader.poll() == []


class TestLongSentences:
    def test_they_are_cut_between_clauses(self):
        clause = "and so it goes on and on without a full stop"
        reader = SentenceReader(max_length=100)
        found = reader.feed(text(", ".join([clause] * 20))) + reader.close()
        assert [s.text for s in found] == [f"{clause}, {clause},"] * 9 + [f"{clause}, {clause}"]

    def test_else_between_words_else_anywhere(self):
        words = SentenceReader(max_length=50)
        assert {len(s.text) for s in words.feed(text("word " * 100))} == {49}
        letters = SentenceReader(max_length=50)
        found = letters.feed(text("ä" * 170)) + letters.close()
        assert [len(s.text) for s in found] == [50, 50, 50, 20]


class TestSplitter:
    @given(
        st.text(st.sampled_from('abA1.!?。"“”«»(): ,;\n…–'), max_size=120),
        st.lists(st.integers(0, 120), max_size=10),
        st.sampled_from(["en", "de", "ja", "el", "hi"]),
        st.sampled_from([20, 400]),
    )
    def test_any_split_and_nothing_lost(self, text, cuts, language, length):
        def split(parts):
            splitter = SentenceSplitter(language, length)
            found = [sentence for part in parts for sentence, _ in splitter.feed(part)]
            return found + [sentence for sentence, _ in splitter.close()]

        whole = split([text])
        assert split(pieces(text, cuts)) == whole
        assert "".join(whole) == text
        assert all(len(sentence) <= length for sentence in whole)


class TestSplitSentences:
    def test_sentences(self):
        assert split_sentences("Dr. Smith came. He saw!\n\nHe left") == [
            "Dr. Smith came. ",
            "He saw!\n\n",
            "He left",
        ]
        assert split_sentences("猫。犬。", "ja") == ["猫。", "犬。"]
        assert split_sentences("") == []

    def test_long_ones_are_cut(self):
        parts = split_sentences("one two, " * 100, max_length=100)
        assert all(len(part.rstrip()) <= 100 and part.endswith(", ") for part in parts)

    @given(st.text(max_size=300), st.sampled_from(["en", "pt-BR", "jpn_Jpan", "ar"]))
    def test_no_character_is_lost(self, text, language):
        assert "".join(split_sentences(text, language, max_length=60)) == text
