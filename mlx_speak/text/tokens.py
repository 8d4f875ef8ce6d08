"""The kinds of token that are read otherwise than they are written, as regular expressions.

ASCII classes, not `\\w`, bound names: Japanese text follows them without a space.
"""

from __future__ import annotations

BEFORE = r"(?<![A-Za-zÀ-ɏ0-9_])"
AFTER = r"(?![A-Za-zÀ-ɏ0-9_])"
NAME = "A-Za-z0-9_"
NUMBER = r"\d+(?:[.,]\d+)*"
TIME = r"(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:[.,]\d+)?)?"
RELEASE = r"(?:[-.+]?(?:alpha|beta|rc|dev|post|a|b)[-.]?\d+)?"
NUMBERED = (
    "Python|Node|Java|Ruby|Go|Rust|Swift|CUDA|PyTorch|macOS|iOS|Ubuntu|Debian|Django|React|Xcode|"
    "[Vv]ersion|[Vv]ersão|[Rr]elease|[Ss]ection|[Ss]eção|[Cc]hapter|[Cc]apítulo|バージョン"
)
# What a name of files, folders or hosts is made of.
PATH = (
    rf"(?<![{NAME}/.])(?:"
    rf"(?:~|\.{{1,2}})?(?:/[{NAME}.@+*-]*[{NAME}*-])+/?"
    rf"|~/"
    rf"|[A-Za-z]:(?:\\[{NAME}.-]*[{NAME}-])+"
    rf"|[@$]?[{NAME}.+*-]*[{NAME}*-](?:/[{NAME}.@+*-]*[{NAME}*-])+/?)(?::\d+)?"
)

KINDS = {
    "url": r"(?:https?|ftp|file)://[^\s<>\"{}]*[\w/]|www\.[^\s<>\"{}]*[\w/]",
    "email": rf"{BEFORE}[{NAME}.+-]+@[{NAME}-]+(?:\.[{NAME}-]+)+",
    "short": "",  # the language's abbreviations
    "title": "",
    "moment": rf"{BEFORE}\d{{4}}-\d{{2}}-\d{{2}}(?:[T ]{TIME}(?:Z|[+-]\d\d:?\d\d)?)?(?![\d-])",
    "day": rf"{BEFORE}(?:\d{{1,2}}/\d{{1,2}}/\d{{4}}|\d{{4}}/\d{{1,2}}/\d{{1,2}})(?![\d/])",
    "clock": rf"(?<![\d:.,]){TIME}(?![\d:])",
    "versioned": rf"{BEFORE}(?:{NUMBERED}) ?\d+\.\d+(?![\d.]|[{NAME}%])",
    "version": rf"(?<![{NAME}.])(?:[vV]\d+(?:\.\d+)*"
    rf"|(?!\d{{1,3}}(?:\.\d{{3}})+(?![.\d]))\d+(?:\.\d+){{2,}}){RELEASE}(?![{NAME}])",
    "code": rf"{BEFORE}(?:0x[0-9A-Fa-f]+|[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}"
    rf"|(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{{7,64}}){AFTER}",
    "price": rf"(?:R\$|US\$|[$€£¥￥]) ?{NUMBER}(?: ?[kKMB]{AFTER})?|{NUMBER} ?[€£]",
    "share": rf"(?<![{NAME}/.])\d{{1,9}}/\d{{1,9}}(?![{NAME}/])",
    "size": rf"{BEFORE}\d+x\d+{AFTER}",
    "quantity": "",  # a number, or a range of them, and one of the language's units
    "range": rf"(?<![{NAME}.,–-])\d+(?:[.,]\d+)?[–~〜-]\d+(?:[.,]\d+)?(?![{NAME}–-])",
    "number": rf"(?<![{NAME}.,])[-−+~≈≥≤<>]?{NUMBER}(?![{NAME}])",
    "flag": rf"(?<![{NAME}/-])(?:--[A-Za-z][{NAME}-]*|-(?:[A-Za-z]{{1,2}}|[A-Z][{NAME}]+)"
    rf"(?![{NAME}])|-[a-z]+(?==))(?:=[^\s,;]*[{NAME}])?",
    "function": rf"{BEFORE}[A-Za-z]\([^()\s][^()]{{0,40}}\)",
    "call": rf"(?<=[{NAME}])\((?:\.\.\.|…)?\)",
    "path": PATH,
    "dotted": rf"(?<![{NAME}.])(?:\.[A-Za-z][{NAME}-]+(?:\.[{NAME}-]+)*"
    rf"|[{NAME}*-]+(?:\.[{NAME}-]+)*\.[A-Za-z_][{NAME}-]*)(?::\d+)?(?![{NAME}])",
    "variable": rf"\$\{{?[A-Za-z_][{NAME}]*\}}?",
    "name": rf"{BEFORE}(?=[{NAME}]*(?:_|[a-z0-9][A-Z]|[A-Z]{{2}}[a-z]))"
    rf"[{NAME}]*[A-Za-z][{NAME}]*",
    "mention": rf"{BEFORE}[#@][{NAME}-]*[{NAME}]|§ ?(?=\d)",
    "power": rf"(?<=[\w)])(?:\^|\*\*)(?:[-+]?[{NAME}]+|\([^()]*\))"
    rf"|(?<=[\d)])[⁺⁻]?[⁰¹²³⁴-⁹ⁿ]+|(?<=\b[A-Za-z])[⁺⁻]?[⁰¹²³⁴-⁹ⁿ]+",
    "root": r"√",
    "spaced": r"(?<=[\w)\]\"'”’`%+]) "
    r"(?:[<>!=:~+-]=|=>|->|&&|\|\||//|[=<>+*/|&%≥≤≠×÷±≈→➜➡⇒←↔∈·−＋])"
    r" (?=[\w(\[\"'“‘`√$.~+-])",
    "unspaced": r"(?<=\w)(?:[=!<>:+]=|&&|\|\||->|=>|[=+&])(?=\w)"
    r"|(?<=\d)[<>*](?=\w)|(?<=\w)[<>*](?=\d)|[≥≤≠×÷±≈→➜➡⇒←↔∈∞·−＋]",
}
