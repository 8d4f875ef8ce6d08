"""Kokoro-82M in MLX."""

from __future__ import annotations

from .model import Kokoro as Kokoro
from .model import KokoroConfig as KokoroConfig
from .voice import KokoroVoice as KokoroVoice
from .voice import load as load
from .voice import load_model as load_model
