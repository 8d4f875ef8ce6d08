"""A sentence on its way through the pipeline, and its times."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .early import Draft
from .player import Track

State = Literal[
    "waiting", "translating", "speaking", "heard", "skipped", "retracted", "joined", "failed"
]


@dataclass
class Times:
    """When a sentence passed each station, in `time.monotonic()` seconds; None if it did not."""

    seen: float
    """Its last character arrived."""
    found: float
    """It was known to be a sentence."""
    begun: float | None = None
    """Its translation began."""
    verified: float | None = None
    """What was right of the translation of its beginning, made before it was complete, was known;
    None without such a draft."""
    translated: float | None = None
    """Its translation was whole."""
    first_chunk: float | None = None
    """Its first sound was ready to be played."""
    heard: float | None = None
    """Its first audible sample left the sound card."""
    finished: float | None = None
    """Its last audible sample left the sound card."""

    @property
    def latency(self) -> float | None:
        """Seconds from the last character's arrival to the first audible sample."""
        return None if self.heard is None else self.heard - self.seen


@dataclass(eq=False)
class Utterance:
    """One sentence and what became of it."""

    index: int
    """Its place among all, from 0."""
    source: str
    """The sentence as it was read, cleaned of markup."""
    times: Times
    """When it passed each station."""
    track: Track = field(repr=False)
    """Its place in the player's line."""
    message: str = ""
    """The message of the stream that it belongs to."""
    text: str = ""
    """What is spoken: the translation, or the source where nothing is translated."""
    state: State = "waiting"
    """"joined": said as a part of the utterance before it."""
    error: Exception | None = None
    """What went wrong, if anything; the sentences after it go on."""
    warning: str = ""
    """What the translator doubts of its translation, why the sentence was skipped, or why another
    voice had to speak."""
    voices: tuple[str, ...] = ()
    """Who spoke: the name of the voice; of two, where the second stood in for the first."""
    audio_seconds: float = 0.0
    """How long its sound is."""
    translate_seconds: float = 0.0
    """Time that MLX spent on the translation, without the turns of other sentences."""
    speak_seconds: float = 0.0
    """Time that MLX spent on the sound."""
    speed: float = 1.0
    """How fast it was spoken."""
    sentences: int = 1
    """How many were joined in it because speech had fallen behind."""
    instead: str = ""
    """What is said in its place, in the language of the source, where sentences are skipped."""
    draft: Draft | None = field(default=None, repr=False)
    """What was made of it before it was complete."""
    draft_kept: float | None = None
    """The share of its translation that the draft had right up to its first miss; None without."""
    prepared: bool = False
    """Whether its first sound was begun before it was complete, of the text as it came."""

    @property
    def over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ("heard", "skipped", "retracted", "joined", "failed")

    @property
    def translated(self) -> bool:
        """Whether `text` is the whole of it."""
        return self.times.translated is not None

    def __str__(self) -> str:
        return self.text or self.source
