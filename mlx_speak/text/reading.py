"""What is written, as a person would say it: numbers, dates, names of the trade, signs, units.

A text is read once, from left to right; of the kinds of token in `tokens` the first that fits takes
its place, and all between them stays as it is. Digits stay digits: every voice reads those, in the
right gender and with the right counter, once they are written as its language writes them. What a
voice would say wrong or leave out becomes words. `words` has them; no rule here knows a language.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

from ..languages import Language
from .tokens import BEFORE, KINDS, NAME, NUMBER, TIME
from .words import WORDS, Words

_FOLDERS = frozenset(["src", "lib", "bin", "usr", "etc", "home", "tmp", "tests", "docs"])
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_CJK = r"\u3000-\u30ff\u3400-\u9fff\uff01-\uffee"
_JOINT = re.compile(rf"(?<=[{_CJK}]) | (?=[{_CJK}])")

# Where the humps of a camel are; and words that look like one, but are said as they are.
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NO_CAMEL = re.compile(
    r"[A-Z]+s|Ma?c[A-Z][a-z]+|[kMGT]?Hz|k?Wh|mAh|dB|pH|PhD|MSc|BSc|LaTeX|TeX|SQLite|FFmpeg|PyPI|LLaMA"
)
_CLOSING = ")]}»”’\"'"
_CONSTANT = re.compile(r"(?=.*[AEIOUY])[A-Z]{4,}")


def read_aloud(text: str, language: str | Language) -> str:
    """A text with all that is no plain word spelt out as it is said.

    Args:
        text: speakable text, without markup.
        language: in which it is read, as `Language.parse` reads it; where `words` does not know it,
            the text stays as it is.

    Returns:
        The text with what is read otherwise than it is written in words, the rest untouched:
        "v2.13.0 of snake_case" → "version 2 point 13 point 0 of snake case".

    Raises:
        UnknownLanguageError: for a language that is not known.
    """
    code = Language.parse(language).code
    return _Reader.of(code).read(text) if code in WORDS else text


def spread(name: str) -> str:
    """A name of code as words: `snake_case` → "snake case", `readFile` → "read File"."""
    parts = [part for part in name.split("_") if part]
    alone = len(parts) == 1
    words = [
        part
        if _NO_CAMEL.fullmatch(part)
        else part.lower()
        if not alone and _CONSTANT.fullmatch(part)
        else _HUMP.sub(" ", part)
        for part in parts
    ]
    return " ".join(words)


def _ends(abbreviation: str, rest: str) -> bool:
    """Whether its full stop is also that of a sentence: at the end, and "etc." before a capital."""
    if not abbreviation.endswith("."):
        return False
    rest = rest.lstrip(_CLOSING)
    follows = rest.strip()
    is_next = rest[:1].isspace() and follows[:1].isupper()
    return not follows or (is_next and abbreviation.lower() == "etc.")


class _Reader:
    """The rules above with the words of one language."""

    def __init__(self, words: Words):
        self._words = words
        kinds = KINDS | {
            "short": self._any(words.abbreviations) + rf"(?![{NAME}])",
            "title": self._any(words.titles) + r" ?(?=\d)",
            "quantity": rf"(?<![{NAME}.,])[-−+~≈≥≤<>]?{NUMBER}(?: ?[–-] ?{NUMBER})?"
            rf"(?: ?(?:{self._longest(words.units)})|[ ]?[%％]|[kKMB]|[x×])(?![{NAME}/²³])",
        }
        self._pattern = re.compile("|".join(f"(?P<{kind}>{rule})" for kind, rule in kinds.items()))
        self._rules: dict[str, Callable[[str], str]] = {
            kind: getattr(self, f"_{kind}") for kind in kinds
        }

    @staticmethod
    @cache
    def of(code: str) -> _Reader:
        return _Reader(WORDS[code])

    @staticmethod
    def _longest(known: dict[str, tuple[str, str]]) -> str:
        return "|".join(map(re.escape, sorted(known, key=len, reverse=True)))

    @staticmethod
    def _any(known: dict[str, str]) -> str:
        names = "|".join(map(re.escape, sorted(known, key=len, reverse=True)))
        return rf"{BEFORE}(?i:{names})"

    def read(self, text: str) -> str:
        return self._pattern.sub(self._replace, text)

    def _replace(self, match: re.Match[str]) -> str:
        kind = match.lastgroup or ""
        written = match.group()
        said = self._rules[kind](written)
        if said == written:
            return written
        said = " ".join(said.split())
        if kind == "short" and _ends(written, match.string[match.end() :]):
            said += "." if self._words.spaced else "。"
        version = self._words.version
        if kind == "version" and match.string[: match.start()].rstrip().lower().endswith(version):
            said = said.removeprefix(f"{version} ")  # it has been said
        if not self._words.spaced:
            said = _JOINT.sub("", said)
        elif kind == "spaced":
            return f" {said} "
        start, end = match.span()
        left, right = match.string[start - 1 : start] if start else "", match.string[end : end + 1]
        return self._gap(left, said[:1]) + said + self._gap(said[-1:], right)

    def _gap(self, left: str, right: str) -> str:
        """The space that keeps what is said apart from what stands beside it."""
        if not (left.isalnum() and right.isalnum()):
            return ""
        return " " if self._words.spaced or (left.isascii() and right.isascii()) else ""

    def _signs(self, text: str) -> str:
        """A chain of names as it is spelt: the signs by their names."""
        said = []
        for part in re.findall(rf"[A-Za-zÀ-ɏ0-9_]+|[^{NAME}]", text):
            said.append(self._words.signs.get(part) or self._name(part))
        return " ".join(said)

    # One method for each kind: what is written, to what is said.

    def _url(self, url: str) -> str:
        return self._signs(re.sub(r"^\w+://(?:www\.)?", "", url).rstrip("/"))

    def _email(self, address: str) -> str:
        return self._signs(address)

    def _short(self, written: str) -> str:
        return self._words.abbreviations[written.lower()]

    def _title(self, written: str) -> str:
        return self._words.titles[written.strip().lower()] + " "

    def _moment(self, written: str) -> str:
        year, month, day = written[:10].split("-")
        said = self._date(year, month, day)
        if said is None:
            return written
        if not (rest := written[11:]):
            return said
        time = re.match(TIME, rest)
        assert time is not None
        zone = "UTC" if rest[time.end() :] == "Z" else rest[time.end() :]
        zone = re.sub(r"^([+-])0?(\d+):?(?:00)?$", r" UTC \1\2", zone)
        for sign in "+-":
            zone = zone.replace(sign, self._signed(sign, "") + " ")
        comma = "," if self._words.spaced else ""
        return f"{said}{comma} {self._clock(time.group())} {zone}"

    def _day(self, written: str) -> str:
        parts = written.split("/")
        if len(parts[0]) == 4:
            return self._date(*parts) or written
        first, second, year = parts
        month_first = self._words.date.startswith("{month}")
        orders = [(first, second), (second, first)] if month_first else [(second, first)] * 2
        for month, day in orders:
            if said := self._date(year, month, day):
                return said
        return written

    def _date(self, year: str, month: str, day: str) -> str | None:
        if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
            return None
        name = self._words.months[int(month) - 1]
        return self._words.date.format(day=int(day), month=name, year=year)

    def _clock(self, written: str) -> str:
        hour, minute, *seconds = written.split(":")
        words = self._words
        whole = words.whole_hour if int(minute) == 0 else words.clock
        said = whole.format(h=int(hour), m=int(minute)) if whole else f"{hour}:{minute}"
        if seconds and seconds[0] != "00":
            said += " " + words.seconds.format(s=self._number(seconds[0].lstrip("0") or "0"))
        return said

    def _versioned(self, written: str) -> str:
        return self._apart(written).replace(".", f" {self._words.point} ")

    def _apart(self, version: str) -> str:
        """A version whose numbers nobody takes for decimals."""
        if self._words.spaced:
            return version
        return re.sub(r"(?<!\d)[1-9]\d(?!\d)", lambda number: _kanji(int(number[0])), version)

    def _version(self, written: str) -> str:
        digits = written.lstrip("vV")
        address = re.fullmatch(r"\d{1,3}(?:\.\d{1,3}){3}", digits) is not None
        point = self._words.signs["."] if address and digits == written else self._words.point
        said = re.sub(r"[-+.]?([a-z]+)[-.]?", r" \1 ", digits)
        said = self._apart(said).replace(".", f" {point} ")
        return said if digits == written else f"{self._words.version} {said}"

    def _code(self, written: str) -> str:
        if written.startswith("0x"):
            return f"{self._words.hexadecimal} {' '.join(written[2:].upper())}"
        digits = written.replace("-", "").upper()
        said = " ".join(digits[:8])
        return said if len(digits) <= 8 else f"{said}, {self._words.more}"

    def _price(self, written: str) -> str:
        words = self._words
        found = re.match(r"(R\$|US\$|[$€£¥￥])? ?([\d.,]+) ?([kKMB€£])?", written)
        assert found is not None
        sign, amount, suffix = found.groups()
        scale = words.money.get(suffix or "", "")
        currency = words.currencies.get(sign or suffix or "")
        if currency is None:
            return written
        one, many, cents = currency
        whole, mark, part = amount.rpartition(".") if "." in amount[-3:] else amount.rpartition(",")
        if mark and len(part) == 2 and cents and not scale:
            whole = self._number(whole)
            unit = one if whole == "1" else many
            if part == "00":
                return f"{whole} {unit}"
            return words.cents.format(whole=whole, unit=unit, part=int(part), cents=cents)
        return f"{self._number(amount)} {scale} {one if amount == '1' and not scale else many}"

    def _share(self, written: str) -> str:
        part, whole = written.split("/")
        if named := self._words.halves.get(written):
            return named
        if int(part) > int(whole):
            return f"{part} {self._words.signs['/']} {whole}"
        return self._words.share.format(part=part, whole=whole)

    def _size(self, written: str) -> str:
        return written.replace("x", f" {self._words.by} ")

    def _quantity(self, written: str) -> str:
        words = self._words
        found = re.match(rf"([-−+~≈≥≤<>]?)({NUMBER})(?: ?[–-] ?({NUMBER}))? ?(.*)", written)
        assert found is not None
        sign, first, last, unit = found.groups()
        number = said = self._number(first)
        if last:
            said += f" {words.range} {self._number(last)}"
        if unit in words.units:
            one, many = words.units[unit]
            single = number == "1" or (words.decimal == "," and re.match(r"[01],", number))
            said += f" {one if single and not last else many}"
        else:
            others = {"%": words.percent, "％": words.percent, "x": words.times, "×": words.times}
            said += f" {others.get(unit) or words.scales[unit]}"
        return self._signed(sign, said)

    def _range(self, written: str) -> str:
        first, last = re.split(r"[–~〜-]", written)
        if "-" in written and (len(first), len(last)) in ((3, 4), (4, 4)) and first[0] not in "12":
            return " ".join(re.findall(r"\d", first)) + ", " + " ".join(re.findall(r"\d", last))
        if float(first.replace(",", ".")) >= float(last.replace(",", ".")):
            return written
        return f"{self._number(first)} {self._words.range} {self._number(last)}"

    def _number(self, written: str) -> str:
        """A number as the language writes it."""
        sign, digits = re.match(r"([-−+~≈≥≤<>]?)(.*)", written).groups()  # type: ignore[union-attr]
        mark = self._words.decimal
        other = "." if mark == "," else ","
        if re.fullmatch(rf"\d{{1,3}}(?:\{other}\d{{3}})+(?:\{mark}\d+)?", digits):
            if mark == ",":  # where a full stop may part decimals too; English 1234 is like a year
                digits = digits.replace(other, "")
        elif re.fullmatch(rf"\d{{1,3}}(?:\{mark}\d{{3}}){{2,}}", digits):
            digits = digits.replace(mark, other if mark == "." else "")
        elif other == "." and re.fullmatch(r"\d+\.\d+", digits):
            digits = digits.replace(".", ",")
        return self._signed(sign, digits)

    def _signed(self, sign: str, number: str) -> str:
        words = self._words
        if bound := words.bounds.get(sign):
            return bound.format(n=number)
        named = {"": "", "+": words.signs["+"], "~": words.about, "≈": words.about}
        return f"{named.get(sign, words.minus)} {number}".strip()

    def _flag(self, written: str) -> str:
        name, mark, value = written.partition("=")
        dashes = re.match(r"-+", name)
        assert dashes is not None
        said = [self._words.signs["-"]] * dashes.end()
        said.append(re.sub(r"[-_]+", " ", name[dashes.end() :]))
        return " ".join([*said, self._words.signs["="], self.read(value)] if mark else said)

    def _function(self, written: str) -> str:
        return self._words.of.format(f=written[0], x=self.read(written[2:-1]))

    def _call(self, written: str) -> str:
        return ""

    def _path(self, written: str) -> str:
        path, line = _line(written)
        parts = path.split("/")
        plain = len(parts) == 2 and all(part.isalpha() for part in parts)
        if plain and parts[0] not in _FOLDERS and all(p.isupper() and len(p) < 5 for p in parts):
            return " ".join(parts)
        said = self._signs(path)
        return f"{said} {self._words.line.format(n=line)}" if line else said

    def _dotted(self, written: str) -> str:
        name, line = _line(written)
        if all(len(part) == 1 for part in name.split(".")):
            return written  # U.S.
        said = self._signs(name)
        return f"{said} {self._words.line.format(n=line)}" if line else said

    def _variable(self, written: str) -> str:
        return f"{self._words.signs['$']} {spread(written.strip('${}'))}"

    def _name(self, written: str) -> str:
        if re.fullmatch(r"__[A-Za-z0-9_]*[A-Za-z0-9]__", written):
            return f"{self._words.dunder} {spread(written)}"
        return spread(written) or written

    def _mention(self, written: str) -> str:
        sign, name = written[0], written[1:]
        if sign == "§":
            return f"{self._words.section} "
        if sign == "#" and name.isdigit():
            return f"{self._words.number} {name}"
        return f"{self._words.signs[sign]} {self._name(name)}"

    def _power(self, written: str) -> str:
        exponent = written.translate(_SUPERSCRIPTS).lstrip("^*").strip("()")
        words = self._words
        if exponent in ("2", "3"):
            return words.squared if exponent == "2" else words.cubed
        return words.power.format(n=self.read(exponent))

    def _root(self, written: str) -> str:
        return self._words.root

    def _spaced(self, written: str) -> str:
        return f" {self._words.operators.get(written.strip(), written.strip())} "

    def _unspaced(self, written: str) -> str:
        return self._words.operators.get(written, written)


def _kanji(number: int) -> str:
    """10 to 99 in Chinese numerals."""
    tens, ones = divmod(number, 10)
    digits = "〇一二三四五六七八九"
    return ("" if tens == 1 else digits[tens]) + "十" + (digits[ones] if ones else "")


def _line(written: str) -> tuple[str, str]:
    """A name of a file and the number of the line after it, if there is one."""
    found = re.fullmatch(r"(.+):(\d+)", written)
    return (found[1], found[2]) if found else (written, "")
