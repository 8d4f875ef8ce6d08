"""Text to speech: the `Voice` every engine is, and the engines."""

from __future__ import annotations

from .voice import Speaker as Speaker
from .voice import SpeechError as SpeechError
from .voice import Voice as Voice
