"""What every translator does around its model, with a model that writes in capitals."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlx_speak.errors import UnknownLanguageError
from mlx_speak.languages import Language
from mlx_speak.translation import Translation, Translator
from mlx_speak.translation.guards import Fault
from mlx_speak.translation.translator import clean


class Shouting(Translator):
    """Tokens are characters; translation is upper case; at most 20 characters fit.

    `faults` says what comes instead of some sentences, and `cures` what other attempts come to.
    """

    name = "shouting"
    max_length = 20

    def __init__(self, targets: Sequence[str] = ("pt",)):
        self.targets = targets
        self.batches: list[list[str]] = []
        self.drafts: list[str] = []
        self.faults: dict[str, str] = {}
        self.cures: dict[str, list[str]] = {}
        self.attempts: list[str] = []

    @property
    def languages(self) -> tuple[tuple[Language, ...], tuple[Language, ...]]:
        return (Language.parse("en"),), tuple(map(Language.parse, self.targets))

    def translate_sentences(
        self, sentences: Sequence[str], source: Language, target: Language
    ) -> list[list[int]]:
        self.batches.append(list(sentences))
        texts = [self.faults.get(sentence, sentence.upper()) for sentence in sentences]
        return [[ord(c) for c in text] for text in texts]

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

    def alternatives(
        self, sentence: str, source: Language, target: Language, fault: Fault
    ) -> Iterator[Iterator[list[int]]]:
        for cure in self.cures.get(sentence, []):
            self.attempts.append(cure)
            tokens = [ord(c) for c in cure]
            yield (tokens[:end] for end in range(1, len(tokens) + 1))

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
    assert translator.translate(text, "pt-BR", "por_Latn").target.tag == "pt"
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
    many = Shouting(["pt", "es", "fr", "de", "it", "nl", "sv", "da", "nb", "zh-Hans"])
    with pytest.raises(UnknownLanguageError, match=r"\(zh-Hant\); the nearest .* are zh-Hans"):
        many.translate("a", "en", "zh-Hant")
    with pytest.raises(UnknownLanguageError, match=r"into Japanese \(ja\); .*languages"):
        many.translate("a", "eng_Latn", "jpn_Jpan")
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


LOOP = "NOW SO AND SO AND SO AND SO AND"
LOOP_CUT = "NOW SO AND SO AND"


def test_a_loop_is_cut_and_flagged() -> None:
    translator = Shouting()
    translator.faults["Two three."] = LOOP
    result = translator.translate("One. Two three. Four.")
    assert result.text == f"ONE. {LOOP_CUT} FOUR."
    assert result.warning == "The translation of “Two three.” repeats itself, and was cut"
    assert result.tokens == [ord(c) for c in f"ONE.{LOOP_CUT}FOUR."]
    parts = list(translator.stream_translate("One. Two three. Four."))
    assert (parts[-1].text, parts[-1].tokens) == (result.text, result.tokens)
    assert [part.warning for part in parts][-2:] == [result.warning] * 2
    assert parts[0].warning == ""
    for before, after in itertools.pairwise(parts):
        assert after.text.startswith(before.text)
    assert translator.translate("One.").warning == ""


def test_an_attempt_that_is_right_comes_instead() -> None:
    translator = Shouting()
    translator.faults["Two three."] = LOOP
    translator.cures["Two three."] = [LOOP, "", "TWO THREE.", "never tried"]
    result = translator.translate("One. Two three.")
    assert (result.text, result.warning) == ("ONE. TWO THREE.", "")
    assert translator.attempts == [LOOP, "", "TWO THREE."]


def test_a_stream_takes_nothing_back() -> None:
    """Another attempt has to begin with what was shown; where none does, there is a warning."""
    translator = Shouting()
    translator.faults["Two three."] = LOOP
    translator.cures["Two three."] = ["TWO THREE."]
    *parts, last = translator.stream_translate("Two three.")
    assert last.text == LOOP_CUT
    assert last.warning
    assert all(LOOP_CUT.startswith(part.text) for part in parts)
    translator.cures["Two three."] = ["TWO THREE.", f"{LOOP_CUT} ON."]
    *parts, last = translator.stream_translate("Two three.")
    assert (last.text, last.warning) == (f"{LOOP_CUT} ON.", "")
    assert all(last.text.startswith(part.text) for part in parts)


def test_what_is_too_short_or_without_end_is_flagged() -> None:
    translator = Shouting()
    sentence = "a word or two here."
    translator.max_length = 100
    translator.faults = {sentence * 3: "A", sentence: "".join(map(chr, range(65, 65 + 1000)))}
    short = translator.translate(sentence * 3)
    assert (short.text, "too short" in short.warning) == ("A", True)
    long = translator.translate(sentence)
    assert "no end" in long.warning
    both = translator.translate([f"{sentence} {sentence}", "fine"])
    assert both[0].warning == f"{long.warning}; {long.warning}"
    assert both[1].warning == ""
    assert list(translator.stream_translate(sentence))[-1].warning == long.warning


def test_a_text_of_which_nothing_comes_right_is_not_tried_forever() -> None:
    translator = Shouting()
    translator.faults["Two three."] = LOOP
    translator.cures["Two three."] = [LOOP]
    for results in (
        [translator.translate("Two three. " * 20)],
        translator.stream_translate("Two three. " * 20),
    ):
        *_, last = results
        assert last.text == " ".join([LOOP_CUT] * 20)
        assert last.warning.count("repeats itself") == 4
        assert last.warning.endswith("; and 16 more")
        assert len(translator.attempts) == 4
        translator.attempts = []


@given(
    st.lists(st.text(alphabet="AB", max_size=40), min_size=2, max_size=2),
    st.lists(st.text(alphabet="AB", max_size=40), max_size=2),
)
@settings(max_examples=300)
def test_whatever_a_model_says_a_stream_only_grows(faults: list[str], cures: list[str]) -> None:
    translator = Shouting()
    translator.faults = dict(zip(("One.", "Two."), faults, strict=True))
    translator.cures = {"One.": cures, "Two.": cures}
    parts = list(translator.stream_translate("One. Two."))
    for before, after in itertools.pairwise(parts):
        assert after.text.startswith(before.text)
        assert after.tokens[: len(before.tokens)] == before.tokens
    result = translator.translate("One. Two.")
    if not parts[-1].warning:
        assert (parts[-1].text, parts[-1].tokens) == (result.text, result.tokens)
    if not cures:
        assert (parts[-1].text, parts[-1].warning) == (result.text, result.warning)


def test_a_draft_is_of_one_text() -> None:
    with pytest.raises(TypeError, match="a draft is of one str"):
        Shouting().translate(["a"], draft=[65])  # type: ignore[call-overload]


def test_warm_up() -> None:
    translator = Shouting()
    translator.warm_up()
    assert translator.batches
    translator.warm_up("en", "pt-BR")
    with pytest.raises(UnknownLanguageError):
        translator.warm_up("en", "ja")


@pytest.mark.parametrize(
    "text",
    [
        "".join(map(chr, range(32))) + "One\x7f\x80\x9f two.",
        "\ud800One \udfff two.\udc00",
        "Один two 三つ. ثلاثة",
        "\u202eenO \u200ftwo\u200e.\u2066",
        "\ufeffOne\u00ad two.\ufffe\U0010ffff",
    ],
)
def test_odd_characters(text: str) -> None:
    """No character of a text is lost, but for those that no text has."""
    found = Shouting().translate(text).text
    kept = [c for c in clean(text) if not c.isspace()]
    assert "".join(found.split()) == "".join(kept).upper()


def test_long_texts_take_time_in_proportion() -> None:
    """100,000 characters, in sentences or not: a second, and not ten times that for ten times."""
    for unit in ("A sentence of some words. ", "word ", "x", "漢字", "a,b;", "\n", "\n\n", "?! "):
        text = (unit * 100_000)[:100_000]
        start = time.perf_counter()
        pieces = Shouting()._sentences(text, *Shouting().pair("en", "pt"))
        assert "".join("".join(p for p, _ in pieces).split()) == "".join(text.split())
        assert time.perf_counter() - start < 5, unit
