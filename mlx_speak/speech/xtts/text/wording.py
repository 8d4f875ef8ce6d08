"""How each language says its symbols and abbreviations, and what makes its numbers ordinal.

The words are those of coqui-tts's tables (Coqui, MPL-2.0), odd ones included: the model has learnt
to read them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SYMBOLS = "&@%#$£°"


@dataclass(frozen=True)
class Wording:
    """One language's."""

    abbreviations: list[tuple[re.Pattern[str], str]]
    symbols: dict[str, str]
    ordinal: re.Pattern[str] | None = None
    """A number in its first group, then what makes it ordinal."""
    cents_after: str = ", "
    """What stands between an amount's units and its cents."""
    longest: int = 250
    """Characters that the model reads well at once."""
    thousands: str = "."
    """What may group the digits of a number."""


def _wording(
    symbols: str,
    abbreviations: str,
    ordinal: str,
    longest: int,
    cents_after: str = ", ",
    thousands: str = ".",
    abbreviation_ends: str = r"\.",
) -> Wording:
    pairs = [pair.split("=") for pair in abbreviations.split(", ") if pair]
    return Wording(
        [
            (re.compile(rf"\b{short}{abbreviation_ends}", re.IGNORECASE), word)
            for short, word in pairs
        ],
        dict(zip(_SYMBOLS, symbols.split(", "), strict=True)),
        re.compile(rf"([0-9]+)({ordinal})") if ordinal else None,
        cents_after,
        longest,
        thousands,
    )


WORDING = {
    "en": _wording(
        "and, at, percent, hash, dollar, pound, degree",
        "mrs=misess, mr=mister, dr=doctor, st=saint, co=company, jr=junior, maj=major, "
        "gen=general, drs=doctors, rev=reverend, lt=lieutenant, hon=honorable, sgt=sergeant, "
        "capt=captain, esq=esquire, ltd=limited, col=colonel, ft=fort",
        "st|nd|rd|th",
        250,
        thousands=",",
    ),
    "es": _wording(
        "y, arroba, por ciento, numeral, dolar, libra, grados",
        "sra=señora, sr=señor, dr=doctor, dra=doctora, st=santo, co=compañía, jr=junior, "
        "ltd=limitada",
        "º|ª|er|o|a|os|as",
        239,
        " con ",
    ),
    "fr": _wording(
        "et, arobase, pour cent, dièse, dollar, livre, degrés",
        "mme=madame, mr=monsieur, dr=docteur, st=saint, co=compagnie, jr=junior, ltd=limitée",
        "º|ª|er|re|e|ème",
        273,
        " et ",
    ),
    "de": _wording(
        "und, at, prozent, raute, dollar, pfund, grad",
        "fr=frau, dr=doktor, st=sankt, co=firma, jr=junior",
        r"st|nd|rd|th|º|ª|\.(?=\s|$)",
        253,
        " und ",
    ),
    "pt": _wording(
        "e, arroba, por cento, cardinal, dólar, libra, graus",
        "sra=senhora, sr=senhor, dr=doutor, dra=doutora, st=santo, co=companhia, jr=júnior, "
        "ltd=limitada",
        "º|ª|o|a|os|as",
        203,
        " e ",
    ),
    "it": _wording(
        "e, chiocciola, per cento, cancelletto, dollaro, sterlina, gradi",
        "sig=signore, dr=dottore, st=santo, co=compagnia, jr=junior, ltd=limitata",
        "º|°|ª|o|a|i|e",
        213,
        " e ",
    ),
    "pl": _wording(
        "i, małpa, procent, krzyżyk, dolar, funt, stopnie",
        "p=pani, m=pan, dr=doktor, sw=święty, jr=junior",
        "º|ª|st|nd|rd|th",
        224,
    ),
    "ar": _wording("و, على, في المئة, رقم, دولار, جنيه, درجة", "", "ون|ين|ث|ر|ى", 166),
    "zh": _wording("和, 在, 百分之, 号, 美元, 英镑, 度", "", "", 82),
    "cs": _wording(
        "a, na, procento, křížek, dolar, libra, stupně",
        "dr=doktor, ing=inženýr, p=pan",
        r"\.(?=\s|$)",
        186,
    ),
    "ru": _wording(
        "и, собака, процентов, номер, доллар, фунт, градус",
        "г-жа=госпожа, г-н=господин, д-р=доктор",
        "-й|-я|-е|-ое|-ье|-го",
        182,
        thousands=",",
        abbreviation_ends=r"\b",
    ),
    "nl": _wording(
        "en, bij, procent, hekje, dollar, pond, graden",
        "dhr=de heer, mevr=mevrouw, dr=dokter, jhr=jonkheer",
        "de|ste|e",
        251,
    ),
    "tr": _wording(
        "ve, at, yüzde, diyez, dolar, sterlin, derece",
        "b=bay, byk=büyük, dr=doktor",
        r"\.|inci|nci|uncu|üncü",
        226,
    ),
    "hu": _wording(
        "és, kukac, százalék, kettőskereszt, dollár, font, fok",
        "dr=doktor, b=bácsi, nőv=nővér",
        r"\.|adik|edik|odik|ödik|ödike|ik",
        224,
    ),
    "ko": _wording("그리고, 에, 퍼센트, 번호, 달러, 파운드, 도", "", "번째|번|차|째", 95),
    "hi": _wording("और, ऐट दी रेट, प्रतिशत, हैश, डॉलर, पाउंड, डिग्री", "", "", 150),
}

LONGEST = {code: wording.longest for code, wording in WORDING.items()} | {"ja": 71}
"""Characters that the model reads well at once, by language."""

LANGUAGES = tuple(sorted(LONGEST))
"""What can be read, as ISO 639-1 codes."""
