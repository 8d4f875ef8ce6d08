"""Languages by any name a user gives: BCP-47 or ISO 639-1 ("ja", "pt-BR"), FLORES-200 ("jpn_Jpan").

`Language.parse` is the one door; translators ask it for `.flores`, voices for `.code`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from .errors import UnknownLanguageError


@dataclass(frozen=True)
class Language:
    """A language that some model knows, with the region the user asked for, if any."""

    flores: str
    """FLORES-200 code, e.g. "por_Latn"."""
    code: str
    """Shortest ISO 639 code, e.g. "pt"."""
    name: str
    """English name, e.g. "Portuguese"."""
    region: str | None = None
    """ISO 3166 region of the tag that was parsed, e.g. "BR"."""

    @property
    def tag(self) -> str:
        """BCP-47 tag, e.g. "pt-BR"; the script is named where the language has several."""
        parts = [self.code]
        if len(_by_code()[self.code]) > 1:
            parts.append(self.flores.partition("_")[2])
        return "-".join(parts + ([self.region] if self.region else []))

    def __str__(self) -> str:
        return self.tag

    @classmethod
    def parse(cls, value: str | Language) -> Language:
        """Read "ja", "pt-BR", "zh-Hant", "zh_TW" or "jpn_Jpan", in any letter case.

        Args:
            value: the tag; a language is returned as it is.

        Raises:
            UnknownLanguageError: naming the nearest known languages.
        """
        if isinstance(value, Language):
            return value
        tag = _TAG.fullmatch(value.strip().replace("_", "-")) if isinstance(value, str) else None
        if tag is None:
            raise UnknownLanguageError(_unknown(value))
        code, extended, script, region = (part and part.lower() for part in tag.groups())
        candidates = _by_code().get(extended or code, [])
        if script is None and code in ("zh", "zho") and region in ("tw", "hk", "mo"):
            script = "hant"
        if script is not None:
            candidates = [c for c in candidates if c.flores.lower().endswith(script)]
        if not candidates:
            raise UnknownLanguageError(_unknown(value))
        chosen, region = candidates[0], region and region.upper()
        return cls(chosen.flores, chosen.code, chosen.name, region)


@cache
def all_languages() -> tuple[Language, ...]:
    """The 202 languages of NLLB-200 in its own order, on which its token ids depend."""
    return _read(_TABLE)


def nearest(language: Language, known: Iterable[Language]) -> list[Language]:
    """Those of the `known` languages that someone who asks for `language` may have meant.

    Returns:
        At most five: first those of the same code, then those that share a word of the name.
    """

    def words(x: Language) -> set[str]:
        return set(x.name.split()) - _DIRECTIONS

    like = [x for x in known if x.code == language.code or words(x) & words(language)]
    return sorted(like, key=lambda x: x.code != language.code)[:5]


def _read(table: str) -> tuple[Language, ...]:
    rows = (line.split(" ", 2) for line in table.strip().splitlines())
    return tuple(Language(flores, code, name) for flores, code, name in rows)


@cache
def _known() -> tuple[Language, ...]:
    return all_languages() + _read(_OTHERS)


@cache
def _by_code() -> dict[str, list[Language]]:
    """Candidates for every ISO 639 code of either length, the usual script first."""
    table: dict[str, list[Language]] = {}
    for language in _known():
        for code in {language.code, language.flores.partition("_")[0]}:
            table.setdefault(code, []).append(language)
    for code, usual in _USUAL.items():
        table[code].sort(key=lambda language: language.flores != usual)
    for code, flores in _ALSO.items():
        table[code] = [language for language in _known() if language.flores == flores]
    return table


def _unknown(value: object) -> str:
    """The message: the languages of that code, of such a name, and of similar names and codes."""
    text = str(value)[:40]
    names = {language.name.lower(): language for language in _known()}
    codes = {code: language for language in _known() for code in _codes(language)}
    found = list(_by_code().get(re.split("[-_]", text)[0].lower(), []))
    found += [language for name, language in names.items() if text and text.lower() in name]
    for known in (names, codes):
        close = difflib.get_close_matches(text.lower(), list(known), n=3, cutoff=0.5)
        found += [known[key] for key in close]
    found = list(dict.fromkeys(found))[:5]
    near = ", ".join(f"{x.tag} or {x.flores} ({x.name})" for x in found)
    return (
        f"unknown language {text!r}; "
        + (f"did you mean {near}? " if near else "")
        + "Give a BCP-47 tag such as 'ja' or 'pt-BR', or a FLORES-200 code such as 'jpn_Jpan'."
    )


def _codes(language: Language) -> tuple[str, str]:
    return language.code, language.flores.lower()


_DIRECTIONS = {"Central", "North", "Northern", "South", "Southern", "Western"}

# BCP-47 (RFC 5646): language, extended language, script, region; variants and extensions such
# as "-valencia" or "-u-ca-gregory" are passed over.
_TAG = re.compile(
    r"([a-z]{2,3})(?:-([a-z]{3}))?(?:-([a-z]{4}))?(?:-([a-z]{2}|\d{3}))?"
    r"(?:-[a-z\d]{5,8}|-\d[a-z\d]{3})*(?:-[a-wyz\d](?:-[a-z\d]{2,8})+)*"
    r"(?:-x(?:-[a-z\d]{1,8})+)?",
    re.IGNORECASE | re.ASCII,
)

# The script meant when a tag names none, for languages that the table holds in several.
_USUAL = {
    "zh": "zho_Hans",
    "zho": "zho_Hans",
    "ace": "ace_Latn",
    "bjn": "bjn_Latn",
    "ks": "kas_Arab",
    "kas": "kas_Arab",
    "kr": "knc_Latn",
    "knc": "knc_Latn",
    "taq": "taq_Latn",
    "ak": "aka_Latn",
}

# Codes in use that the table lacks: macrolanguages, and names that ISO 639 knows twice.
_ALSO = {
    "no": "nob_Latn",
    "nor": "nob_Latn",
    "fil": "tgl_Latn",
    "cmn": "zho_Hans",
    "ara": "arb_Arab",
    "aym": "ayr_Latn",
    "aze": "azj_Latn",
    "ff": "fuv_Latn",
    "ful": "fuv_Latn",
    "fas": "pes_Arab",
    "kur": "kmr_Latn",
    "lav": "lvs_Latn",
    "mlg": "plt_Latn",
    "mon": "khk_Cyrl",
    "msa": "zsm_Latn",
    "nep": "npi_Deva",
    "ori": "ory_Orya",
    "orm": "gaz_Latn",
    "pus": "pbt_Arab",
    "qu": "quy_Latn",
    "que": "quy_Latn",
    "sqi": "als_Latn",
    "swa": "swh_Latn",
    "uzb": "uzn_Latn",
    "yid": "ydd_Hebr",
}

_TABLE = """
ace_Arab ace Acehnese
ace_Latn ace Acehnese
acm_Arab acm Mesopotamian Arabic
acq_Arab acq Ta'izzi-Adeni Arabic
aeb_Arab aeb Tunisian Arabic
afr_Latn af Afrikaans
ajp_Arab ajp South Levantine Arabic
aka_Latn ak Akan
amh_Ethi am Amharic
apc_Arab apc North Levantine Arabic
arb_Arab ar Arabic
ars_Arab ars Najdi Arabic
ary_Arab ary Moroccan Arabic
arz_Arab arz Egyptian Arabic
asm_Beng as Assamese
ast_Latn ast Asturian
awa_Deva awa Awadhi
ayr_Latn ay Central Aymara
azb_Arab azb South Azerbaijani
azj_Latn az Azerbaijani
bak_Cyrl ba Bashkir
bam_Latn bm Bambara
ban_Latn ban Balinese
bel_Cyrl be Belarusian
bem_Latn bem Bemba
ben_Beng bn Bengali
bho_Deva bho Bhojpuri
bjn_Arab bjn Banjar
bjn_Latn bjn Banjar
bod_Tibt bo Tibetan
bos_Latn bs Bosnian
bug_Latn bug Buginese
bul_Cyrl bg Bulgarian
cat_Latn ca Catalan
ceb_Latn ceb Cebuano
ces_Latn cs Czech
cjk_Latn cjk Chokwe
ckb_Arab ckb Central Kurdish
crh_Latn crh Crimean Tatar
cym_Latn cy Welsh
dan_Latn da Danish
deu_Latn de German
dik_Latn din Dinka
dyu_Latn dyu Dyula
dzo_Tibt dz Dzongkha
ell_Grek el Greek
eng_Latn en English
epo_Latn eo Esperanto
est_Latn et Estonian
eus_Latn eu Basque
ewe_Latn ee Ewe
fao_Latn fo Faroese
pes_Arab fa Persian
fij_Latn fj Fijian
fin_Latn fi Finnish
fon_Latn fon Fon
fra_Latn fr French
fur_Latn fur Friulian
fuv_Latn fuv Nigerian Fulfulde
gla_Latn gd Scottish Gaelic
gle_Latn ga Irish
glg_Latn gl Galician
grn_Latn gn Guarani
guj_Gujr gu Gujarati
hat_Latn ht Haitian Creole
hau_Latn ha Hausa
heb_Hebr he Hebrew
hin_Deva hi Hindi
hne_Deva hne Chhattisgarhi
hrv_Latn hr Croatian
hun_Latn hu Hungarian
hye_Armn hy Armenian
ibo_Latn ig Igbo
ilo_Latn ilo Iloko
ind_Latn id Indonesian
isl_Latn is Icelandic
ita_Latn it Italian
jav_Latn jv Javanese
jpn_Jpan ja Japanese
kab_Latn kab Kabyle
kac_Latn kac Kachin
kam_Latn kam Kamba
kan_Knda kn Kannada
kas_Arab ks Kashmiri
kas_Deva ks Kashmiri
kat_Geor ka Georgian
knc_Arab kr Central Kanuri
knc_Latn kr Central Kanuri
kaz_Cyrl kk Kazakh
kbp_Latn kbp Kabiyè
kea_Latn kea Kabuverdianu
khm_Khmr km Khmer
kik_Latn ki Kikuyu
kin_Latn rw Kinyarwanda
kir_Cyrl ky Kyrgyz
kmb_Latn kmb Kimbundu
kon_Latn kg Kongo
kor_Hang ko Korean
kmr_Latn ku Kurdish
lao_Laoo lo Lao
lvs_Latn lv Latvian
lij_Latn lij Ligurian
lim_Latn li Limburgish
lin_Latn ln Lingala
lit_Latn lt Lithuanian
lmo_Latn lmo Lombard
ltg_Latn ltg Latgalian
ltz_Latn lb Luxembourgish
lua_Latn lua Luba-Kasai
lug_Latn lg Ganda
luo_Latn luo Luo
lus_Latn lus Mizo
mag_Deva mag Magahi
mai_Deva mai Maithili
mal_Mlym ml Malayalam
mar_Deva mr Marathi
min_Latn min Minangkabau
mkd_Cyrl mk Macedonian
plt_Latn mg Malagasy
mlt_Latn mt Maltese
mni_Beng mni Manipuri
khk_Cyrl mn Mongolian
mos_Latn mos Mossi
mri_Latn mi Māori
zsm_Latn ms Malay
mya_Mymr my Burmese
nld_Latn nl Dutch
nno_Latn nn Norwegian Nynorsk
nob_Latn nb Norwegian Bokmål
npi_Deva ne Nepali
nso_Latn nso Northern Sotho
nus_Latn nus Nuer
nya_Latn ny Nyanja
oci_Latn oc Occitan
gaz_Latn om Oromo
ory_Orya or Odia
pag_Latn pag Pangasinan
pan_Guru pa Punjabi
pap_Latn pap Papiamento
pol_Latn pl Polish
por_Latn pt Portuguese
prs_Arab prs Dari
pbt_Arab ps Pashto
quy_Latn quy Ayacucho Quechua
ron_Latn ro Romanian
run_Latn rn Rundi
rus_Cyrl ru Russian
sag_Latn sg Sango
san_Deva sa Sanskrit
sat_Beng sat Santali
scn_Latn scn Sicilian
shn_Mymr shn Shan
sin_Sinh si Sinhala
slk_Latn sk Slovak
slv_Latn sl Slovenian
smo_Latn sm Samoan
sna_Latn sn Shona
snd_Arab sd Sindhi
som_Latn so Somali
sot_Latn st Southern Sotho
spa_Latn es Spanish
als_Latn sq Albanian
srd_Latn sc Sardinian
srp_Cyrl sr Serbian
ssw_Latn ss Swati
sun_Latn su Sundanese
swe_Latn sv Swedish
swh_Latn sw Swahili
szl_Latn szl Silesian
tam_Taml ta Tamil
tat_Cyrl tt Tatar
tel_Telu te Telugu
tgk_Cyrl tg Tajik
tgl_Latn tl Tagalog
tha_Thai th Thai
tir_Ethi ti Tigrinya
taq_Latn taq Tamasheq
taq_Tfng taq Tamasheq
tpi_Latn tpi Tok Pisin
tsn_Latn tn Tswana
tso_Latn ts Tsonga
tuk_Latn tk Turkmen
tum_Latn tum Tumbuka
tur_Latn tr Turkish
twi_Latn tw Twi
tzm_Tfng tzm Central Atlas Tamazight
uig_Arab ug Uyghur
ukr_Cyrl uk Ukrainian
umb_Latn umb Umbundu
urd_Arab ur Urdu
uzn_Latn uz Uzbek
vec_Latn vec Venetian
vie_Latn vi Vietnamese
war_Latn war Waray
wol_Latn wo Wolof
xho_Latn xh Xhosa
ydd_Hebr yi Yiddish
yor_Latn yo Yoruba
yue_Hant yue Cantonese
zho_Hans zh Chinese (simplified)
zho_Hant zh Chinese (traditional)
zul_Latn zu Zulu
"""

# Languages of M2M100 that NLLB-200 lacks.
_OTHERS = """
bre_Latn br Breton
fry_Latn fy Western Frisian
"""
