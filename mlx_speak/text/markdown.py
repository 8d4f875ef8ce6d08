"""Markdown, while it is being written, to text that can be spoken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from ..languages import Language
from .blocks import Block, BlockReader
from .inline import BREAK, InlineReader
from .verbalize import name_symbols
from .words import WORDS, Words


def _languages(words: Words = WORDS["en"]) -> dict[str, str]:
    names = {
        "Python": "python py pycon python3",
        "JavaScript": "javascript js jsx mjs",
        "TypeScript": "typescript ts tsx",
        "Rust": "rust rs",
        "Go": "go golang",
        "Java": "java",
        "C": "c h",
        "C plus plus": "cpp c++ cc cxx hpp",
        "C sharp": "csharp cs c#",
        "Swift": "swift",
        "Kotlin": "kotlin kt",
        "Ruby": "ruby rb",
        "SQL": "sql",
    }
    commands = "bash sh shell zsh fish console shell-session"
    spoken = {
        alias: words.code_in.format(name=name)
        for name, line in names.items()
        for alias in line.split()
    }
    spoken |= dict.fromkeys(commands.split(), words.command)
    spoken |= dict.fromkeys(("diff", "patch"), words.change)
    return spoken


@dataclass(frozen=True)
class Placeholders:
    """What is said in place of what is not read out, in the language of the text: English here.

    An empty string says nothing. `Placeholders.silent()` has only empty ones.
    """

    code: str = WORDS["en"].code
    """For a code block whose language is not in `languages`."""
    languages: Mapping[str, str] = field(default_factory=_languages)
    """For a code block, by the language after its fence."""
    table: str = WORDS["en"].table
    """For a table."""
    link: str = WORDS["en"].link
    """For an address amid a sentence."""
    skipped: str = WORDS["en"].skipped
    """Where sentences are left out because speech has fallen too far behind."""

    @classmethod
    def of(cls, language: str | Language) -> Placeholders:
        """Those of a language that `words` knows, else English ones.

        Raises:
            UnknownLanguageError: for a language that is not known.
        """
        words = WORDS.get(Language.parse(language).code, WORDS["en"])
        return cls(words.code, _languages(words), words.table, words.link, words.skipped)

    @classmethod
    def silent(cls) -> Placeholders:
        """Placeholders that say nothing."""
        return cls(code="", languages={}, table="", link="", skipped="")

    def brief(self) -> Placeholders:
        """The shortest that still tell what was there."""
        return replace(self, languages={})

    def for_code(self, language: str) -> str:
        """What is said for a code block in a language."""
        return self.languages.get(language.strip("{.}").lower(), self.code)


@dataclass(frozen=True)
class Speakable:
    """A piece of speakable text, or a mark in it."""

    kind: Literal["text", "stop", "rewind"]
    """"text": follows the text before. "stop": a sentence ends here. "rewind": what came since
    the last stop, if it is not spoken yet, is not to be."""
    text: str = ""
    """Of "stop", what ended: "heading", "item", "paragraph" or "placeholder"."""
    seen: float = 0.0
    """When the last character of the text arrived."""


class MarkdownReader:
    """Markdown cut anywhere to pieces of speakable text that do not depend on the cuts."""

    def __init__(self, placeholders: Placeholders | None = None) -> None:
        self.placeholders = placeholders or Placeholders()
        self._blocks = BlockReader()
        self._inline = InlineReader(self.placeholders.link)
        self._now = 0.0

    def feed(self, text: str, now: float = 0.0) -> Iterator[Speakable]:
        """The speakable text that `text`, which arrived at `now`, settles."""
        self._now = now
        for block in self._blocks.feed(text):
            yield from self._block(block)

    def flush(self) -> Iterator[Speakable]:
        """The unfinished tail of the current line of prose; the line may still go on."""
        for text, seen in self._inline.close():
            yield Speakable("text", text, seen)

    def close(self) -> Iterator[Speakable]:
        """End the text; the reader is as new."""
        for block in self._blocks.close():
            yield from self._block(block)
        yield from self.flush()

    @property
    def pending(self) -> str:
        """The speakable text that is held back until more arrives."""
        return self._inline.pending

    @property
    def holding(self) -> bool:
        """Whether something unclosed, such as a link, holds back more than a word."""
        return self._inline.holding

    def _block(self, block: Block) -> Iterator[Speakable]:
        if block.kind == "text":
            for text, seen in self._inline.feed(block.text, self._now):
                yield Speakable("text", text, seen)
        elif block.kind == "stop":
            yield from self.flush()
            yield Speakable("stop", block.text)
        elif block.kind == "rewind":
            self._inline = InlineReader(self.placeholders.link)
            yield Speakable("rewind")
        else:
            table = block.kind == "table"
            said = self.placeholders.table if table else self.placeholders.for_code(block.text)
            if said:
                yield Speakable("text", said, self._now)
                yield Speakable("stop", "placeholder")


def speakable(
    text: str, placeholders: Placeholders | None = None, language: str | Language = "en"
) -> str:
    """The whole of a markdown text as it would be spoken, a line for each paragraph.

    Args:
        language: of the text, as `Language.parse` reads it.
    """
    code = Language.parse(language).code
    reader = MarkdownReader(placeholders or Placeholders.of(language))
    paragraphs = [""]
    for piece in (*reader.feed(text), *reader.close()):
        if piece.kind == "text":
            paragraphs[-1] += piece.text
        elif piece.kind == "stop":
            paragraphs.append("")
        else:
            paragraphs[-1] = ""
    lines = (name_symbols(line, code) for line in "\n".join(paragraphs).split(BREAK))
    return "\n".join(" ".join(line.split()) for line in lines if line.strip())
