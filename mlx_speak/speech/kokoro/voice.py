"""Kokoro as a `Voice`: text to phonemes to sound, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import numpy as np

from ...audio import Audio
from ...errors import ModelFormatError
from ...languages import Language
from ...model_folder import read_config
from ...nn.weights import load_weights
from ..voice import Speaker, SpeechError, Voice, check_speed
from .chunks import SENTENCE_END, clauses, utterances
from .model import Kokoro, KokoroConfig
from .speakers import Speakers

SILENCE = 0.01
"""Samples within ± this are silence."""
_FADE = 0.005
_UNKNOWN_WORD = "Blorptic"
"""In no lexicon: English and Japanese engines load what guesses its sound with their first one."""


class KokoroVoice(Voice):
    """Kokoro-82M, nine languages and 54 speakers.

    Of the silence that Kokoro leads with (about 275 ms) and trails (about 690 ms) only as much is
    kept as speech needs.

    Args:
        model: with evaluated parameters.
        voices: folder of NAME.safetensors.
        name: for messages.
        lead: seconds of silence before the first sound.
        trail: seconds of silence after the last sound.
        clause_pause: seconds of silence where a sentence is cut into chunks.
        sentence_pause: seconds of silence between sentences.
        seed: of the noise in unvoiced sounds; the same seed gives the same samples.
    """

    def __init__(
        self,
        model: Kokoro,
        voices: Path,
        *,
        name: str = "kokoro",
        lead: float = 0.02,
        trail: float = 0.1,
        clause_pause: float = 0.12,
        sentence_pause: float = 0.25,
        seed: int = 0,
    ):
        self.model, self.name, self.seed = model, name, seed
        self.lead, self.trail = lead, trail
        self.clause_pause, self.sentence_pause = clause_pause, sentence_pause
        self.sample_rate = model.config.sample_rate
        self._speakers = Speakers(voices, model.config.style_dim)

    @property
    def speakers(self) -> list[Speaker]:
        return list(self._speakers.known.values())

    def generate(
        self,
        text: str = "",
        language: str | Language | None = None,
        speaker: str | Speaker | None = None,
        speed: float = 1.0,
        *,
        phonemes: str | None = None,
    ) -> Audio:
        """Speak the whole text with the longest utterances the model takes, for the best melody.

        Args:
            text, language, speaker, speed: as in `stream_generate`. A speaker may be a mix of
                several, "af_heart:0.7,af_sky:0.3".
            phonemes: in Kokoro's alphabet, instead of `text`.
        """
        return self._joined(self._speak(text, phonemes, language, speaker, speed, utterances))

    def stream_generate(
        self,
        text: str = "",
        language: str | Language | None = None,
        speaker: str | Speaker | None = None,
        speed: float = 1.0,
        *,
        phonemes: str | None = None,
    ) -> Iterator[Audio]:
        """Speak a first clause early, then sentence by sentence; arguments as in `generate`."""
        return self._speak(text, phonemes, language, speaker, speed, clauses)

    def check(
        self, language: str | Language | None = None, speaker: str | Speaker | None = None
    ) -> None:
        from ..phonemes import phonemize

        spoken, _ = self._resolve(language, speaker)
        phonemize(_UNKNOWN_WORD, spoken)

    def warm_up(self) -> None:
        """Run the network once, on a few phonemes and without any package that makes them."""
        if self._speakers.known:
            for _ in self.stream_generate(phonemes="ˈA."):
                pass

    def _speak(
        self,
        text: str,
        phonemes: str | None,
        language: str | Language | None,
        speaker: str | Speaker | None,
        speed: float,
        cut: Callable[[str, int], Iterator[str]],
    ) -> Iterator[Audio]:
        speed = check_speed(speed)
        spoken, shares = self._resolve(language, speaker)
        if phonemes is None:
            from ..phonemes import phonemize

            phonemes = phonemize(text, spoken)
        vocab = self.model.config.vocab
        phonemes = "".join(phoneme for phoneme in phonemes if phoneme in vocab).strip()
        limit = self.model.config.max_phonemes
        parts = [part for part in cut(phonemes, limit) if any(map(str.isalpha, part))]
        for index, part in enumerate(parts):
            if index == len(parts) - 1:
                pause = self.trail
            elif part.rstrip(' "”’)').endswith(tuple(SENTENCE_END)):
                pause = self.sentence_pause
            else:
                pause = self.clause_pause
            yield self._utter(part.strip(), shares, speed, pause)

    def _utter(self, phonemes: str, shares: dict[str, float], speed: float, pause: float) -> Audio:
        """One run of the network, its silence cut to `lead` and `pause` seconds."""
        vocab = self.model.config.vocab
        input_ids = mx.array([[0, *(vocab[phoneme] for phoneme in phonemes), 0]])
        style = self._speakers.style(shares, len(phonemes))
        speech = self.model(input_ids, style, speed, seed=self.seed)
        samples = np.array(speech.samples.astype(mx.float32))
        if not np.isfinite(samples).all():
            raise SpeechError(f"the network gave samples that are no numbers for {phonemes!r}")
        if np.abs(samples).max() <= SILENCE:
            raise SpeechError(f"the network gave nothing but silence for {phonemes!r}")
        audio = Audio(np.clip(samples, -1, 1), self.sample_rate)
        return audio.trim_silence(SILENCE, self.lead, pause).fade(_FADE, _FADE)

    def _resolve(
        self, language: str | Language | None, speaker: str | Speaker | None
    ) -> tuple[Language, dict[str, float]]:
        """The language to read in, and whom to speak as in which shares."""
        asked = Language.parse(language) if language is not None else None
        if asked and asked.code not in {known.code for known in self.languages}:
            raise self._unknown_language(asked)
        if speaker is None:
            spoken = asked or Language.parse("en")
            chosen = self._speakers.default(spoken)
            if chosen is None:
                raise self._unknown_language(spoken)
            shares = {chosen.name: 1.0}
        else:
            try:
                shares = self._speakers.parse(str(speaker))
            except KeyError as error:
                raise self._unknown_speaker(error.args[0]) from None
            chosen = self._speakers.known[max(shares, key=lambda name: shares[name])]
        if asked is None:
            return chosen.language, shares
        if asked.region is None and asked.code == chosen.language.code:
            asked = replace(asked, region=chosen.language.region)  # English as this speaker's
        return asked, shares


def load(folder: str | Path) -> KokoroVoice:
    """The voice in a converted folder.

    Raises:
        ModelFormatError: the folder is damaged or of another kind.
    """
    folder = Path(folder)
    return KokoroVoice(load_model(folder), folder / "voices", name=folder.name)


def load_model(folder: str | Path, *, lazy: bool = False) -> Kokoro:
    """The bare network of a converted folder, its parameters evaluated.

    Args:
        lazy: as `load_weights` takes it.

    Raises:
        ModelFormatError: the folder is damaged or of another kind.
    """
    folder = Path(folder)
    config = read_config(folder, "kokoro")
    try:
        model = Kokoro(KokoroConfig.from_dict(config))
    except ModelFormatError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFormatError(f"{folder} is not a Kokoro folder: {error}") from error
    load_weights(model, folder, lazy=lazy)
    return model
