"""Chinese numbers as words, and its punctuation as the commas that XTTS was trained on.

What coqui-tts does with chn_text_norm (Zhou and Du, 2019–2022): dates, money, telephone numbers,
fractions, percentages and quantities are read as such, other long numbers digit by digit.
"""

from __future__ import annotations

import re
import string
import unicodedata

_DIGITS = "零一二三四五六七八九"
_UNITS = [(8, "亿"), (4, "万"), (3, "千"), (2, "百"), (1, "十")]
_LARGER = [(48, "载"), (44, "正"), (40, "涧"), (36, "沟"), (32, "穰"), (28, "秭"), (24, "垓")]
_LARGER += [(20, "京"), (16, "兆")]
_NUMBER = r"\d+(?:\.\d+)?"
_MONEY = r"(?:(?:亿|千万|百万|万|千|百)元?|(?:亿|千万|百万|万|千|百|)块|角|毛|分)"
_COUNTED = (
    "匹张座回场尾条个首阙阵网炮顶丘棵只支袭辆挑担颗壳窠曲墙群腔砣客贯扎捆刀令打手罗坡山岭江溪钟队单双对出口"
    "头脚板跳枝件贴针线管名位身堂课本页家户层丝毫厘分钱两斤铢石钧锱忽寸尺丈里寻常铺程米撮勺合升斗盘碗碟叠桶"
    "笼盆盒杯斛锅簋篮罐瓶壶卮盏箩箱煲啖袋钵年月日季刻时周天秒旬纪岁世更夜春夏秋冬代伏辈丸泡粒幢堆根道面片块"
)


def spell_numbers(text: str) -> str:
    """A text with its numbers as words and its punctuation as commas."""
    for pattern, spelled in _RULES:
        text = pattern.sub(spelled, text)
    return "".join("," if _is_punctuation(character) else character for character in text)


def cardinal(number: str) -> str:
    """A number as it is counted: 250 → 两百五十, 10.5 → 十点五."""
    whole, _, fraction = number.partition(".")
    words = _counted(whole) if len(whole) > 1 else digits(whole)
    if fraction:
        words += "点" + digits(fraction)
    if words.startswith("点"):
        words = "零" + words
    return words[1:] if words.startswith("一十") else words


def digits(number: str) -> str:
    """One digit after the other."""
    return "".join(_DIGITS[int(digit)] for digit in number)


def _counted(number: str) -> str:
    symbols = _symbols(number)
    for i, symbol in enumerate(symbols):
        # 2 of hundreds, thousands, ten thousands is 两, unless it follows a ten.
        before = symbols[i - 1] if i else ""
        after = symbols[i + 1] if i + 1 < len(symbols) else ""
        if symbol == "二" and after and after not in _DIGITS + "十":
            symbols[i] = symbol if before and before in _DIGITS + "十" else "两"
    return "".join(symbols)


def _symbols(number: str, padded: bool = True) -> list[str]:
    """Digits and units; zeros in front are one 零."""
    stripped = number.lstrip("0")
    if not stripped:
        return []
    if len(stripped) == 1:
        zero = [_DIGITS[0]] if len(number) > 1 else []
        return [*zero, _DIGITS[int(stripped)]]
    power, unit = next(pair for pair in _LARGER + _UNITS if pair[0] < len(stripped))
    return [*_symbols(number[:-power]), unit, *_symbols(stripped[-power:])]


def _spelled(match: re.Match[str]) -> str:
    return _all_counted(match[0])


def _all_counted(text: str) -> str:
    return re.sub(_NUMBER, lambda number: cardinal(number[0]), text, flags=re.ASCII)


def _date(match: re.Match[str]) -> str:
    year, rest = match[1], match[0][len(match[1]) :]
    return digits(year) + _all_counted(rest)


def _telephone(match: re.Match[str]) -> str:
    return "".join(_DIGITS[int(character)] for character in match[0] if character.isdigit())


def _fraction(match: re.Match[str]) -> str:
    return f"{cardinal(match[2])}分之{cardinal(match[1])}"


def _percentage(match: re.Match[str]) -> str:
    return "百分之" + cardinal(match[1])


def _number(match: re.Match[str]) -> str:
    if match[1]:  # as in B2B
        return match[0]
    return digits(match[0]) if match[0].isdigit() and len(match[0]) > 3 else cardinal(match[0])


_RULES = [
    (re.compile(pattern, re.ASCII), spelled)
    for pattern, spelled in (
        (r"(?<!\d)([089]\d|(?:19|20)\d{2})年(?:\d{1,2}月(?:\d{1,2}[日号])?)?", _date),
        (r"(?<!\d)()\d{1,2}月(?:\d{1,2}[日号])?", _date),
        (rf"(?<!\d){_NUMBER}[多余几]?{_MONEY}(?:\d{_MONEY}?)?", _spelled),
        (r"(?<!\d)(?:\+?86 ?)?1(?:[38]\d|5[0-35-9]|7[678]|9[89])\d{8}(?!\d)", _telephone),
        (r"(?<!\d)(?:0(?:10|2[1-3]|[3-9]\d{2})-?)?[1-9]\d{6,7}(?!\d)", _telephone),
        (r"(\d+)/(\d+)", _fraction),
        (rf"({_NUMBER})[%％]", _percentage),
        (rf"{_NUMBER}[多余几]?(?:[千毫微]克|[千分厘毫微]米|[{_COUNTED}])", _spelled),
        (rf"((?<=[a-zA-Z])2(?=[a-zA-Z]))|{_NUMBER}", _number),
    )
]


def _is_punctuation(character: str) -> bool:
    if unicodedata.category(character)[0] == "P":
        return True
    return unicodedata.normalize("NFKC", character) in string.punctuation
