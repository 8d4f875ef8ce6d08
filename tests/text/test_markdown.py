"""Markdown to speakable text, whole and in pieces."""

# ruff: noqa: E501 (a case a line reads best)

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from text.spoken import pieces, sentences

from mlx_speak.text import MarkdownReader, Placeholders, SentenceReader, TextEvent, speakable
from mlx_speak.text.verbalize import neaten

CASES = {
    "emphasis": ("*a* _b_ **c d** __e__ ***f*** ~~g~~", "a b c d e f g"),
    "emphasis within words": ("un*believ*able snake_case 2*3 5 * 3", "un*believ*able snake_case 2*3 5 * 3"),
    "emphasis around code": ("**`code`** and *`x`*", "code and x"),
    "emphasis over sentences": ("**One. Two.**", "One. Two."),
    "escapes": (r"\*not\* \_marks\_ \`here\`", "*not* _marks_ `here`"),
    "entities": ("a &amp; b &lt; c &#233; &copy;", "a & b < c é ©"),
    "inline code": ("Call `read_file()` or `a.b`, in `src/main.py`.", "Call read file or a.b, in src/main.py."),
    "code with camel case": ("`parseInline(text)`", "parse Inline text"),
    "code with marks that end sentences": ("Say `Stop. Now!` once.", "Say Stop Now once."),
    "unclosed code": ("a `b c", "a `b c"),
    "links": ("[the docs](https://x.y/z_w), [ref][1], [**bold** one](<a b>)", "the docs, ref, bold one"),
    "link in link text": ("[![badge](a.svg)](https://b) ok", "badge ok"),
    "images": ("![a cat](cat.png)", "a cat"),
    "addresses": ("See https://a.b/c?d=e_f. (http://x.y/z) www.a.b!", "See the link. (the link) the link!"),
    "address in angles": ("At <https://a.b> now", "At the link now"),
    "html": ("a <b>b</b> <!-- no --> c<br>d <x-y z='1'>", "a b c\nd"),
    "less than": ("if a < b and c > d", "if a < b and c > d"),
    "footnotes": ("It is so.[^1]", "It is so."),
    "brackets": ("[ERROR] it failed at a[0]", "ERROR it failed at a[0]"),
    "emoji": ("✅ Done 🎉 and ready ⚠️ .", "OK: Done and ready warning."),
    "blobs": (f"Key {'f00d' * 30} is set", "Key a long string is set"),
    "soft and hard breaks": ("a\nb  \nc\\\nd", "a b\nc\nd"),
    "headings": ("# One\n## Two ##\nThree\n===\n####### Seven", "One\nTwo\nThree\n####### Seven"),
    "fences": ("a\n```py\nx = 1\n\n# no\n```\nb\n~~~\n```\n~~~\nc", "a\nPython code.\nb\nCode.\nc"),
    "fence never closed": ("a\n\n```sh\nls", "a\nA command."),
    "fence in a list": ("1. a\n   ```\n   x\n   ```\n2. b", "a\nCode.\nb"),
    "indented code": ("a\n\n    code\n\n    more\n\nb", "a\nCode.\nb"),
    "lists": ("- a\n- b\n  - c\n    d\n\n  e\n* f\n1. g\n2) h\n• i", "a\nb\nc d\ne\nf\ng\nh\ni"),
    "tasks": ("- [ ] a\n- [x] b\n- [link](x) c", "a\nb\nlink c"),
    "not a list": ("2024. was\n- \n-a\n1.5 is", "was\n-a 1.5 is"),
    "quotes": ("> a\nb\n> > c\n\n> - d", "a b\nc\nd"),
    "rules": ("a\n\n---\n***\n_ _ _\nb", "a\nb"),
    "tables": ("a\n\n| x | y |\n|---|:-:|\n| 1 | 2 |\n\nb", "a\nA table.\nb"),
    "table after text": ("Look:\n| x |\n|---|\n| 1 |", "Look:\nA table."),
    "table without outer pipes": ("x | y\n--|--\n1 | 2\n\nb", "A table.\nb"),
    "no table": ("| a\nb | c\n\nd\n| e", "a b | c\nd e"),
    "html blocks": ("<div>\nx\n</div>\n\na\n\n<!--\n\nb\n-->\nc", "a\nc"),
    "definitions": ("[a]: https://b 'c'\n\nd [a]", "d a"),
    "japanese": ("**太字**です。`コード`と[リンク](x)。", "太字です。コードとリンク。"),
}  # fmt: skip


def spoken(text: str) -> str:
    """As sentences are: brackets and spaces before stops are taken out of whole sentences."""
    return "\n".join(neaten(line) for line in speakable(text).split("\n"))


@pytest.mark.parametrize("name", CASES)
def test_case(name):
    text, expected = CASES[name]
    assert spoken(text) == expected


def read(parts: list[str]) -> str:
    """What a reader makes of the pieces of a text, stops as lines."""
    reader = MarkdownReader()
    found = [piece for part in parts for piece in reader.feed(part)]
    found += reader.close()
    return "".join(p.text if p.kind == "text" else f"<{p.kind} {p.text}>" for p in found)


@pytest.mark.parametrize("name", CASES)
def test_case_in_pieces(name):
    text = CASES[name][0]
    for size in (1, 2, 3, 7):
        assert read([text[i : i + size] for i in range(0, len(text), size)]) == read([text])


MARKDOWN = st.lists(
    st.sampled_from([text for text, _ in CASES.values()])
    | st.sampled_from(["\n", "\n\n", " ", "a", "`", "``", "[", "](", ")", "<", ">", "&amp", ";"])
    | st.sampled_from(["* ", "**", "_", "- ", "1. ", "# ", "|", "---", "```", "    ", "\\", "!", "é。"]),
    max_size=12,
).map("".join)  # fmt: skip


@given(MARKDOWN, st.lists(st.integers(0, 300), max_size=10))
def test_any_split(text, cuts):
    assert read(pieces(text, cuts)) == read([text])


def test_placeholders():
    text = "See https://a.b now.\n```go\nx\n```\n```cobol\nx\n```\n| a |\n|---|\n"
    own = Placeholders(code="Quelltext.", languages={"go": "Go!"}, table="", link="die Adresse")
    assert speakable(text, own) == "See die Adresse now.\nGo!\nQuelltext."
    assert speakable(text, Placeholders.silent()) == "See now."


@pytest.mark.parametrize(
    ("language", "spoken"),
    [
        ("pt", "Código em Rust.\nUm comando.\nUma tabela."),
        ("ja", "Rustのコードです。\nコマンドです。\n表です。"),
        ("de", "Rust code.\nA command.\nA table."),
    ],
)
def test_placeholders_are_in_the_language_of_the_text(language, spoken):
    text = "```rs\nx\n```\n```sh\nx\n```\n| a |\n|---|\n"
    assert speakable(text, language=language) == spoken
    assert sentences(text, "text", language=language) == spoken.split("\n")


def test_headings_and_items_end_as_sentences():
    text = "# Title\n\n- one\n- two:\n- three!\n\nfour"
    assert sentences(text) == ["Title.", "one.", "two:", "three!", "four"]
    assert sentences("# 題名", language="ja") == ["題名。"]


def test_prose_is_handed_on_before_its_line_ends():
    for marker in ("", "- ", "1. ", "> ", "  "):
        reader = MarkdownReader()
        texts = [piece.text for piece in reader.feed(f"{marker}One two three")]
        assert "".join(texts).strip() == "One two"
        assert reader.pending == "three"


def test_a_delta_costs_little():
    """Far below a millisecond; the bound leaves room for a machine that is busy."""
    text = "".join(
        f"{case}\n\nA sentence of ordinary length, as they come. " for case, _ in CASES.values()
    )
    deltas = [text[i : i + 5] for i in range(0, len(text), 5)]
    reader = SentenceReader()
    times = []
    for delta in deltas:
        began = time.perf_counter()
        reader.feed(TextEvent(delta, "text", "m"))
        times.append(time.perf_counter() - began)
    assert sorted(times)[len(times) // 2] < 0.5e-3
    assert sum(times) / len(times) < 1e-3


def takes_linear_time(seconds: Callable[[int], float], size: int) -> bool:
    """Whether ten times as much takes less than 30 times as long; quadratic time would be 100 times.

    Once in three tries is enough: what else the machine does makes either of the two longer.
    """
    return any(seconds(10 * size) < 30 * seconds(size) for _ in range(3))


def test_a_long_text_takes_linear_time():
    def seconds(paragraphs: int) -> float:
        text = "It was **late**, e.g. at `noon`, and [we](x) left. " * 40 + "\n\n- then\n\n"
        reader = SentenceReader()
        began = time.process_time()
        reader.feed(TextEvent(text * paragraphs, "text", "m"))
        return time.process_time() - began

    assert takes_linear_time(seconds, 20)


@pytest.mark.parametrize("separator", ["", "\n"])
def test_one_long_paragraph_takes_linear_time(separator):
    def seconds(count: int) -> float:
        reader = SentenceReader()
        began = time.process_time()
        for _ in range(count):
            reader.feed(TextEvent(f"and so on{separator} ", "text", "m"))
        return time.process_time() - began

    assert takes_linear_time(seconds, 1_000)


def test_quadratic_time_is_told_from_linear():
    assert not takes_linear_time(lambda size: 1e-9 * size * (100 + size), 1_000)
    assert takes_linear_time(lambda size: 1e-6 * size, 1_000)
