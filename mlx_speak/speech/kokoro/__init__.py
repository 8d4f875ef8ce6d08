"""Kokoro-82M in MLX."""

from __future__ import annotations

from .model import Kokoro as Kokoro
from .model import KokoroConfig as KokoroConfig
