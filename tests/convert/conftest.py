"""Fixtures of this room."""

from kokoro_models import kokoro_folder, kokoro_onnx, real, small

__all__ = ["kokoro_folder", "kokoro_onnx", "real", "small"]
