"""Inline markdown to speakable text, as far as what has arrived settles it.

markdown-it-py renders; what is here finds where the text can be cut so that rendering the pieces
gives what rendering the whole would: at spaces (and between characters of scripts that write
none) outside code spans, links, tags and entities. Emphasis is not matched, only its marks are
dropped, so it may run over many sentences.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from markdown_it import MarkdownIt
from markdown_it.common.html_re import HTML_TAG_RE
from markdown_it.token import Token

from .arrivals import Arrivals
from .verbalize import spell_code, tidy

BREAK = "\n"
"""In speakable text: a hard line break, where a sentence ends."""

_LONGEST = 1000
"""A construct that is not closed after so many characters is taken literally; it must not hold
speech back for ever. A word of that length is cut."""
_STEP = 2048
"""Long text is taken in such steps, so that the time stays linear in its length."""
UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
    r"\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff01-\uffee"
)
"""Scripts written without spaces between words, and their punctuation."""

_SPACE = re.compile(r"\s+")
_PLAIN = re.compile(r"[^\s\\`\[<&]+")
_CUT = re.compile(rf".*[{UNSPACED}](?=[^*_~])", re.DOTALL)


def _nested(opening: str, closing: str, within: str = "") -> str:
    """A pattern for brackets that may hold such brackets, to a depth of three."""
    pattern = ""
    for _ in range(3):
        inner = rf"|{opening}{pattern}{closing}" if pattern else ""
        pattern = rf"(?:[^{opening}{closing}\\]|\\.{inner})*"
    return rf"{opening}{within}{pattern}{closing}"


_LABEL = re.compile(_nested(r"\[", r"\]"), re.DOTALL)
_TARGET = re.compile(
    _nested(r"\(", r"\)", within=r"(?:\s*<[^<>\n]*>)?") + r"|\[(?:[^\[\]\\]|\\.)*\]", re.DOTALL
)
_BACKTICKS = re.compile("`+")
_ADDRESS = re.compile(r"<(?:[A-Za-z][A-Za-z0-9+.\-]{1,31}:[^<>\x00-\x20]*|[^\s<>@]+@[\w.-]+)>")
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z0-9]{1,31});")
_ENTITY_START = re.compile(r"&(?:#?[A-Za-z0-9]{0,31})\Z")

_markdown = MarkdownIt("commonmark").disable(["emphasis", "text_join"])


class InlineReader:
    """Turns the inline markdown of one paragraph, cut anywhere, into speakable text."""

    def __init__(self, link: str) -> None:
        self._link = link
        self._raw = ""
        self._position = 0  # settled up to here
        self._cut = 0  # the last place where it can be cut, up to there
        self._literal: set[int] = set()  # characters that look like markup and are not
        self._arrivals = Arrivals()

    def feed(self, raw: str, now: float) -> Iterator[tuple[str, float]]:
        """Speakable pieces, each with the time its last character arrived."""
        for start in range(0, len(raw), _STEP):
            part = raw[start : start + _STEP]
            held = len(self._raw)
            self._raw += part
            self._arrivals.add(len(part), now)
            yield from self._release(held, final=False)

    def close(self) -> Iterator[tuple[str, float]]:
        """The rest, taken literally where it is unfinished."""
        yield from self._release(len(self._raw), final=True)

    @property
    def pending(self) -> str:
        """What is held back, as it would be spoken if nothing followed."""
        return _render(self._raw, self._link) if self._raw else ""

    @property
    def holding(self) -> bool:
        """Whether more than a word is held back, for something that has not closed."""
        return bool(re.search(r"\S\s+\S", self._raw))

    def _release(self, held: int, final: bool) -> Iterator[tuple[str, float]]:
        """Give out what can be; what arrived before, `held` characters, apart, for its time."""
        while self._position < len(self._raw):
            position = self._next(final)
            if position is None:
                break
            self._position = position
            if position - self._cut >= _LONGEST:
                self._cut = position
            if self._cut > held > 0:
                yield from self._give(self._cut)
                held = 0
        yield from self._give(len(self._raw) if final else self._cut)

    def _give(self, end: int) -> Iterator[tuple[str, float]]:
        """Render the first `end` characters and let go of them."""
        if not end:
            return
        source, literal = self._raw[:end], self._literal
        seen = self._arrivals.at(len(source.rstrip()))
        if literal:
            marked = (f"\\{c}" if n in literal else c for n, c in enumerate(source))
            source = "".join(marked)
        self._arrivals.drop(end)
        self._raw = self._raw[end:]
        self._position -= end
        self._cut = 0
        self._literal = {position - end for position in literal if position >= end}
        if piece := _render(source, self._link):
            yield piece, seen

    def _next(self, final: bool) -> int | None:
        """The end of what starts at the position; None while that is open."""
        raw, start = self._raw, self._position
        character = raw[start]
        settled = final or len(raw) - start >= _LONGEST
        if plain := _PLAIN.match(raw, start, min(len(raw), self._cut + _LONGEST)):
            end = plain.end()
            if unspaced := _CUT.match(raw, start, end):
                self._cut = unspaced.end()
            return end
        if space := _SPACE.match(raw, start, start + _LONGEST):
            end = space.end()
            if end == len(raw) and end < start + _LONGEST and not final:
                return None
            self._cut = end
            return end
        if character == "\\":
            return start + 2 if start + 1 < len(raw) else (start + 1 if final else None)
        if character == "&":
            if entity := _ENTITY.match(raw, start):
                return entity.end()
            return None if _ENTITY_START.match(raw, start) and not final else start + 1
        find = {"`": self._code, "[": self._bracket, "<": self._tag}[character]
        end = find(start, final)
        if end > start or not settled:
            return end if end > start else None
        run = _BACKTICKS.match(raw, start, start + _LONGEST)
        end = run.end() if run else start + 1
        self._literal.update(range(start, end))
        return end

    def _code(self, start: int, final: bool) -> int:
        """The end of the code span that starts here; `start` if it has none."""
        raw = self._raw
        after = _BACKTICKS.match(raw, start, start + _LONGEST)
        run = after.end() - start if after else 1
        if start + run == len(raw) and not final:
            return start
        closing = re.compile(rf"(?<!`)`{{{run}}}(?!`)")
        end = closing.search(raw, start + run, start + _LONGEST)
        if end is None or (end.end() == len(raw) and not final):
            return start
        return end.end()

    def _bracket(self, start: int, final: bool) -> int:
        """The end of the link or image whose text starts here; `start` if it is none."""
        raw = self._raw
        if raw.find("]", start, start + _LONGEST) < 0:
            return start
        label = _LABEL.match(raw, start, start + _LONGEST)
        if label is None or (label.end() == len(raw) and not final):
            return start
        if raw[label.end() : label.end() + 1] in ("(", "["):
            target = _TARGET.match(raw, label.end(), start + _LONGEST)
            return target.end() if target else start
        self._literal.add(start)
        return start + 1

    def _tag(self, start: int, final: bool) -> int:
        """The end of the HTML tag or autolink that starts here; `start` if it is none."""
        raw = self._raw[start : start + _LONGEST]
        for pattern in (HTML_TAG_RE, _ADDRESS):
            if tag := pattern.match(raw):
                return start + tag.end()
        hopeless = len(raw) > 1 and not (raw[1].isalnum() or raw[1] in "/!?")
        closed = ">" in raw and not re.search(r"[\"']", raw)
        if hopeless or (closed and not raw.startswith(("<!--", "<![", "<?"))):
            self._literal.add(start)
            return start + 1
        return start


def _render(source: str, link: str) -> str:
    """Speakable text of inline markdown."""
    children = _markdown.parseInline(source)[0].children or []
    text = tidy("".join(_flatten(children, link)))
    lead = " " if source[:1].isspace() and not text[:1].isspace() else ""
    tail = " " if source[-1:].isspace() and text and not text[-1:].isspace() else ""
    return lead + text + tail


def _flatten(tokens: Sequence[Token], link: str) -> Iterator[str]:
    address = False  # within <https://...>
    for number, token in enumerate(tokens):
        if token.type == "text":
            if not address:
                before = number > 0 and tokens[number - 1].type not in _SPACES
                after = number + 1 < len(tokens) and tokens[number + 1].type not in _SPACES
                yield _drop_marks(
                    _URL.sub(lambda url: _url(url, link), token.content), before, after
                )
        elif token.type == "text_special":
            yield token.content
        elif token.type == "code_inline":
            yield spell_code(token.content)
        elif token.type == "softbreak":
            yield " "
        elif token.type == "hardbreak" or (
            token.type == "html_inline" and token.content.lower().startswith("<br")
        ):
            yield BREAK
        elif token.type == "image":
            yield from _flatten(token.children or [], link)
        elif token.markup == "autolink":
            address = token.type == "link_open"
            if address:
                yield link


_SPACES = ("softbreak", "hardbreak")
_URL = re.compile(rf"\b(?:https?|ftp|file)://[^\s<>\"{UNSPACED}]+|\bwww\.[^\s<>\"{UNSPACED}]+")
_MARKS = re.compile(r"\*+|_+|~~+")


def _url(url: re.Match[str], link: str) -> str:
    """The word for an address; the punctuation and marks after it are not part of it."""
    address = url.group()
    end = re.search(r"[.,;:!?'*_~\]]*$", address)
    rest = end.group() if end else ""
    if address.endswith(")") and address.count(")") > address.count("("):
        rest = ")"
    return link + rest


def _drop_marks(text: str, before: bool, after: bool) -> str:
    """Drop the marks of emphasis, which are those that could open or close it.

    Args:
        before: something that is not space comes before `text`.
        after: and after it.
    """

    def mark(run: re.Match[str]) -> str:
        left = text[run.start() - 1] if run.start() else "(" if before else " "
        right = text[run.end()] if run.end() < len(text) else "(" if after else " "
        if left.isspace() and right.isspace():
            return run.group()
        within = left.isalnum() and right.isalnum()
        if within and (run.group()[0] == "_" or run.group() == "*"):
            return run.group()  # snake_case, 2*3
        if run.group() == "*" and re.match(r"\.\w", text[run.end() :]):
            return run.group()  # *.py
        return ""

    return _MARKS.sub(mark, text)
