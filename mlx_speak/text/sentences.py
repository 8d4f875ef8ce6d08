"""Sentences, as soon as they are certain.

sentencex decides where sentences end. Streamed text is put to it again at each mark that may end
a sentence, once a few characters after the mark are there; the answer depends on the text alone,
not on how it was cut on its way here.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import sentencex

from mlx_speak.languages import Language

from .adapters import TextEvent
from .arrivals import Arrivals
from .clauses import CLAUSE
from .inline import BREAK, UNSPACED
from .markdown import MarkdownReader, Placeholders, Speakable
from .verbalize import finish, is_speakable, neaten
from .words import WORDS

MAX_LENGTH = 400
"""Characters; a longer sentence is cut between clauses, else between words, else anywhere."""

_LOOKAHEAD = 4
"""Characters after a mark that decide whether it ends a sentence ("p. 55", "Dr. Smith"); after a
full stop, those to the end of their word too, for "am 7. Januar"."""

_STEP = 1024
"""Long text is taken in such steps, so that the time stays linear in its length."""

_QUOTATION = 200
"""A quotation is not cut as long as it may close within so many characters."""

# Marks that end sentences, after Unicode's Sentence_Terminal; the rarer ones end sentences only
# when their paragraph ends.
_MARK = r"[.!?…‽⁇⁈⁉。．｡！？։؟۔।॥።፧၊။%s]"
_MARKS_OF = {"el": ";", "hy": ":"}  # a question mark, a full stop
_CLOSING = r"[\"'”’»›」』)\]}）】*_]"
_CANDIDATE = rf"{_MARK}+{_CLOSING}*(?:\s+|(?=\S))"
_WITHIN_WORD = re.compile(r"\.+(?=\w)|(?<=\d)．(?=\d)")
_NEXT_WORD = re.compile(rf"[^\s{UNSPACED}]{{0,20}}")
_OPENING = re.compile(r"^[\"'“‘„«‚「『《(\[{（【¿¡]+")
_NOT_FIRST = (")", "]", "}")  # no sentence begins with these: "1.) The first"
# "p. ex.", "etc.", or what is abbreviated before a number; sentencex does not know all of
# Portuguese's.
_ABBREVIATIONS = {
    code: re.compile(
        rf"(?i)(?<!\w)(?:{'|'.join(map(re.escape, [*words.titles, *words.abbreviations]))})\s*$"
    )
    for code, words in WORDS.items()
}
_QUOTES = {"“": "”", "„": "“”", "«": "»", "「": "」", "『": "』", '"': '"'}
_COMPLETE = re.compile(rf"{_MARK % ''}{_CLOSING}*\s*$")
_WORD = re.compile(r"\s+")


@dataclass(frozen=True)
class Sentence:
    """A sentence, or a heading, item or fragment that stands for one, ready to be spoken."""

    text: str
    """Clean text on one line; has at least one letter or digit."""
    message: str = ""
    """The message it belongs to."""
    seen: float = 0.0
    """When its last character arrived, on the reader's clock."""


class SentenceReader:
    """Turns the events of a stream into sentences.

    Args:
        language: of the text, as `Language.parse` reads it.
        flush_after: seconds of silence after which a tail that looks complete is given out.
        stall_after: seconds of silence after which any tail is.
        max_length: characters after which a sentence is cut.
        placeholders: what is said for code, tables and addresses; by default in the language.
        clock: gives the time in seconds.

    Raises:
        UnknownLanguageError: for a language that is not known.
    """

    def __init__(
        self,
        language: str | Language = "en",
        *,
        flush_after: float = 0.4,
        stall_after: float = 3.0,
        max_length: int = MAX_LENGTH,
        placeholders: Placeholders | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.flush_after = flush_after
        self.stall_after = stall_after
        self._code = Language.parse(language).code
        self._clock = clock
        self._message = ""
        self._last = clock()
        self._markdown = MarkdownReader(placeholders or Placeholders.of(language))
        self._splitter = SentenceSplitter(self._code, max_length)

    def feed(self, event: TextEvent) -> list[Sentence]:
        """The sentences that an event completes."""
        sentences: list[Sentence] = []
        if event.kind == "retract":
            if event.message == self._message:
                self._markdown = MarkdownReader(self.placeholders)
                self._splitter.discard()
            return sentences
        if event.message != self._message:
            sentences = self.close()
            self._message = event.message
        if event.kind == "end":
            return sentences + self.close()
        self._last = self._clock()
        return sentences + self._sentences(self._markdown.feed(event.text, self._last))

    def poll(self) -> list[Sentence]:
        """The tail, if nothing has followed it for so long that it should be spoken."""
        idle = self._clock() - self._last
        if idle < min(self.flush_after, self.stall_after) or not is_speakable(self.pending):
            return []
        complete = _COMPLETE.search(self.pending) and not self._markdown.holding
        if idle < self.stall_after and not (complete and idle >= self.flush_after):
            return []
        return self._sentences((*self._markdown.flush(), Speakable("stop", "paragraph")))

    def close(self) -> list[Sentence]:
        """The rest; the reader can be fed again."""
        stop = Speakable("stop", "paragraph")
        return self._sentences((*self._markdown.close(), stop))

    @property
    def placeholders(self) -> Placeholders:
        """What is said for code, tables and addresses; may be replaced at any time."""
        return self._markdown.placeholders

    @placeholders.setter
    def placeholders(self, placeholders: Placeholders) -> None:
        self._markdown.placeholders = placeholders

    @property
    def pending(self) -> str:
        """The unfinished tail, speakable."""
        return neaten(self._splitter.pending + self._markdown.pending, self._code)

    @property
    def outlook(self) -> tuple[str, bool]:
        """How the next sentence begins, and whether that is likely all of it.

        What follows may prove it wrong: a full stop may turn out to be an abbreviation's, the last
        word may grow.
        """
        text, likely = self._splitter.outlook(self._markdown.pending)
        return neaten(text, self._code), likely

    def _sentences(self, pieces: Iterable[Speakable]) -> list[Sentence]:
        splitter = self._splitter
        found: list[Sentence] = []
        for piece in pieces:
            if piece.kind == "text":
                ended = splitter.feed(piece.text, piece.seen)
            elif piece.kind == "stop":
                ended = splitter.close()
            else:
                splitter.discard()
                continue
            texts = [(neaten(text, self._code), seen) for text, seen in ended]
            if texts and piece.kind == "stop" and piece.text in ("heading", "item"):
                texts[-1] = (finish(texts[-1][0], self._code), texts[-1][1])
            found += [Sentence(t, self._message, seen) for t, seen in texts if is_speakable(t)]
        return found


class SentenceSplitter:
    """Plain text, cut anywhere, to sentences; a line break in it ends a sentence.

    Args:
        code: ISO 639 code of the language.
        max_length: characters after which a sentence is cut.
    """

    def __init__(self, code: str, max_length: int = MAX_LENGTH):
        self._code = code
        self._candidate = re.compile(_CANDIDATE % _MARKS_OF.get(code, ""))
        self._max_length = max_length
        self._text = ""
        self._scanned = 0  # marks before this are decided
        self._arrivals = Arrivals()

    @property
    def pending(self) -> str:
        """The unfinished sentence."""
        return self._text

    def outlook(self, more: str = "") -> tuple[str, bool]:
        """The beginning of the next sentence if `more` follows, and whether it may be all of it."""
        text = self._text + more
        stop = text.find(BREAK) + 1
        for mark in self._candidate.finditer(text + " ", self._scanned):
            if not _WITHIN_WORD.match(text, mark.start()):
                return text[: mark.end()], True
        return (text[:stop], True) if stop else (text, False)

    def feed(self, text: str, now: float = 0.0) -> list[tuple[str, float]]:
        """The sentences that `text` completes, each with the time of its last character."""
        ended: list[tuple[str, float]] = []
        for start in range(0, len(text), _STEP):
            part = text[start : start + _STEP]
            self._text += part
            self._arrivals.add(len(part), now)
            ended += self._split()
        return ended

    def close(self) -> list[tuple[str, float]]:
        """The rest as sentences."""
        ended = list(self._split())
        while self._text:
            ended.append(self._take(self._first(self._text) or len(self._text)))
        return ended

    def discard(self) -> None:
        """Forget the unfinished sentence."""
        self._take(len(self._text))

    def _split(self) -> Iterator[tuple[str, float]]:
        while True:
            text = self._text
            stop = text.find(BREAK) + 1
            mark = self._candidate.search(text, self._scanned, stop or len(text))
            if mark and mark.end() + _LOOKAHEAD <= min(self._max_length, stop or len(text) + 99):
                needed = _needed(text, mark)
                if needed >= (stop or len(text) + 1):
                    if not stop:
                        return
                    needed = stop
                self._scanned = mark.end()
                if _WITHIN_WORD.match(text, mark.start()) or needed == 0:
                    continue
                follows = _OPENING.sub("", text[mark.end() : needed])
                if mark.end() in self._ends(text[: mark.end()] + follows):
                    yield self._take(mark.end())
            elif stop and stop <= self._max_length:
                yield self._take(self._first(text[:stop]) or stop)
            elif len(text) > self._max_length:
                yield self._take(_cut(text, self._max_length))
            else:
                return

    def _first(self, text: str) -> int:
        """The end of the first of several sentences; 0 if there is only one."""
        end = self._ends(text)[0]
        if end > self._max_length:
            return _cut(text, self._max_length)
        return end if end < len(text) else 0

    def _ends(self, text: str) -> list[int]:
        """Where sentences end; the last is the end of the text."""
        ends = (end["end_index"] for end in sentencex.get_sentence_boundaries(self._code, text))
        return [end for end in ends if not _goes_on(text, end, self._code)] or [len(text)]

    def _take(self, length: int) -> tuple[str, float]:
        sentence, self._text = self._text[:length], self._text[length:]
        seen = self._arrivals.at(len(sentence.rstrip())) if sentence else 0.0
        self._arrivals.drop(length)
        self._scanned = 0
        return sentence, seen


def split_sentences(
    text: str, language: str | Language = "en", max_length: int = MAX_LENGTH
) -> list[str]:
    """Split a whole plain text into sentences.

    Args:
        text: any text without markup.
        language: of the text, as `Language.parse` reads it.
        max_length: characters; a longer sentence is cut between clauses, else between words.

    Returns:
        The sentences, each with the space that follows it: joined, they are `text` again.

    Raises:
        UnknownLanguageError: for a language that is not known.
    """
    sentences: list[str] = []
    for part in sentencex.segment(Language.parse(language).code, text):
        if sentences and not part.strip():
            sentences[-1] += part
            continue
        while len(part.rstrip()) > max_length:
            end = _cut(part, max_length)
            sentences.append(part[:end])
            part = part[end:]
        sentences.append(part)
    return sentences


def _goes_on(text: str, end: int, code: str) -> bool:
    """Whether what follows an end shows that it is none: "1.)", "pág. 7", "p. ex."."""
    follows = text[end : end + 1]
    if follows in _NOT_FIRST:
        return True
    abbreviation = _ABBREVIATIONS.get(code)
    lower = follows.islower() or follows.isdigit()
    return lower and abbreviation is not None and abbreviation.search(text, 0, end) is not None


def _needed(text: str, mark: re.Match[str]) -> int:
    """How much of the text decides whether a sentence ends at a mark; 0 if none can, because the
    mark is within a quotation."""
    needed = mark.end() + _LOOKAHEAD
    if text[mark.start()] == ".":
        word = _NEXT_WORD.match(text, needed - 1)
        needed = word.end() + 1 if word else needed
    closing = ""
    opened = 0
    for position, character in enumerate(text[: mark.end()]):
        if closing and character in closing:
            closing = ""
        elif not closing and character in _QUOTES:
            closing, opened = _QUOTES[character], position
    if closing:
        limit = opened + _QUOTATION
        if any(character in closing for character in text[mark.end() : limit]):
            return 0
        return max(needed, limit)
    return needed


def _cut(text: str, limit: int) -> int:
    """Where to cut a text that is longer than `limit`: after a clause, else a word, else there.

    A clause or word in the first half is too short to be worth it.
    """
    for pattern in (CLAUSE, _WORD):
        ends = [match.end() for match in pattern.finditer(text, limit // 2, limit)]
        if ends:
            return ends[-1]
    return limit
