"""What every translator does around its model, with a model that writes in capitals."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlx_speak.errors import UnknownLanguageError
from mlx_speak.languages import Language
from mlx_speak.translation import Translation, Translator
from mlx_speak.translation.translator import clean


class Shouting(Translator):
    """Tokens are characters; translation is upper case; at most 20 characters fit."""

    name = "shouting"
    max_length = 20

    def __init__(self, targets: Sequence[str] = ("pt",)):
        self.targets = targets
        self.batches: list[list[str]] = []
        self.drafts: list[str] = []

    @property
    def languages(self) -> tuple[tuple[Language, ...], tuple[Language, ...]]:
        return (Language.parse("en"),), tuple(map(Language.parse, self.targets))

    def translate_sentences(
        self, sentences: Sequence[str], source: Language, target: Language
    ) -> list[list[int]]:
        self.batches.append(list(sentences))
        return [[ord(c) for c in sentence.upper()] for sentence in sentences]

    def stream_sentence(
        self, sentence: str, source: Language, target: Language, draft: Sequence[int] = ()
    ) -> Iterator[list[int]]:
        """A draft saves the steps in which it is right."""
        self.drafts.append("".join(map(chr, draft)))
        (tokens,) = self.translate_sentences([sentence], source, target)
        right = [token for token, _ in itertools.takewhile(_same, zip(tokens, draft, strict=False))]
        for end in range(len(right) + 1, len(tokens) + 1):
            yield tokens[:end]
        if len(right) == len(tokens):
            yield tokens

    def count_tokens(self, sentence: str, source: Language) -> int:
        return len(sentence)

    def detokenize(self, tokens: Sequence[int], target: Language) -> str:
        return "".join(map(chr, tokens))


def _same(pair: tuple[int, int]) -> bool:
    return pair[0] == pair[1]


def test_one_text() -> None:
    result = Shouting().translate("A test passes.", source="en", target="pt-BR")
    assert isinstance(result, Translation)
    assert result.text == str(result) == "A TEST PASSES."
    assert result.tokens == [ord(c) for c in result.text]
    assert (result.source.tag, result.target.tag) == ("en", "pt-BR")
    assert result.source_text == "A test passes."
    assert result.final
    assert result.seconds >= 0


def test_a_list_is_one_batch() -> None:
    translator = Shouting()
    results = translator.translate(["One. Two.", "", "Three."])
    assert [result.text for result in results] == ["ONE. TWO.", "", "THREE."]
    assert translator.batches == [["One.", "Two.", "Three."]]
    assert [chr(t) for t in results[2].tokens] == list("THREE.")
    assert translator.translate([]) == []
    assert [result.text for result in translator.translate(("A.",))] == ["A."]


@pytest.mark.parametrize("text", ["", " ", "\n\n\t", "\0", "\u3000"])
def test_nothing_to_translate(text: str) -> None:
    translator = Shouting()
    assert translator.translate(text).text == ""
    assert translator.translate(text).tokens == []
    assert [part.text for part in translator.stream_translate(text)] == [""]
    assert translator.batches == []


def test_paragraphs_are_kept_and_lines_are_joined() -> None:
    result = Shouting().translate("One\nline. Two.\n \n\nThree.")
    assert result.text == "ONE LINE. TWO.\n\nTHREE."


def test_no_space_between_sentences_of_japanese() -> None:
    assert Shouting(["ja"]).translate("One. Two.").text == "ONE.TWO."


def test_long_sentences_are_cut_at_clauses_then_words_then_anywhere() -> None:
    translator = Shouting()
    translator.translate("when it rains, we read")
    translator.translate("a sentence of several words")
    translator.translate("x" * 50)
    assert translator.batches[0] == ["when it rains,", "we read"]
    assert translator.batches[1] == ["a sentence of", "several words"]
    assert "".join(translator.batches[2]) == "x" * 50
    assert all(len(piece) <= 20 for batch in translator.batches for piece in batch)


def test_the_same_language_is_returned_as_it_is() -> None:
    translator = Shouting()
    text = "  As it\nis. "
    assert translator.translate(text, "pt", "pt-BR").text == text
    assert translator.translate([text], "ja", "ja")[0].text == text
    (only,) = translator.stream_translate(text, "ja", "ja")
    assert (only.text, only.final) == (text, True)
    assert translator.batches == []


def test_languages_are_checked() -> None:
    translator = Shouting(["pt", "es"])
    with pytest.raises(UnknownLanguageError, match=r"into Japanese \(ja\), only into pt, es"):
        translator.translate("a", "en", "ja")
    with pytest.raises(UnknownLanguageError, match="from French"):
        translator.translate("a", "fr", "pt")
    with pytest.raises(UnknownLanguageError, match="give the target language"):
        translator.translate("a", "en")
    with pytest.raises(UnknownLanguageError, match="unknown language"):
        translator.translate("a", "en", "xx")
    with pytest.raises(UnknownLanguageError, match="into Japanese"):
        translator.stream_translate("a", "en", "ja")  # at once, not at the first step


@pytest.mark.parametrize("wrong", [b"bytes", 3, None, ["a", b"b"], {"a": 1}, iter(["a"])])
def test_other_things_than_text_are_refused(wrong: object) -> None:
    with pytest.raises(TypeError, match="str"):
        Shouting().translate(wrong)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="str"):
        Shouting().stream_translate(wrong)  # type: ignore[arg-type]


@given(st.lists(st.text(alphabet="ab, .!\n\r\t\0é😀\ud800", max_size=60), max_size=4))
def test_stream_and_batch_agree_on_any_text(texts: list[str]) -> None:
    translator = Shouting()
    for text, result in zip(texts, translator.translate(texts), strict=True):
        parts = list(translator.stream_translate(text))
        assert [part.final for part in parts] == [False] * (len(parts) - 1) + [True]
        assert (parts[-1].text, parts[-1].tokens) == (result.text, result.tokens)
        for before, after in itertools.pairwise(parts):
            assert after.text.startswith(before.text)
        # Nothing is lost: the same characters, space apart.
        kept = clean(text).upper().split()
        assert "".join(result.text.split()) == "".join(kept)


def test_clean() -> None:
    assert clean("a\0b\x1bc\nd") == "a b c\nd"
    assert clean("\ud83d\ude00 \ud800") == "😀 \ufffd"


def test_a_character_split_over_tokens_waits_for_the_rest() -> None:
    class Bytes(Shouting):
        def translate_sentences(
            self, sentences: Sequence[str], source: Language, target: Language
        ) -> list[list[int]]:
            return [list(sentence.encode()) for sentence in sentences]

        def detokenize(self, tokens: Sequence[int], target: Language) -> str:
            return bytes(tokens).decode(errors="replace")

    texts = [part.text for part in Bytes().stream_translate("é😀!")]
    assert texts == ["", "é", "é", "é", "é", "é😀", "é😀!", "é😀!"]


def test_a_draft_serves_every_sentence_as_long_as_it_is_right() -> None:
    translator = Shouting()
    text = "One two. Three four."
    draft = translator.translate("One two. Three f").tokens
    parts = list(translator.stream_translate(text, draft=draft))
    assert parts[-1].text == "ONE TWO. THREE FOUR."
    assert len(parts) < len(list(translator.stream_translate(text)))
    # The first sentence does not know where in the draft it ends.
    assert translator.drafts[:2] == ["ONE TWO.THREE F", "THREE F"]


@given(st.text(alphabet="ab. ", max_size=40), st.lists(st.sampled_from(list(b"AB. ")), max_size=40))
def test_a_draft_changes_nothing(text: str, draft: list[int]) -> None:
    translator = Shouting()
    whole = translator.translate(text)
    drafted = translator.translate(text, draft=draft)
    assert (drafted.text, drafted.tokens) == (whole.text, whole.tokens)
    *_, last = translator.stream_translate(text, draft=draft)
    assert (last.text, last.tokens, last.final) == (whole.text, whole.tokens, True)


def test_a_draft_is_of_one_text() -> None:
    with pytest.raises(TypeError, match="a draft is of one str"):
        Shouting().translate(["a"], draft=[65])  # type: ignore[call-overload]


def test_warm_up() -> None:
    translator = Shouting()
    translator.warm_up()
    assert translator.batches
