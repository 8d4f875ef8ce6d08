"""Fixtures of this room."""

from kokoro_models import kokoro_folder, kokoro_onnx, real, small
from xtts_models import xtts_folder

__all__ = ["kokoro_folder", "kokoro_onnx", "real", "small", "xtts_folder"]
