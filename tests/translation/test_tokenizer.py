"""The numbering of NLLB and M2M100, on a small vocabulary trained here and on the real ones."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from support import package
from translation.nllb_folder import (
    PIECES,
    TEXTS,
    dictionary,
    language_ids,
    vocabulary,
    write_folder,
)

from mlx_speak.errors import ModelFormatError, ModelNotFoundError, UnknownLanguageError
from mlx_speak.languages import Language, all_languages
from mlx_speak.translation.tokenizer import NLLBTokenizer, Tokenizer, language_token_ids

ENGLISH, JAPANESE = Language.parse("en"), Language.parse("ja")

SPECIAL = ["<s>", "</s>", "<unk>", "<pad>", "<mask>", "eng_Latn", "__en__", "▁", "<0x41>"]

# Text with every character of the vocabulary, some that it lacks, and what looks special.
CHARACTERS = "".join(sorted(set("".join(TEXTS)))) + "Жж😀\u200b\u0301 \t\n_"
NORMALISED = "".join(c for c in CHARACTERS if unicodedata.normalize("NFKC", c) != c)
LOST_ACCENT = re.compile(f"[{NORMALISED}]\u0301")
TEXT = st.lists(st.text(alphabet=CHARACTERS, max_size=12) | st.sampled_from(SPECIAL)).map("".join)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vocabulary") / "sentencepiece.bpe.model"
    path.write_bytes(vocabulary())
    return path


@pytest.fixture(scope="module")
def nllb(file: Path) -> NLLBTokenizer:
    return NLLBTokenizer(file, language_ids())


@pytest.fixture(scope="module")
def m2m_100(file: Path) -> NLLBTokenizer:
    return NLLBTokenizer(file, language_ids(), dictionary(vocabulary()))


@pytest.fixture(params=["nllb", "m2m_100"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def tokenizer(request: pytest.FixtureRequest, kind: str) -> NLLBTokenizer:
    return request.getfixturevalue(kind)


def test_nllb_numbers_as_fairseq(nllb: NLLBTokenizer) -> None:
    """SentencePiece has <unk>, <s>, </s>; fairseq <s>, <pad>, </s>, <unk>; then the pieces."""
    model = sentencepiece.SentencePieceProcessor(model_proto=vocabulary())
    for text in TEXTS:
        assert nllb.tokenize(text) == [piece + 1 for piece in model.encode(text)]
    assert nllb.tokenize("Ж") == [model.piece_to_id("▁") + 1, 3]


def test_m2m_100_numbers_as_its_dictionary(m2m_100: NLLBTokenizer) -> None:
    model = sentencepiece.SentencePieceProcessor(model_proto=vocabulary())
    numbers = dictionary(vocabulary())
    for text in TEXTS:
        pieces = model.encode(text, out_type=str)
        assert m2m_100.tokenize(text) == [numbers[piece] for piece in pieces]
    assert m2m_100.tokenize("Ж") == [numbers["▁"], 3]


def test_a_piece_that_the_dictionary_lacks_is_unknown(file: Path) -> None:
    numbers = dictionary(vocabulary())
    last = max(numbers, key=lambda piece: numbers[piece])
    del numbers[last]
    tokenizer = NLLBTokenizer(file, language_ids(PIECES), numbers)
    assert 3 in tokenizer.tokenize(last)
    assert tokenizer.decode(tokenizer.tokenize(f"a{last}b")).replace(" ", "") == "ab"


def test_encode(tokenizer: NLLBTokenizer) -> None:
    ids = language_ids()
    assert tokenizer.encode("a dog", ENGLISH) == [
        ids["eng_Latn"],
        *tokenizer.tokenize("a dog"),
        2,
    ]
    assert tokenizer.encode(" \n", JAPANESE) == [ids["jpn_Jpan"], 2]
    assert tokenizer.vocab_size == PIECES + 1 + len(ids)


def test_ends_are_stripped(tokenizer: NLLBTokenizer) -> None:
    assert tokenizer.tokenize(" \t a dog\n ") == tokenizer.tokenize("a dog")


@pytest.mark.parametrize("text", SPECIAL)
def test_what_looks_special_is_text(tokenizer: NLLBTokenizer, text: str) -> None:
    for tokens in (tokenizer.tokenize(text), tokenizer.tokenize(f"a {text} dog.")):
        assert all(3 <= token <= PIECES for token in tokens)


@given(TEXT)
def test_round_trip(nllb: NLLBTokenizer, m2m_100: NLLBTokenizer, text: str) -> None:
    model = sentencepiece.SentencePieceProcessor(model_proto=vocabulary())
    for tokenizer in (nllb, m2m_100):
        tokens = tokenizer.tokenize(text)
        assert all(3 <= token <= PIECES for token in tokens)
        if 3 not in tokens:
            normalised = model.normalize(text.strip()).replace("▁", " ").strip()
            assert tokenizer.decode(tokens) == normalised


def test_decode_leaves_out_what_is_no_text(tokenizer: NLLBTokenizer) -> None:
    tokens = tokenizer.tokenize("the dog")
    others = [0, 1, 2, 3, *language_ids().values(), 256, 258, 10**9, -1]
    assert tokenizer.decode([2, others[5], *tokens[:1], *others, *tokens[1:], 2, 1]) == "the dog"
    assert tokenizer.decode([]) == tokenizer.decode(others) == ""
    assert tokenizer.decode(tokenizer.tokenize("Ж dog")) == "dog"


def test_pieces_that_are_bytes(tmp_path: Path) -> None:
    """A vocabulary with byte fallback spells what it lacks; a part of a character is U+FFFD."""
    path = tmp_path / "sentencepiece.bpe.model"
    path.write_bytes(vocabulary(450, byte_fallback=True))
    tokenizer = NLLBTokenizer(path, language_ids(451))
    tokens = tokenizer.tokenize("dog 😀!")
    assert tokenizer.decode(tokens) == "dog 😀!"
    assert tokenizer.decode(tokens[:-2]).rstrip("\ufffd") == "dog "


def test_languages(tokenizer: NLLBTokenizer) -> None:
    ids = language_ids()
    assert [language.flores for language in tokenizer.languages] == list(ids)
    for language in tokenizer.languages:
        assert tokenizer.language_token_id(language) == ids[language.flores]
    assert tokenizer.language_token_id(Language.parse("pt-BR")) == ids["por_Latn"]
    with pytest.raises(UnknownLanguageError, match=r"zho_Hant.*near are zh-Hans"):
        tokenizer.language_token_id(Language.parse("zh-TW"))


def test_the_numbering_of_the_checkpoints() -> None:
    """Golden: the ids of the hub's tokenizers of NLLB-200 and m2m100_418M."""
    ids = language_token_ids("nllb", 256001)
    assert [ids[code] for code in ("eng_Latn", "fra_Latn", "ron_Latn")] == [256047, 256057, 256145]
    assert len(ids) == 202
    assert min(ids.values()) == 256001
    ids = language_token_ids("m2m_100", 128004)
    assert [ids[code] for code in ("afr_Latn", "eng_Latn", "nso_Latn")] == [128004, 128022, 128069]
    assert len(ids) == len(set(ids.values())) == 100
    assert ids["zul_Latn"] == 128103


@pytest.mark.oracle
def test_languages_of_m2m_100_as_transformers(file: Path, tmp_path: Path) -> None:
    theirs = _m2m_100_of_transformers(tmp_path)
    ids = language_token_ids("m2m_100", PIECES + 1)
    ours = NLLBTokenizer(file, ids, dictionary(vocabulary()))
    codes = {code: Language.parse({"ns": "nso"}.get(code, code)) for code in theirs.lang_code_to_id}
    assert {
        code: ours.language_token_id(language) for code, language in codes.items()
    } == theirs.lang_code_to_id
    theirs.src_lang = "ja"
    assert ours.encode(TEXTS[4], JAPANESE) == theirs(TEXTS[4])["input_ids"]


@pytest.mark.oracle
def test_text_as_transformers(
    tokenizer: NLLBTokenizer, tmp_path: Path, file: Path, kind: str
) -> None:
    """Pieces and text, not languages: transformers numbers NLLB's wrongly from a bare file.

    Nor spaces of no width: SentencePiece, which NLLB was trained with, takes them for nothing,
    transformers' own implementation leaves a space. Nor accents on what is normalised: where the
    start of a grapheme is, tokenizers' `Precompiled` replaces all of it, and loses its marks.
    """
    if kind == "nllb":
        nllb = package("transformers.models.nllb")
        theirs = nllb.NllbTokenizer.from_pretrained(file.parent)
    else:
        theirs = _m2m_100_of_transformers(tmp_path)

    @given(st.text(alphabet=CHARACTERS.replace("\u200b", ""), max_size=60))
    @settings(max_examples=1000, deadline=None)
    @example("dog Жж dog")
    def same(text: str) -> None:
        text = text.strip()
        assume(not LOST_ACCENT.search(text))
        tokens = tokenizer.tokenize(text)
        assert tokens == theirs(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(tokens) == theirs.decode(tokens, skip_special_tokens=True).strip()

    same()


def _m2m_100_of_transformers(folder: Path):
    write_folder(folder, tokenizer="m2m_100")
    module = package("transformers.models.m2m_100")
    return module.M2M100Tokenizer(
        str(folder / "vocab.json"), str(folder / "sentencepiece.bpe.model")
    )


def _real() -> Path | None:
    """NLLB-200's own vocabulary: `NLLB_SENTENCEPIECE`, or where the hub's client keeps it."""
    if named := os.environ.get("NLLB_SENTENCEPIECE"):
        return Path(named)
    hub = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser() / "hub"
    found = hub.glob("models--facebook--nllb-200-*/snapshots/*/sentencepiece.bpe.model")
    return next(iter(sorted(found)), None)


@pytest.mark.skipif(_real() is None, reason="NLLB-200's vocabulary is on the hub only")
def test_golden_vectors_of_nllb() -> None:
    """From the hub's model card and transformers' integration tests."""
    path = _real()
    assert path is not None
    tokenizer = NLLBTokenizer(path, language_token_ids("nllb", 256001))
    assert tokenizer.encode("UN Chief Says There Is No Military Solution in Syria", ENGLISH) == [
        *(256047, 16297, 134408, 8165, 248066, 14734, 950, 1135),
        *(105721, 3573, 83, 27352, 108, 49486, 2),
    ]
    assert tokenizer.encode("A test", ENGLISH) == [256047, 70, 7356, 2]
    assert tokenizer.decode([70, 7356]) == "A test"
    assert tokenizer.vocab_size == 256203


@pytest.mark.parametrize(
    "ids",
    [
        {},
        {"eng_Latn": PIECES},  # the last piece
        {"eng_Latn": PIECES + 2},  # as if there were one piece more
        {"eng_Latn": PIECES + 1, "por_Latn": PIECES + 1},
        {"eng_Latn": 3, "por_Latn": PIECES + 1},
        {"english": PIECES + 1},
        {"eng_Latn": str(PIECES + 1)},
        {"eng_Latn": True},
        {"eng_Latn": -1},
    ],
)
def test_wrong_language_ids(file: Path, ids: dict[str, int]) -> None:
    with pytest.raises(ModelFormatError):
        NLLBTokenizer(file, ids)


def test_a_language_without_a_name_is_passed_over(file: Path) -> None:
    """A fine-tuned model's new language: the others still serve."""
    tokenizer = NLLBTokenizer(file, {"eng_Latn": PIECES + 1, "tyv_Cyrl": PIECES + 2})
    assert [language.flores for language in tokenizer.languages] == ["eng_Latn"]
    assert tokenizer.vocab_size == PIECES + 3


@pytest.mark.parametrize("tokenizer", [None, "bert", 3])
def test_a_config_that_names_no_tokenizer(tmp_path: Path, tokenizer: object) -> None:
    config = {"tokenizer": tokenizer, "language_token_ids": language_ids()}
    with pytest.raises(ModelFormatError, match="names no tokenizer"):
        NLLBTokenizer.load(tmp_path, config)
    with pytest.raises(ModelFormatError, match="names no tokenizer"):
        NLLBTokenizer.load(tmp_path, {"tokenizer": "nllb", "language_token_ids": [1, 2]})


@pytest.mark.parametrize("content", ["{", "[]", '{"<s>": 1}', '{"<s>": "a"}', '{"<s>": [0]}', "{}"])
def test_a_damaged_dictionary(tmp_path: Path, content: str) -> None:
    folder = write_folder(tmp_path / "model", tokenizer="m2m_100")
    config = json.loads((folder / "config.json").read_text())
    NLLBTokenizer.load(folder, config)
    (folder / "vocab.json").write_text(content)
    with pytest.raises(ModelFormatError, match=r"vocab\.json"):
        NLLBTokenizer.load(folder, config)
    (folder / "vocab.json").unlink()
    with pytest.raises(ModelNotFoundError, match=r"vocab\.json"):
        NLLBTokenizer.load(folder, config)


def test_a_damaged_vocabulary(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "broken.model"
    with pytest.raises(ModelNotFoundError, match="broken"):
        NLLBTokenizer(path, language_ids())
    for content in (b"", b"junk" * 50, file.read_bytes()[: file.stat().st_size // 2]):
        path.write_bytes(content)
        with pytest.raises(ModelFormatError, match="broken"):
            NLLBTokenizer(path, language_ids())


def test_the_vocabulary_of_another_model(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.model"
    path.write_bytes(vocabulary(PIECES - 1))
    with pytest.raises(ModelFormatError, match="of another model"):
        NLLBTokenizer(path, language_ids())
    path.write_bytes(vocabulary(PIECES, eos_id=0, unk_id=1, bos_id=-1))  # as Marian has it
    with pytest.raises(ModelFormatError, match="no vocabulary of NLLB"):
        NLLBTokenizer(path, language_ids())


def test_every_language_has_its_token(tmp_path: Path) -> None:
    """All 202, behind a vocabulary as large as one likes."""
    path = tmp_path / "sentencepiece.bpe.model"
    path.write_bytes(vocabulary())
    tokenizer = NLLBTokenizer(path, language_token_ids("nllb", PIECES + 1))
    assert tokenizer.languages == all_languages()
    ids = [tokenizer.language_token_id(language) for language in all_languages()]
    assert ids == list(range(PIECES + 1, PIECES + 203))


def test_two_vocabularies(tmp_path: Path) -> None:
    """Bergamot's: the target language may have its own."""
    source, target = tmp_path / "source.spm", tmp_path / "target.spm"
    source.write_bytes(vocabulary(eos_id=0, unk_id=1, bos_id=-1))
    target.write_bytes(vocabulary(PIECES - 5, eos_id=0, unk_id=1, bos_id=-1))
    both = Tokenizer(source, target)
    assert both.vocab_sizes == (PIECES, PIECES - 5)
    assert both.eos_token_id == 0
    assert both.decode(Tokenizer(target).encode(TEXTS[0])) == TEXTS[0]
    assert both.encode(TEXTS[0]) == Tokenizer(source).encode(TEXTS[0])
