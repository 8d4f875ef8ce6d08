"""Terminal escape sequences and control characters, taken out of text that arrives in pieces."""

from __future__ import annotations

import re

# ECMA-48: a control sequence, an operating system command, a device control or other string, and
# the short escapes; introduced by ESC and a letter or by one C1 character. A sequence that breaks
# off is dropped as far as it goes. The bounds keep a lost terminator from swallowing a session.
_CSI = r"(?:\x1b\[|\x9b)[0-?]{0,256}[ -/]{0,16}"
_OSC = r"(?:\x1b\]|\x9d)[^\x07\x1b\x9c\n]{0,4096}"
_STRING = r"(?:\x1b[PX^_]|[\x90\x98\x9e\x9f])[^\x1b\x9c\n]{0,4096}"
_ESCAPE = re.compile(
    rf"{_CSI}[@-~]?|{_OSC}(?:\x07|\x1b\\|\x9c)?|{_STRING}(?:\x1b\\|\x9c)?"
    r"|\x1b[ -/]{0,16}[0-~]?"
)
_UNFINISHED = re.compile(
    rf"(?:{_CSI}|{_OSC}\x1b?|{_STRING}\x1b?|\x1b[ -/]{{0,16}}|\r+|[\ud800-\udbff])\Z"
)
_LONGEST = 4200
"""More than the longest unfinished sequence has characters."""

_SUSPECT = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069"
    r"\ud800-\udfff\ue000-\uf8ff\ufeff\ufff9-\uffff]"
)
_LINE_END = re.compile(r"\r+\n?|[\x0b\x0c\x85\u2028\u2029]")
_SURROGATES = re.compile(r"[\ud800-\udbff][\udc00-\udfff]")


class Cleaner:
    """Leaves of a text what can be read: no escapes, controls, bidi marks, private characters.

    Line ends become "\\n"; surrogate pairs, which JSON can spread over two deltas, become their
    character, and lone ones vanish, as does U+FFFD. The result does not depend on the pieces.
    """

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        """The readable part of `text`, except an unfinished sequence at its end."""
        if self._held:
            text = self._held + text
            self._held = ""
        if not _SUSPECT.search(text):
            return text
        if unfinished := _UNFINISHED.search(text, max(0, len(text) - _LONGEST)):
            self._held = unfinished.group()
            text = text[: unfinished.start()]
        return legible(text)

    def close(self) -> str:
        """What the text's last characters come to, now that nothing follows."""
        held, self._held = self._held, ""
        return legible(held)


def legible(text: str) -> str:
    """A whole text as `Cleaner` leaves it: a terminal can show it and is told nothing by it."""
    text = _ESCAPE.sub("", text)
    text = _LINE_END.sub("\n", text)
    text = _SURROGATES.sub(_character, text)
    return _SUSPECT.sub("", text)


def _character(pair: re.Match[str]) -> str:
    return pair.group().encode("utf-16", "surrogatepass").decode("utf-16")
