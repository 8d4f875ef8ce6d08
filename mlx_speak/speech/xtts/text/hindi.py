"""Hindi numbers as words, which `num2words` and so coqui-tts lack."""

from __future__ import annotations

import re

_TABLE = """
शून्य एक दो तीन चार पाँच छह सात आठ नौ
दस ग्यारह बारह तेरह चौदह पंद्रह सोलह सत्रह अठारह उन्नीस
बीस इक्कीस बाईस तेईस चौबीस पच्चीस छब्बीस सत्ताईस अट्ठाईस उनतीस
तीस इकतीस बत्तीस तैंतीस चौंतीस पैंतीस छत्तीस सैंतीस अड़तीस उनतालीस
चालीस इकतालीस बयालीस तैंतालीस चौवालीस पैंतालीस छियालीस सैंतालीस अड़तालीस उनचास
पचास इक्यावन बावन तिरपन चौवन पचपन छप्पन सत्तावन अट्ठावन उनसठ
साठ इकसठ बासठ तिरसठ चौंसठ पैंसठ छियासठ सड़सठ अड़सठ उनहत्तर
सत्तर इकहत्तर बहत्तर तिहत्तर चौहत्तर पचहत्तर छिहत्तर सतहत्तर अठहत्तर उन्यासी
अस्सी इक्यासी बयासी तिरासी चौरासी पचासी छियासी सत्तासी अट्ठासी नवासी
नब्बे इक्यानवे बानवे तिरानवे चौरानवे पचानवे छियानवे सत्तानवे अट्ठानवे निन्यानवे
"""
_BELOW_A_HUNDRED = _TABLE.split()
_UNITS = [(10**7, "करोड़"), (10**5, "लाख"), (1000, "हज़ार"), (100, "सौ")]
_IRREGULAR = {1: "पहल", 2: "दूसर", 3: "तीसर", 4: "चौथ", 6: "छठ"}
_GENDERS = {"वा": "ा", "वी": "ी", "वे": "े"}

_DIGITS = str.maketrans("०१२३४५६७८९", "0123456789")
_NUMBER = re.compile(r"(\d+(?:,\d+)*)(?:\.(\d+)|(वा|वी|वे)[ंँ])?", re.ASCII)
_LONGEST = 15


def spell_numbers(text: str) -> str:
    """A text with its numbers as words, whether in Latin digits or in Hindi's own."""
    return _NUMBER.sub(_spelled, text.translate(_DIGITS))


def cardinal(number: int) -> str:
    """A whole number of at most fifteen digits as words: 150 → "एक सौ पचास"."""
    for unit, name in _UNITS:
        if number >= unit:
            many, rest = divmod(number, unit)
            return f"{cardinal(many)} {name}" + (f" {cardinal(rest)}" if rest else "")
    return _BELOW_A_HUNDRED[number]


def _spelled(match: re.Match[str]) -> str:
    whole, fraction, gender = match[1].replace(",", ""), match[2], match[3]
    words = _one_by_one(whole) if len(whole) > _LONGEST else cardinal(int(whole))
    if fraction:
        return f"{words} दशमलव {_one_by_one(fraction)}"
    if not gender:
        return words
    if stem := _IRREGULAR.get(int(whole)):
        return stem + _GENDERS[gender]
    return words + match[0][len(match[1]) :]


def _one_by_one(digits: str) -> str:
    return " ".join(_BELOW_A_HUNDRED[int(digit)] for digit in digits)
