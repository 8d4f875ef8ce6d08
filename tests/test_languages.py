"""Languages by any name a user gives."""

from __future__ import annotations

import importlib.util

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support import needs

from mlx_speak.errors import UnknownLanguageError
from mlx_speak.languages import Language, all_languages, nearest

LANGUAGES = st.sampled_from(all_languages())


@pytest.mark.parametrize(
    ("value", "flores", "region"),
    [
        ("ja", "jpn_Jpan", None),
        ("JA", "jpn_Jpan", None),
        ("jpn", "jpn_Jpan", None),
        ("jpn_Jpan", "jpn_Jpan", None),
        ("jpn-jpan", "jpn_Jpan", None),
        (" en ", "eng_Latn", None),
        ("en-US", "eng_Latn", "US"),
        ("pt_br", "por_Latn", "BR"),
        ("pt-BR", "por_Latn", "BR"),
        ("es-419", "spa_Latn", "419"),
        ("zh", "zho_Hans", None),
        ("zh-CN", "zho_Hans", "CN"),
        ("zh-TW", "zho_Hant", "TW"),
        ("zh-HK", "zho_Hant", "HK"),
        ("zh-Hant", "zho_Hant", None),
        ("zh-Hans-TW", "zho_Hans", "TW"),
        ("zho_Hant", "zho_Hant", None),
        ("sr", "srp_Cyrl", None),
        ("sr-Cyrl-RS", "srp_Cyrl", "RS"),
        ("ar", "arb_Arab", None),
        ("ar-EG", "arb_Arab", "EG"),
        ("kas_Deva", "kas_Deva", None),
        ("ks", "kas_Arab", None),
        ("de-DE-1996", "deu_Latn", "DE"),
        ("ca-valencia", "cat_Latn", None),
        ("en-US-u-ca-gregory", "eng_Latn", "US"),
        ("en-x-au", "eng_Latn", None),
        ("no", "nob_Latn", None),
        ("fil-PH", "tgl_Latn", "PH"),
        ("zh-yue", "yue_Hant", None),
        ("yue-HK", "yue_Hant", "HK"),
        ("ar-arz", "arz_Arab", None),
        ("cmn-Hans-CN", "zho_Hans", "CN"),
        ("br", "bre_Latn", None),
        ("fry_Latn", "fry_Latn", None),
        ("ff", "fuv_Latn", None),
    ],
)
def test_names_in_either_notation(value: str, flores: str, region: str | None) -> None:
    language = Language.parse(value)
    assert (language.flores, language.region) == (flores, region)


@pytest.mark.parametrize(
    ("value", "tag"),
    [
        ("pt-BR", "pt-BR"),
        ("PT_br", "pt-BR"),
        ("jpn_Jpan", "ja"),
        ("zh-TW", "zh-Hant-TW"),
        ("zh", "zh-Hans"),
    ],
)
def test_tags(value: str, tag: str) -> None:
    assert Language.parse(value).tag == str(Language.parse(value)) == tag


@pytest.mark.parametrize(
    ("value", "near"),
    [
        ("portugese", "por_Latn"),
        ("Japanese", "jpn_Jpan"),
        ("jp", "jpn_Jpan"),
        ("jpn_Latn", "jpn_Jpan"),
        ("por_Latm", "por_Latn"),
        ("chinese", "zho_Hans"),
        ("pt-Cyrl", "por_Latn"),
        ("zh-Latn", "zho_Hans"),
    ],
)
def test_an_unknown_name_lists_near_ones(value: str, near: str) -> None:
    with pytest.raises(UnknownLanguageError) as caught:
        Language.parse(value)
    assert repr(value) in str(caught.value)
    assert near in str(caught.value)


@pytest.mark.parametrize(
    ("value", "known", "near"),
    [
        ("zh-Hant", "ja zh-Hans yue ko", ["zh-Hans"]),
        ("arz", "en ar fa", ["ar"]),
        ("fy", "de nl fy-NL", ["fy-NL"]),
        ("nb", "nn sv no", ["nb", "nn"]),
        ("ja", "en pt", []),
    ],
)
def test_the_nearest_of_those_that_a_model_knows(value: str, known: str, near: list[str]) -> None:
    found = nearest(Language.parse(value), map(Language.parse, known.split()))
    assert [language.tag for language in found][: len(near) or None] == near


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "-",
        "_",
        "xx",
        "12",
        "en-",
        "en--US",
        "en-US-",
        "ja.UTF-8",
        "e",
        "en-u",
        None,
        3,
        b"en",
    ],
)
def test_what_is_no_language(value: object) -> None:
    with pytest.raises(UnknownLanguageError):
        Language.parse(value)  # type: ignore[arg-type]


@given(st.text(alphabet=st.characters(), max_size=20))
@example("zh-")
@example("\ud800")
@example("İ")
@example("e" * 10_000)
@example("en" + "-a" * 1000)
@example("en" + "-a-bc" * 1000)
def test_nothing_but_the_typed_error(value: str) -> None:
    try:
        language = Language.parse(value)
    except UnknownLanguageError:
        return
    assert Language.parse(language.flores).code == language.code


@given(LANGUAGES)
def test_every_language_by_all_of_its_names(language: Language) -> None:
    assert Language.parse(language) is language
    assert Language.parse(language.flores) == language
    assert Language.parse(language.flores.lower()) == language
    assert Language.parse(language.tag) == language
    assert Language.parse(language.tag.upper()) == language


@given(LANGUAGES, st.sampled_from(["BR", "US", "TW", "419"]))
def test_a_tag_with_a_region_comes_back(language: Language, region: str) -> None:
    tagged = Language.parse(f"{language.tag}-{region}")
    assert Language.parse(tagged.tag) == tagged
    assert tagged.flores == language.flores


def test_there_are_202() -> None:
    flores = [language.flores for language in all_languages()]
    assert len(flores) == len(set(flores)) == 202


@pytest.mark.oracle
def test_the_order_is_that_of_nllb() -> None:
    """Token ids of languages follow from it."""
    needs(importlib.util.find_spec("transformers"), "transformers")
    from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES

    assert [language.flores for language in all_languages()] == FAIRSEQ_LANGUAGE_CODES
