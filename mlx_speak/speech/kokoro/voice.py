"""Kokoro as a `Voice`: text to phonemes to sound, chunk by chunk."""

from __future__ import annotations

from collections import OrderedDict
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
from .rendering import Rendering, Windows
from .speakers import Speakers
from .statistics import Statistics, calibrate

SILENCE = 0.01
"""Samples within ± this are silence."""
_FADE = 0.005
_UNKNOWN_WORD = "Blorptic"
"""In no lexicon: English and Japanese engines load what guesses its sound with their first one."""
_PUNCTUATION = ' .,;:!?…—"“”()'
_PREPARED = 4  # beginnings that are kept for texts that may come


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
        windows: let `stream_generate` render an utterance in windows, the first of them early,
            for speakers that `warm_up` was called for; see `statistics.py` for what it costs.
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
        windows: bool = True,
    ):
        self.model, self.name, self.seed, self.windows = model, name, seed, windows
        self.lead, self.trail = lead, trail
        self.clause_pause, self.sentence_pause = clause_pause, sentence_pause
        self.sample_rate = model.config.sample_rate
        self._speakers = Speakers(voices, model.config.style_dim)
        self._statistics: dict[str, Statistics] = {}
        self._lengths = Windows()
        self._prepared: OrderedDict[tuple[str, str, float], Rendering] = OrderedDict()

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
        words = self._read_aloud(text, language, speaker)
        return self._joined(self._speak(words, phonemes, language, speaker, speed, utterances))

    def stream_generate(
        self,
        text: str = "",
        language: str | Language | None = None,
        speaker: str | Speaker | None = None,
        speed: float = 1.0,
        *,
        phonemes: str | None = None,
    ) -> Iterator[Audio]:
        """Speak a first clause early, then sentence by sentence; arguments as in `generate`.

        After `warm_up` for the speaker, each of them is rendered in windows that grow.
        """
        words = self._read_aloud(text, language, speaker)
        yield from self._sound(self._stream(words, phonemes, language, speaker, speed))

    def steps(
        self,
        text: str,
        language: str | Language | None = None,
        speaker: str | Speaker | None = None,
        speed: float = 1.0,
    ) -> Iterator[Audio | None]:
        return self._stream(text, None, language, speaker, speed)

    def prepare(
        self,
        text: str,
        language: str | Language | None = None,
        speaker: str | Speaker | None = None,
        speed: float = 1.0,
    ) -> Iterator[None]:
        """Make the first window, where `warm_up` was called for the speaker."""
        spoken, shares = self._resolve(language, speaker)
        parts = self._parts(text, None, spoken, clauses)
        yield
        if parts and _key(shares) in self._statistics:
            rendering = self._rendering(parts[0][0], shares, check_speed(speed))
            while not rendering.begun and rendering.advance():
                yield

    def check(
        self, language: str | Language | None = None, speaker: str | Speaker | None = None
    ) -> None:
        from ..phonemes import phonemize

        spoken, _ = self._resolve(language, speaker)
        phonemize(_UNKNOWN_WORD, spoken)

    def warm_up(
        self, language: str | Language | None = None, speaker: str | Speaker | None = None
    ) -> None:
        """Make the phonemes of the language ready, and listen to the speaker once.

        The first time for a speaker takes as long as speaking ten seconds; then it is remembered
        in the cache of mlx_speak.
        """
        if not self._speakers.known:
            return
        if language is not None:
            self.check(language, speaker)
        spoken, shares = self._resolve(language, speaker)
        if self.windows and _key(shares) not in self._statistics:
            self._statistics[_key(shares)] = calibrate(
                self.model, lambda length: self._speakers.style(shares, length), spoken.code
            )
        for _ in self.stream_generate(phonemes="ˈA.", speaker=_key(shares)):
            pass

    def _reads_in(self, language: str | Language | None, speaker: str | Speaker | None) -> Language:
        return self._resolve(language, speaker)[0]

    def _speak(
        self,
        text: str,
        phonemes: str | None,
        language: str | Language | None,
        speaker: str | Speaker | None,
        speed: float,
        cut: Callable[[str, int], Iterator[str]],
    ) -> Iterator[Audio]:
        """Each part by one run of the whole network."""
        speed = check_speed(speed)
        spoken, shares = self._resolve(language, speaker)
        for part, pause in self._parts(text, phonemes, spoken, cut):
            yield self._utter(part, shares, speed, pause)

    def _stream(
        self,
        text: str,
        phonemes: str | None,
        language: str | Language | None,
        speaker: str | Speaker | None,
        speed: float,
    ) -> Iterator[Audio | None]:
        speed = check_speed(speed)
        spoken, shares = self._resolve(language, speaker)
        parts = self._parts(text, phonemes, spoken, clauses)
        yield None
        for part, pause in parts:
            if _key(shares) in self._statistics:
                yield from self._utter_in_windows(part, shares, speed, pause)
            else:
                yield self._utter(part, shares, speed, pause)

    def _parts(
        self,
        text: str,
        phonemes: str | None,
        language: Language,
        cut: Callable[[str, int], Iterator[str]],
    ) -> list[tuple[str, float]]:
        """The phonemes of each utterance, and the seconds of silence after it."""
        if phonemes is None:
            from ..phonemes import phonemize

            phonemes = phonemize(text, language)
        vocab = self.model.config.vocab
        phonemes = "".join(phoneme for phoneme in phonemes if phoneme in vocab).strip()
        limit = self.model.config.max_phonemes
        parts = [part for part in cut(phonemes, limit) if any(map(str.isalpha, part))]
        pauses = [
            self.sentence_pause
            if part.rstrip(' "”’)').endswith(tuple(SENTENCE_END))
            else self.clause_pause
            for part in parts[:-1]
        ]
        return [
            (part.strip(), pause)
            for part, pause in zip(parts, [*pauses, self.trail], strict=bool(parts))
        ]

    def _input(self, phonemes: str, shares: dict[str, float]) -> tuple[mx.array, mx.array]:
        """Ids and style of an utterance."""
        vocab = self.model.config.vocab
        input_ids = mx.array([[0, *(vocab[phoneme] for phoneme in phonemes), 0]])
        return input_ids, self._speakers.style(shares, len(phonemes))

    def _utter(self, phonemes: str, shares: dict[str, float], speed: float, pause: float) -> Audio:
        """One run of the network, its silence cut to `lead` and `pause` seconds."""
        speech = self.model(*self._input(phonemes, shares), speed, seed=self.seed)
        samples = _checked(np.array(speech.samples.astype(mx.float32)), phonemes)
        if np.abs(samples).max() <= SILENCE:
            raise _silent(phonemes)
        audio = Audio(np.clip(samples, -1, 1), self.sample_rate)
        return audio.trim_silence(SILENCE, self.lead, pause).fade(_FADE, _FADE)

    def _rendering(self, phonemes: str, shares: dict[str, float], speed: float) -> Rendering:
        """That of a part; kept, should it be asked for again before a few others are."""
        key = phonemes, _key(shares), speed
        if key not in self._prepared:
            self._prepared[key] = Rendering(
                self.model,
                *self._input(phonemes, shares),
                speed,
                self.seed,
                self._statistics[_key(shares)],
                self._lengths,
                SILENCE,
                silent_tail=1 + len(phonemes) - len(phonemes.rstrip(_PUNCTUATION)),
            )
            if len(self._prepared) > _PREPARED:
                self._prepared.popitem(last=False)
        return self._prepared[key]

    def _utter_in_windows(
        self, phonemes: str, shares: dict[str, float], speed: float, pause: float
    ) -> Iterator[Audio | None]:
        """What `_utter` yields, but for the statistics of the norms, in windows."""
        rendering = self._rendering(phonemes, shares, speed)
        del self._prepared[phonemes, _key(shares), speed]
        lead, trail = round(self.lead * self.sample_rate), round(pause * self.sample_rate)
        begun = False
        while rendering.begun or rendering.advance():
            window = rendering.take()
            if window is None:
                yield None
                continue
            samples = np.clip(_checked(window.samples, phonemes), -1, 1)
            loud = np.flatnonzero(np.abs(samples) > SILENCE)
            if not begun and not loud.size:
                continue
            first = 0 if begun else max(0, int(loud[0]) - lead)
            last = len(samples)
            if window.is_last:
                last = (int(loud[-1]) + 1 if loud.size else 0) + trail
            audio = Audio(samples[first:last], self.sample_rate)
            yield audio.fade(0.0 if begun else _FADE, _FADE if window.is_last else 0.0)
            begun = True
        if not begun:
            raise _silent(phonemes)

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


def _key(shares: dict[str, float]) -> str:
    """What `Speakers.parse` reads as these shares."""
    return ",".join(f"{name}:{share:.6f}" for name, share in sorted(shares.items()))


def _checked(samples: np.ndarray, phonemes: str) -> np.ndarray:
    if not np.isfinite(samples).all():
        raise SpeechError(f"the network gave samples that are no numbers for {phonemes!r}")
    return samples


def _silent(phonemes: str) -> SpeechError:
    return SpeechError(f"the network gave nothing but silence for {phonemes!r}")


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
