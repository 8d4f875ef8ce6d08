"""XTTS v2 as a `Voice`: text to codes to sound, chunk by chunk."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from os import PathLike
from pathlib import Path

import mlx.core as mx
import numpy as np

from ...audio import Audio
from ...errors import ModelFormatError
from ...languages import Language
from ..voice import Speaker, SpeechError, Voice, check_speed
from . import speakers
from .model import XTTS, Prefix, load_model
from .pace import Pace
from .speakers import XTTSSpeaker, read_speakers
from .tokenizer import XTTSTokenizer

_SILENCE = 0.01
_LEAD = 0.02
_FADE = 0.005
_PREFIXES = 4  # speakers whose keys and values are kept, 8 MB each


class XTTSVoice(Voice):
    """XTTS v2: seventeen languages, its own speakers and any that is cloned from a recording.

    Args:
        model: with evaluated parameters.
        tokenizer: XTTS's.
        known: the speakers that come with it.
        name: for messages.
        temperature: of the distribution that codes are drawn from.
        top_k: draw from so many of the likeliest codes; 1 takes the likeliest.
        top_p: draw from the likeliest codes that have this share of the probability.
        repetition_penalty: above 1, codes that came before are less likely.
        seed: the same seed gives the same samples; streamed ones, whose chunks are as long as the
            machine has time for, to 1e-5.
        first_chunk: codes (46 ms each) after which the first chunk is made if the next will then be
            there in time; where that would not be it is made later, once it is known.
    """

    def __init__(
        self,
        model: XTTS,
        tokenizer: XTTSTokenizer,
        known: list[XTTSSpeaker],
        *,
        name: str = "xtts",
        temperature: float = 0.75,
        top_k: int = 50,
        top_p: float = 0.85,
        repetition_penalty: float = 5.0,
        seed: int = 0,
        first_chunk: int = 6,
    ):
        self.model, self.tokenizer, self.name = model, tokenizer, name
        self.sample_rate = model.config.sample_rate
        self.temperature, self.top_k, self.top_p = temperature, top_k, top_p
        self.repetition_penalty, self.seed = repetition_penalty, seed
        self._pace = model.pace(first_chunk)
        self._known = {speaker.name: speaker for speaker in known}
        self._prefixes: OrderedDict[int, tuple[XTTSSpeaker, Prefix]] = OrderedDict()
        stated = {code.partition("-")[0] for code in model.config.languages}
        self._languages = [
            Language.parse(code) for code in tokenizer.languages if not stated or code in stated
        ]

    @property
    def speakers(self) -> list[Speaker]:
        return list(self._known.values())

    @property
    def languages(self) -> list[Language]:
        return list(self._languages)

    def clone(
        self, path: str | PathLike[str] | list[str | PathLike[str]], *, name: str | None = None
    ) -> XTTSSpeaker:
        """A speaker who sounds like a recording, or several of the same person.

        What is heard in them is kept in the cache, by their content.

        Args:
            path: of any format that `Audio.load` reads, mono or not, at any rate; 6 to 30 seconds
                of one person are good.
            name: what `speaker=` then takes, too; by default that of the first file.

        Raises:
            SpeechError: a recording is missing, silent, too short or clipped, or the name is
                another speaker's.
        """
        files = list(path) if isinstance(path, list | tuple) else [path]
        name = name or (speakers.file_name(files[0]) if files else "")
        speaker = speakers.clone(self.model, self._fingerprint(), files, name)
        return self._learn(speaker)

    def load_speaker(self, path: str | PathLike[str]) -> XTTSSpeaker:
        """A speaker that `XTTSSpeaker.save` wrote.

        Args:
            path: of its file.

        Raises:
            SpeechError: the file does not hold one speaker of a model of this size.
        """
        try:
            (speaker,) = read_speakers(Path(path), self.model.config)
        except (ModelFormatError, ValueError) as error:
            raise SpeechError(
                f"{str(path)!r} holds no speaker for {self.name!r}: {error}"
            ) from error
        return self._learn(speaker)

    def steps(
        self,
        text: str,
        language: str | Language | None = None,
        speaker: str | Speaker | None = None,
        speed: float = 1.0,
    ) -> Iterator[Audio | None]:
        """As every voice's; what XTTS cannot read at once is cut between sentences.

        Args:
            language: of the text; by default the speaker's, which is English.
            speaker: one of `speakers` or its name, what `clone` returned, or the path of a
                recording, which is then cloned; by default the first.
        """
        return self._speak(text, language, speaker, speed, self._pace)

    def _whole_steps(
        self,
        text: str,
        language: str | Language | None,
        speaker: str | Speaker | None,
        speed: float,
    ) -> Iterator[Audio | None]:
        """Decoded in one, so that it is the same to the last bit however fast the machine is."""
        whole = self.model.pace(self.model.config.max_codes)
        return self._speak(text, language, speaker, speed, whole)

    def _speak(
        self,
        text: str,
        language: str | Language | None,
        speaker: str | Speaker | None,
        speed: float,
        pace: Pace,
    ) -> Iterator[Audio | None]:
        speed = check_speed(speed)
        chosen = self._speaker(speaker)
        code = self._language(language or chosen.language).code
        prefix = self._prefix(chosen)
        yield None
        longest = self.model.config.gpt_max_text_tokens
        for part, ids in self.tokenizer.parts(text, code, longest):
            if any(map(str.isalnum, part)):
                yield from self._utter(ids, chosen, prefix, speed, pace)

    def prepare(
        self,
        text: str,
        language: str | Language | None = None,
        speaker: str | Speaker | None = None,
        speed: float = 1.0,
    ) -> Iterator[None]:
        """Read the speaker ahead; what is sampled depends on every word."""
        self._prefix(self._speaker(speaker))
        yield

    def check(
        self, language: str | Language | None = None, speaker: str | Speaker | None = None
    ) -> None:
        chosen = self._speaker(speaker)
        self.tokenizer.encode("1", self._language(language or chosen.language).code)

    def warm_up(
        self, language: str | Language | None = None, speaker: str | Speaker | None = None
    ) -> None:
        """Read the speaker, compile and touch the weights: the first chunk of one letter."""
        self.check(language, speaker)
        for audio in self.steps("a", language, speaker):
            if audio is not None:
                return

    def _reads_in(self, language: str | Language | None, speaker: str | Speaker | None) -> Language:
        return self._language(language or self._speaker(speaker).language)

    def _utter(
        self, ids: list[int], speaker: XTTSSpeaker, prefix: Prefix, speed: float, pace: Pace
    ) -> Iterator[Audio | None]:
        """One run of the GPT, without the silence that it may begin with."""
        begun = False
        for samples in self.model.stream(
            ids,
            speaker.latents,
            prefix=prefix,
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            repetition_penalty=self.repetition_penalty,
            seed=self.seed,
            speed=speed,
            pace=pace,
        ):
            chunk = None if samples is None else self._checked(samples)
            if chunk is not None and not begun:
                loud = np.flatnonzero(np.abs(chunk) > _SILENCE)
                if not loud.size:
                    chunk = None
                else:
                    chunk = chunk[max(0, int(loud[0]) - round(_LEAD * self.sample_rate)) :]
            if chunk is None:
                yield None
                continue
            audio = Audio(chunk, self.sample_rate)
            yield audio if begun else audio.fade(_FADE, 0.0)
            begun = True
        if not begun:
            raise SpeechError(f"the voice {self.name!r} gave nothing but silence")

    def _checked(self, samples: mx.array) -> np.ndarray:
        found = np.array(samples)
        if not np.isfinite(found).all():
            raise SpeechError(f"the voice {self.name!r} gave samples that are no numbers")
        return np.clip(found, -1, 1)

    def _language(self, language: str | Language) -> Language:
        asked = Language.parse(language)
        if asked.code not in {known.code for known in self._languages}:
            raise self._unknown_language(asked)
        return asked

    def _speaker(self, speaker: str | Speaker | None) -> XTTSSpeaker:
        if isinstance(speaker, XTTSSpeaker):
            return speaker
        if speaker is None:
            if not self._known:
                raise SpeechError(
                    f"the voice {self.name!r} comes without speakers: clone one with "
                    "voice.clone('recording.wav'), or give a recording's path as the speaker"
                )
            return next(iter(self._known.values()))
        name = str(speaker)
        if name in self._known:
            return self._known[name]
        if Path(name).is_file():
            return self.clone(name)
        raise self._unknown_speaker(name)

    def _learn(self, speaker: XTTSSpeaker) -> XTTSSpeaker:
        """Know a speaker by its name from now on."""
        known = self._known.get(speaker.name)
        if known is None:
            self._known[speaker.name] = speaker
            return speaker
        if np.array_equal(known.gpt_cond_latent, speaker.gpt_cond_latent):
            return known
        raise SpeechError(
            f"the voice {self.name!r} has a speaker {speaker.name!r} already; give another name"
        )

    def _prefix(self, speaker: XTTSSpeaker) -> Prefix:
        """The keys and values of the speaker's latents, kept for the last few speakers."""
        key = id(speaker)
        if key not in self._prefixes:
            self._prefixes[key] = speaker, self.model.prefix(speaker.latents)
            if len(self._prefixes) > _PREFIXES:
                self._prefixes.popitem(last=False)
        self._prefixes.move_to_end(key)
        return self._prefixes[key][1]

    def _fingerprint(self) -> str:
        """What tells this model's conditioning from another's."""
        weight = self.model.conditioner.encoder.init.weight.astype(mx.float32)
        return hashlib.sha256(np.array(weight).tobytes()).hexdigest()


def load(folder: str | Path) -> XTTSVoice:
    """The voice in a converted folder.

    Raises:
        ModelFormatError: the folder is damaged or of another kind.
        MissingExtraError: the tokenizer needs a package.
    """
    folder = Path(folder)
    model = load_model(folder)
    vocabulary, built_in = folder / "vocab.json", folder / "speakers.safetensors"
    if not vocabulary.is_file():
        raise ModelFormatError(
            f"{folder} has no vocab.json, XTTS's tokenizer: put that of the model it was "
            "trained from beside it"
        )
    known = read_speakers(built_in, model.config) if built_in.is_file() else []
    return XTTSVoice(model, XTTSTokenizer(vocabulary), known, name=folder.name)
