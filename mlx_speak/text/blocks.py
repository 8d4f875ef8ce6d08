"""The block structure of markdown, line by line, without waiting for lines to end.

CommonMark's own algorithm (spec 0.31, "Phase 1: block structure"): each line first continues the
open containers (quotes, list items), then opens new ones, and what is left is text of a leaf. As
soon as the start of a line settles that it is prose, its characters are handed on as they come.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from markdown_it.rules_block.html_block import HTML_SEQUENCES


@dataclass(frozen=True)
class Block:
    """What the block structure says next."""

    kind: Literal["text", "stop", "rewind", "code", "table"]
    """"text": inline markdown. "stop": its paragraph ends. "code": a code block. "table": a table.
    "rewind": the text since the last stop was a table's first row."""
    text: str = ""
    """Of "text", inline markdown; of "code", the language; of "stop", what ended: "heading",
    "item" or "paragraph"."""


@dataclass(frozen=True)
class _Container:
    """A block quote, or a list item whose content is indented by `indent` columns."""

    indent: int = 0
    """0 for a quote."""


@dataclass(frozen=True)
class _Line:
    """What a line is. Found without side effects, so that an unfinished line can be probed."""

    kind: str
    text: str = ""
    matched: int = 0
    opened: tuple[_Container, ...] = ()


# The start of a line that is prose whatever follows: a letter, or a marker that is none.
_PROSE = re.compile(
    r"""[ ]{0,3}(?:
        [^\s>#`~<|=:\-+*•‣◦_\d\[]
      | [_*]{1,2}[^\s_*]
      | [-+][^\s\-+|:]
      | \#{1,6}[^\s\#]
      | `{1,2}[^`]
      | ~{1,2}[^~]
      | [=:][^=:\s|-]
      | \d{1,9}[^\d.)] | \d{1,9}[.)]\S | \d{10}
    )""",
    re.VERBOSE,
)
# A bracket may start a link definition or a task's box, but only at the start of a paragraph.
_BRACKET = re.compile(r" {0,3}\[(?:[^\[\]\\]|\\.)*\][^:\s]")
_PROBE = 256
"""A line whose start stays undecided for so long is looked at again when it ends."""

_DEEPEST = 32
"""Containers nested deeper are text, so that a line of markers takes no quadratic time."""

# Markers of containers and the space around them, where tabs stand for columns.
_LEAD = re.compile(r"(?:[ \t>]|[-+*•‣◦](?=[ \t])|\d{1,9}[.)](?=[ \t]))*")
_QUOTE = re.compile(r" {0,3}> ?")
_ITEM = re.compile(r"( {0,3}(?:[-+*•‣◦]|(\d{1,9})[.)]))(?=( *)(.?))")
_TASK = re.compile(r"^\[[ xX]\]\s+")
_HEADING = re.compile(r" {0,3}#{1,6}(?:[ \t]+(.*?))??(?:[ \t]+#+)?[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})[ \t]*(\S*)")
_RULE = re.compile(r" {0,3}([-_*])[ \t]*(?:\1[ \t]*){2,}$")
_UNDERLINE = re.compile(r" {0,3}(?:=+|-+)[ \t]*$")
_DEFINITION = re.compile(
    r" {0,3}\[(?:[^\[\]\\]|\\.)+\]:[ \t]*(?:<[^<>]*>|\S+)"
    r"""(?:[ \t]+(?:"[^"]*"|'[^']*'|\([^()]*\)))?[ \t]*$"""
)
_DELIMITERS = re.compile(r" {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")


class BlockReader:
    """Feed it markdown cut anywhere; the blocks that come out do not depend on the cuts."""

    def __init__(self) -> None:
        self._line = ""  # the current line, unless it flows
        self._parts: list[str] = []  # its further pieces, once it is too long to probe
        self._flowing = False  # the line is prose, handed on as it comes
        self._containers: list[_Container] = []
        self._leaf = ""  # "", "paragraph", "fence", "code", "html", "table"
        self._end_of_leaf = re.compile("")  # what ends a fence or an HTML block
        self._row = ""  # the last line of prose, as far as it may be a table's first row
        self._held_row = False  # that row starts with "|", and is not handed on yet
        self._first_line = False  # that row is the first line of its paragraph
        self._in_item = False  # the paragraph is the first of a list item

    def feed(self, text: str) -> Iterator[Block]:
        """The blocks, and parts of blocks, that this text settles."""
        start = 0
        while start < len(text):
            end = text.find("\n", start)
            yield from self._piece(text[start : end if end >= 0 else len(text)])
            if end < 0:
                return
            yield from self._end_line()
            start = end + 1

    def close(self) -> Iterator[Block]:
        """End the text: what is open is closed, and the reader is as new."""
        if self._line or self._flowing:
            yield from self._end_line()
        yield from self._end_paragraph()
        self.__init__()  # type: ignore[misc]

    def _piece(self, piece: str) -> Iterator[Block]:
        if self._flowing:
            self._row += piece
            yield Block("text", piece)
        elif len(self._line) >= _PROBE or self._leaf == "fence":
            self._parts.append(piece)
            if not self._line:
                self._join()
        elif piece:
            self._line += piece
            line = self._classify(self._line)
            if line.kind == "text" and self._is_prose(line):
                self._flowing = True
                self._line = ""
                yield from self._commit(line)

    def _join(self) -> None:
        self._line += "".join(self._parts)
        self._parts = []

    def _is_prose(self, line: _Line) -> bool:
        """Whether an unfinished line is text whatever follows."""
        continues = self._leaf == "paragraph" and not line.opened
        return bool(
            _PROSE.match(line.text)
            or (continues and re.match(r" {0,3}\[", line.text))
            or _BRACKET.match(line.text)
        )

    def _end_line(self) -> Iterator[Block]:
        if self._flowing:
            self._flowing = False
        else:
            self._join()
            line, self._line = self._line, ""
            yield from self._commit(self._classify(line))
        if self._leaf == "paragraph" and not self._held_row:
            yield Block("text", "\n")

    # What a line is

    def _classify(self, line: str) -> _Line:
        lead = _LEAD.match(line)
        markers = lead.group() if lead else ""
        rest = markers.expandtabs(4) + line[len(markers) :]
        matched = 0
        for container in self._containers:
            if container.indent:
                if not rest.strip():
                    rest = ""
                elif _indent(rest) >= container.indent:
                    rest = rest[container.indent :]
                else:
                    break
            elif quote := _QUOTE.match(rest):
                rest = rest[quote.end() :]
            else:
                break
            matched += 1
        inside = matched == len(self._containers)
        if inside and self._leaf in ("fence", "html"):
            return _Line(f"in {self._leaf}", rest, matched)
        opened: list[_Container] = []
        while True:
            paragraph = self._leaf == "paragraph" and not opened
            kind, text = self._leaf_start(rest, paragraph, inside and paragraph)
            if kind != "text" or matched + len(opened) >= _DEEPEST:
                break
            if quote := _QUOTE.match(rest):
                opened.append(_Container())
                rest = rest[quote.end() :]
            elif item := self._item(rest, inside and paragraph):
                opened.append(item)
                rest = _TASK.sub("", rest[item.indent :], count=1)
            else:
                break
        if kind == "text" and self._leaf == "table" and inside and not opened:
            kind = "row"
        return _Line(kind, text, matched, tuple(opened))

    def _leaf_start(self, rest: str, paragraph: bool, inside: bool) -> tuple[str, str]:
        """The kind of a line, its containers taken off, and the text it holds.

        Args:
            paragraph: one is open, which the line may continue.
            inside: and that paragraph is in the same containers as the line.
        """
        if not rest.strip():
            return "blank", ""
        if _indent(rest) >= 4:
            return ("text", rest) if paragraph else ("indented", rest)
        row = inside and (self._held_row or self._first_line)
        if row and _DELIMITERS.match(rest) and _makes_table(self._row, rest):
            return "table", rest
        if inside and _UNDERLINE.match(rest):
            return "underline", ""
        if heading := _HEADING.match(rest):
            return "heading", heading[1] or ""
        if fence := _FENCE.match(rest):
            return "fence", f"{fence[1]} {fence[2]}"
        if _RULE.match(rest):
            return "rule", ""
        if rest.lstrip().startswith("<"):
            for start, _, interrupts in HTML_SEQUENCES:
                if (interrupts or not paragraph) and start.search(rest.lstrip()):
                    return "html", rest
        if not paragraph and _DEFINITION.match(rest):
            return "definition", rest
        return "text", rest

    def _item(self, rest: str, interrupts: bool) -> _Container | None:
        """The list item that a line opens, if it does."""
        marker = _ITEM.match(rest)
        if not marker or _indent(rest) >= 4:
            return None
        spaces, follows = len(marker[3]), marker[4]
        if follows and not spaces:
            return None
        if interrupts and (not follows or marker[2] not in (None, "1")):
            return None
        if not follows or spaces > 4:
            spaces = 1
        return _Container(marker.end(1) + spaces)

    # What a line does

    def _commit(self, line: _Line) -> Iterator[Block]:
        kind = line.kind
        lazy = (
            kind == "text"
            and self._leaf == "paragraph"
            and not line.opened
            and line.matched < len(self._containers)
        )
        if kind == "row":
            return
        if self._held_row and kind != "table":
            self._held_row = False
            yield Block("text", self._row.strip(" |") + "\n")
        if not lazy and (line.matched < len(self._containers) or line.opened):
            yield from self._end_paragraph()
            del self._containers[line.matched :]
            if line.opened:
                self._containers += line.opened
                self._in_item = line.opened[-1].indent > 0
        if kind == "text":
            self._first_line = self._leaf != "paragraph"
            if self._first_line:
                yield from self._end_paragraph()
                self._leaf = "paragraph"
            self._row = line.text
            self._held_row = line.text.lstrip().startswith("|")
            if not self._held_row:
                yield Block("text", line.text.lstrip())
        elif kind == "table":
            if self._first_line and not self._held_row:
                yield Block("rewind")
            elif not self._first_line:
                yield Block("stop", "item" if self._in_item else "paragraph")
            self._leaf, self._held_row = "table", False
            yield Block("table")
        elif kind == "in fence":
            if self._end_of_leaf.match(line.text):
                self._leaf = ""
        elif kind == "in html":
            self._end_html(line.text)
        else:
            yield from self._other(kind, line.text)

    def _other(self, kind: str, text: str) -> Iterator[Block]:
        """The lines that end a paragraph."""
        if self._leaf == "code" and kind in ("indented", "blank"):
            return
        yield from self._end_paragraph("heading" if kind == "underline" else "")
        if kind == "heading":
            yield Block("text", text)
            yield Block("stop", "heading")
        elif kind == "fence":
            fence, _, language = text.partition(" ")
            self._end_of_leaf = re.compile(rf" {{0,3}}{fence[0]}{{{len(fence)},}}[ \t]*$")
            self._leaf = "fence"
            yield Block("code", language)
        elif kind == "indented":
            self._leaf = "code"
            yield Block("code")
        elif kind == "html":
            for start, end, _ in HTML_SEQUENCES:
                if start.search(text.lstrip()):
                    self._leaf, self._end_of_leaf = "html", end
                    self._end_html(text)
                    break

    def _end_html(self, text: str) -> None:
        if self._end_of_leaf.search(text.strip()):
            self._leaf = ""

    def _end_paragraph(self, kind: str = "") -> Iterator[Block]:
        if self._held_row:
            self._held_row = False
            yield Block("text", self._row.strip(" |"))
        if self._leaf == "paragraph":
            yield Block("stop", kind or ("item" if self._in_item else "paragraph"))
            self._in_item = False
        self._leaf, self._row = "", ""


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _makes_table(row: str, delimiters: str) -> bool:
    """Whether a row of prose and the line of delimiters below it are the head of a table."""
    return "|" in row + delimiters and _cells(row) == _cells(delimiters)


def _cells(row: str) -> int:
    """The number of cells of a table's row."""
    row = re.sub(r"\\.|`[^`]*`", "", row).strip()
    return row.removeprefix("|").removesuffix("|").count("|") + 1
