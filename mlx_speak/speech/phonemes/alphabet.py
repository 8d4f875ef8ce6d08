"""The phoneme alphabet of Kokoro-82M v1.0, and what is left of a string that is held to it.

Source: `vocab` in the checkpoint's config.json, 114 symbols. Capitals are misaki's diphthongs
(A eɪ, I aɪ, O oʊ, Q əʊ, W aʊ, Y ɔɪ), the American flap T and the long S.
"""

from __future__ import annotations

import re
import unicodedata

PUNCTUATION = frozenset(';:,.!?—…"()“”')

ALPHABET = PUNCTUATION | frozenset(
    " \N{COMBINING TILDE}ˈˌːʰʲᵝᵊᵻ↓→↗↘"
    "AIOQSTWYabcdefhijklmnopqrstuvwxyz"
    "ʣʥʦʨꭧʤʧɑɐɒæβɔɕçɖðəɚɛɜɟɡɥɨɪʝɯɰŋɳɲɴøɸθœɹɾɻʁɽʂʃʈʊʋʌɣɤχʎʒʔ"
)

# Contours are ours to give; the text's own arrows must not turn into them.
_SILENT = PUNCTUATION | frozenset(" ˈˌːʰʲ↓→↗↘\N{COMBINING TILDE}")

_SPACE_INSIDE_MARKS = re.compile(r" +(?=[;:,.!?…”)])|(?<=[“(]) +")


def restrict(phonemes: str) -> str:
    """Keep what Kokoro knows: no other symbol, single spaces, none on a mark's inner side.

    Args:
        phonemes: IPA in Kokoro's conventions, with whatever an engine left in it.

    Returns:
        Symbols of `ALPHABET` alone; "" when none of them is sounded, for Kokoro makes noise of
        bare punctuation.
    """
    known = "".join(
        symbol
        for character in phonemes
        # Engines write some nasal vowels as one code point; the alphabet has the tilde apart.
        for symbol in (character if character in ALPHABET else _decompose(character))
        if symbol in ALPHABET
    )
    known = _SPACE_INSIDE_MARKS.sub("", " ".join(known.split()))
    return known if any(symbol not in _SILENT for symbol in known) else ""


def _decompose(character: str) -> str:
    return " " if character.isspace() else unicodedata.normalize("NFD", character)
