"""Kokoro's speakers: who there is, in which language, and their style vectors."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import mlx.core as mx
import numpy as np

from ...errors import ModelFormatError
from ...languages import Language
from ..voice import Speaker, SpeechError

# The first letter of a speaker's name is the language, the second the gender. The best of each
# language, by the grades of Kokoro's VOICES.md, comes as the default.
_LANGUAGES = {
    "a": ("en-US", "af_heart"),
    "b": ("en-GB", "bf_emma"),
    "e": ("es", "ef_dora"),
    "f": ("fr", "ff_siwis"),
    "h": ("hi", "hf_alpha"),
    "i": ("it", "if_sara"),
    "j": ("ja", "jf_alpha"),
    "p": ("pt-BR", "pf_dora"),
    "z": ("zh-Hans", "zf_xiaobei"),
}
_GENDERS = {"f": "female", "m": "male"}


class Speakers:
    """The voices of a folder, read when first asked for."""

    def __init__(self, folder: Path, style_dim: int):
        self._folder = folder
        self._width = 2 * style_dim
        names = sorted(path.stem for path in folder.glob("*.safetensors"))
        self.known = {
            name: Speaker(name, Language.parse(_LANGUAGES[name[0]][0]), _GENDERS.get(name[1:2], ""))
            for name in names
            if name[0] in _LANGUAGES
        }
        self._styles: dict[str, np.ndarray] = {}
        self._lock = threading.Lock()

    def default(self, language: Language) -> Speaker | None:
        """Who speaks a language unless told otherwise; the region decides where there are two."""
        fitting = [
            speaker for speaker in self.known.values() if speaker.language.code == language.code
        ]
        defaults = {name for _, name in _LANGUAGES.values()}
        return min(
            fitting,
            key=lambda speaker: (
                language.region is not None and speaker.language.region != language.region,
                speaker.name not in defaults,
                speaker.name,
            ),
            default=None,
        )

    def parse(self, description: str) -> dict[str, float]:
        """The shares, summing to 1, of "af_heart", "af_heart,af_sky" or "af_heart:0.7,af_sky:0.3".

        Raises:
            KeyError: of the first name that is not known.
            SpeechError: shares that are no positive numbers.
        """
        shares: dict[str, float] = {}
        for part in description.split(","):
            name, colon, share = (piece.strip() for piece in part.partition(":"))
            if name not in self.known:
                raise KeyError(name)
            if colon and not re.fullmatch(r"\d*\.?\d+", share):
                raise SpeechError(f"{part.strip()!r} is not a speaker and a share such as 'a:0.5'")
            shares[name] = shares.get(name, 0) + (float(share) if colon else 1.0)
        total = sum(shares.values())
        if not total:
            raise SpeechError(f"the shares of {description!r} are all 0")
        return {name: share / total for name, share in shares.items()}

    def style(self, shares: dict[str, float], length: int) -> mx.array:
        """The mixed style for an utterance of `length` phonemes, (1, 2 · style_dim)."""
        mixed = sum(
            share * pack[min(max(length, 1), len(pack)) - 1]
            for pack, share in ((self._pack(name), share) for name, share in shares.items())
        )
        return mx.array(mixed, mx.float32)

    def _pack(self, name: str) -> np.ndarray:
        """A style for every length of utterance, (phonemes, 1, 2 · style_dim)."""
        with self._lock:
            if name not in self._styles:
                path = self._folder / f"{name}.safetensors"
                try:
                    tensors = mx.load(str(path))
                    assert isinstance(tensors, dict)
                    pack = np.array(tensors["voice"].astype(mx.float32))
                except (RuntimeError, KeyError) as error:
                    raise ModelFormatError(f"{path} is not a voice: {error}") from error
                if pack.ndim != 3 or pack.shape[1:] != (1, self._width) or not len(pack):
                    raise ModelFormatError(f"{path} has styles of shape {pack.shape}")
                self._styles[name] = pack
            return self._styles[name]
