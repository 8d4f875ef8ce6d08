"""XTTS v2 in MLX."""

from __future__ import annotations

from .model import XTTS as XTTS
from .model import Latents as Latents
from .model import XTTSConfig as XTTSConfig
from .model import load_model as load_model
from .speakers import XTTSSpeaker as XTTSSpeaker
from .voice import XTTSVoice as XTTSVoice
from .voice import load as load
