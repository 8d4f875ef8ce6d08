"""What every translator offers: text in one language to text in another, whole or as it comes."""

from __future__ import annotations

import re
import time
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from ..errors import UnknownLanguageError
from ..languages import Language, nearest
from .guards import Fault, Guard, guarded, longest_translation


@dataclass(frozen=True)
class Translation:
    """A text in another language."""

    text: str
    """The translation."""
    tokens: list[int]
    """Target tokens of all its sentences, without those that mark a start or an end."""
    seconds: float
    """Wall time since translation began; in a batch, the time the whole batch took."""
    source: Language
    """The language translated from."""
    target: Language
    """The language translated into."""
    source_text: str
    """What was translated."""
    final: bool = True
    """False for the prefixes that a stream yields before the whole."""
    warning: str = ""
    """What is doubtful about it, in words for the user; empty when nothing is."""

    def __str__(self) -> str:
        return self.text


class Translator(ABC):
    """A translation model with its tokenizer.

    A subclass translates sentences, several at once or one token by token; this class checks
    the input, cuts it into sentences that the model can take, and joins what comes back. What a
    guard finds wrong is tried again, as far as the subclass knows how; else it is cut where it
    went wrong, and the result carries a `warning`.
    """

    name: str
    max_length: int
    """Tokens in the longest sentence that the model takes whole."""

    @property
    @abstractmethod
    def languages(self) -> tuple[tuple[Language, ...], tuple[Language, ...]]:
        """The languages translated from, and those translated into."""

    @abstractmethod
    def translate_sentences(
        self, sentences: Sequence[str], source: Language, target: Language
    ) -> list[list[int]]:
        """Tokens in `target` of each sentence in `source`, in as few batches as sensible."""

    @abstractmethod
    def stream_sentence(
        self, sentence: str, source: Language, target: Language, draft: Sequence[int] = ()
    ) -> Iterator[list[int]]:
        """The target tokens of one sentence so far, after each step; the last list is all.

        Args:
            sentence: of no more than `max_length` tokens.
            source: its language.
            target: the language wanted.
            draft: a guess at the tokens, which may save steps and changes nothing else.
        """

    def alternatives(
        self, sentence: str, source: Language, target: Language, fault: Fault
    ) -> Iterator[Iterator[list[int]]]:
        """Other ways to translate a sentence from `source`, of which came a `fault`; likest first.

        Each is as from `stream_sentence`. None, unless a subclass knows some.
        """
        return iter(())

    def limit(self, length: int) -> int:
        """Target tokens at which the translation of a sentence of `length` tokens is given up."""
        return longest_translation(length)

    def guard(self, sentence: str, source: Language) -> Guard:
        """A guard that has not seen any of the translation of a sentence in `source`."""
        length = self.count_tokens(sentence, source)
        return Guard(sentence, length, self.limit(length))

    @abstractmethod
    def count_tokens(self, sentence: str, source: Language) -> int:
        """Length in tokens of a sentence in `source`, comparable with `max_length`."""

    @abstractmethod
    def detokenize(self, tokens: Sequence[int], target: Language) -> str:
        """Text of target tokens."""

    @overload
    def translate(
        self,
        text: str,
        source: str | Language | None = None,
        target: str | Language | None = None,
        *,
        draft: Sequence[int] | None = None,
    ) -> Translation: ...

    @overload
    def translate(
        self,
        text: list[str] | tuple[str, ...],
        source: str | Language | None = None,
        target: str | Language | None = None,
    ) -> list[Translation]: ...

    def translate(
        self,
        text: str | list[str] | tuple[str, ...],
        source: str | Language | None = None,
        target: str | Language | None = None,
        *,
        draft: Sequence[int] | None = None,
    ) -> Translation | list[Translation]:
        """Translate a text, or a list of texts as one batch.

        Args:
            text: any length; it is cut into sentences. Empty lines part paragraphs.
            source: its language; may be left out where the model knows only one.
            target: the language wanted; likewise.
            draft: `.tokens` of an earlier translation of a beginning of the text. It changes how
                soon the translation is there, never what it says. It serves the first sentence,
                and each further one as long as it has proved right to the end of those before.

        Returns:
            One translation, or a list of them in the order of the texts.

        Raises:
            UnknownLanguageError: a language is unknown, or the model does not translate it.
            TypeError: something else than text, or a draft for a list of texts.
        """
        if draft is not None:
            if not isinstance(text, str):
                raise TypeError(f"a draft is of one str, not of a {type(text).__name__}")
            *_, last = self.stream_translate(text, source, target, draft=draft)
            return last
        start = time.perf_counter()
        texts = [text] if isinstance(text, str) else _check_list(text)
        pair = self.pair(source, target)
        if _same(pair):
            outputs = [(unchanged, list[int](), "") for unchanged in texts]
        else:
            outputs = self._translate_texts(texts, *pair)
        seconds = time.perf_counter() - start
        results = [
            Translation(out, tokens, seconds, *pair, source_text, warning=warning)
            for source_text, (out, tokens, warning) in zip(texts, outputs, strict=True)
        ]
        return results[0] if isinstance(text, str) else results

    def stream_translate(
        self,
        text: str,
        source: str | Language | None = None,
        target: str | Language | None = None,
        *,
        draft: Sequence[int] | None = None,
    ) -> Iterator[Translation]:
        """Translate a text token by token.

        Args and Raises are those of `translate`.

        Yields:
            After each token the translation so far: every text is a prefix of the next. The last
            one is final and equals what `translate` returns, unless a guard found fault with what
            had been yielded by then: what `translate` would replace, stands here with a warning.
        """
        start = time.perf_counter()
        if not isinstance(text, str):
            raise TypeError(f"a stream translates one str, not {type(text).__name__}")
        pair = self.pair(source, target)
        return self._stream(text, pair, draft or (), start)

    def warm_up(
        self, source: str | Language | None = None, target: str | Language | None = None
    ) -> None:
        """Translate a word or two, so that nothing is cold when the first sentence comes.

        Args:
            source: by default the first language that the model knows.
            target: by default the first that is another.
        """
        sources, targets = self.languages
        source = sources[0] if source is None else Language.parse(source)
        if target is None:
            target = next(language for language in targets if language.flores != source.flores)
        for _ in self.stream_translate("1, 2.", source, target):
            pass
        self.translate(["1.", "1, 2."], source, target)

    def _translate_texts(
        self, texts: Sequence[str], source: Language, target: Language
    ) -> list[tuple[str, list[int], str]]:
        """Text, tokens and warning of each text; the sentences of all are one batch."""
        split = [self._sentences(text, source, target) for text in texts]
        flat = [sentence for sentences in split for sentence, _ in sentences]
        pair = source, target
        steps: list[Iterable[list[int]]] = []
        if len(flat) == 1:
            steps = [self.stream_sentence(flat[0], *pair)]  # a loop ends when it is noticed
        elif flat:
            steps = [[tokens] for tokens in self.translate_sentences(flat, *pair)]
        translated = iter(steps)
        outputs: list[tuple[str, list[int], str]] = []
        for sentences in split:
            joined = ""
            all_tokens: list[int] = []
            warnings: list[str] = []
            for sentence, separator in sentences:
                *_, tokens = self._guarded(next(translated), sentence, pair, warnings, shown=False)
                joined = _join(joined, separator, self.detokenize(tokens, target))
                all_tokens += tokens
            outputs.append((joined, all_tokens, _joined(warnings)))
        return outputs

    def _stream(
        self, text: str, pair: tuple[Language, Language], draft: Sequence[int], start: float
    ) -> Iterator[Translation]:
        warnings: list[str] = []

        def translation(text_so_far: str, tokens: list[int], final: bool) -> Translation:
            seconds = time.perf_counter() - start
            return Translation(text_so_far, tokens, seconds, *pair, text, final, _joined(warnings))

        if _same(pair):
            yield translation(text, [], True)
            return
        joined = ""
        all_tokens: list[int] = []
        for sentence, separator in self._sentences(text, *pair):
            tokens: list[int] = []
            shown = joined
            steps = self.stream_sentence(sentence, *pair, draft)
            for tokens in self._guarded(steps, sentence, pair, warnings, shown=True):
                # A token may end within a character, which the decoder then shows as U+FFFD.
                part = self.detokenize(tokens, pair[1]).rstrip("\ufffd")
                longer = _join(joined, separator, part)
                shown = longer if longer.startswith(shown) else shown
                yield translation(shown, all_tokens + tokens, False)
            joined = _join(joined, separator, self.detokenize(tokens, pair[1]))
            all_tokens = all_tokens + tokens
            right = list(draft[: len(tokens)]) == tokens
            draft = draft[len(tokens) :] if right else ()
        yield translation(joined, all_tokens, True)

    def _guarded(
        self,
        steps: Iterable[list[int]],
        sentence: str,
        pair: tuple[Language, Language],
        warnings: list[str],
        *,
        shown: bool,
    ) -> Iterator[list[int]]:
        """The steps of a sentence as a guard lets them pass; may add one to its text's warnings."""

        def guard() -> Guard:
            return self.guard(sentence, pair[0])

        def alternatives(fault: Fault) -> Iterator[Iterator[list[int]]]:
            hopeless = len(warnings) >= _PATIENCE  # it is the text that is odd
            return iter(()) if hopeless else self.alternatives(sentence, *pair, fault)

        for tokens, fault in guarded(steps, guard, alternatives, shown=shown):
            if fault:
                name = sentence if len(sentence) <= 40 else f"{sentence[:40].rstrip()}…"
                warnings.append(f"The translation of “{name}” {fault.warning}")
            yield tokens

    def pair(
        self, source: str | Language | None, target: str | Language | None
    ) -> tuple[Language, Language]:
        """The languages that `source` and `target` ask for, None where the model knows only one.

        Raises:
            UnknownLanguageError: a language is unknown, or the model does not translate it.
        """
        pair = []
        for role, wanted, known in zip(
            ("source", "target"), (source, target), self.languages, strict=True
        ):
            if wanted is None:
                if len(known) > 1:
                    raise UnknownLanguageError(
                        f"{self.name} translates many languages: give the {role} language"
                    )
                wanted = known[0]
            pair.append(Language.parse(wanted))
        if not _same((pair[0], pair[1])):
            for role, language, known in zip(("from", "into"), pair, self.languages, strict=True):
                if language.flores not in {k.flores for k in known}:
                    raise UnknownLanguageError(
                        f"{self.name} does not translate {role} {language.name} ({language.tag})"
                        + _instead(role, language, known)
                    )
        return pair[0], pair[1]

    def _sentences(self, text: str, source: Language, target: Language) -> list[tuple[str, str]]:
        """The sentences of a text, each with what stands before it in the translation."""
        from ..text.sentences import split_sentences

        space = "" if target.flores.endswith(_WITHOUT_SPACES) else " "
        result = []
        for paragraph in re.split(r"\n[^\S\n]*\n\s*", clean(text)):
            separator = "\n\n"
            for sentence in split_sentences(" ".join(paragraph.split()), source):
                for piece in self._fit(sentence.strip(), source):
                    result.append((piece, separator))
                    separator = space
        return result

    def _fit(self, sentence: str, source: Language) -> list[str]:
        """Halve a sentence, at clauses or words if it has any, until the model can take it."""
        if not sentence:
            return []
        if len(sentence) < 2 or self.count_tokens(sentence, source) <= self.max_length:
            return [sentence]
        middle = len(sentence) // 2
        for pattern in (r"[,;:，；：、]\s*", r"\s+"):
            ends = [match.end() for match in re.finditer(pattern, sentence)]
            ends = [end for end in ends if len(sentence) // 4 <= end <= len(sentence) * 3 // 4]
            if ends:
                middle = min(ends, key=lambda end: abs(end - middle))
                break
        halves = sentence[:middle].strip(), sentence[middle:].strip()
        return [piece for half in halves for piece in self._fit(half, source)]


# Scripts whose sentences follow each other without a space.
_WITHOUT_SPACES = ("_Jpan", "_Hans", "_Hant")


# Sentences of a text that may go wrong for good before no others are tried again.
_PATIENCE = 4


def clean(text: str) -> str:
    """Text that any tokenizer takes: no lone surrogates, control characters as spaces."""
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return "".join(" " if unicodedata.category(c) == "Cc" and c != "\n" else c for c in whole)


def _same(pair: tuple[Language, Language]) -> bool:
    """Whether there is nothing to translate; regions do not matter, scripts do."""
    return pair[0].flores == pair[1].flores


def _instead(role: str, language: Language, known: Sequence[Language]) -> str:
    if len(known) <= 8:
        return f", only {role} {', '.join(x.tag for x in known)}"
    near = ", ".join(x.tag for x in nearest(language, known))
    return f"; the nearest that it knows are {near}" if near else "; see its `languages`"


def _joined(warnings: Sequence[str]) -> str:
    more = [f"and {len(warnings) - _PATIENCE} more"] if len(warnings) > _PATIENCE else []
    return "; ".join([*warnings[:_PATIENCE], *more])


def _join(before: str, separator: str, after: str) -> str:
    return before + separator + after if before and after else before + after


def _check_list(texts: object) -> list[str]:
    if isinstance(texts, (bytes, bytearray)) or not isinstance(texts, Sequence):
        raise TypeError(f"translate takes a str or a list of str, not {type(texts).__name__}")
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"translate takes str, but its list holds a {type(text).__name__}")
    return list(texts)
