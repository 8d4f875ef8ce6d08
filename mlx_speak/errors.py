"""Errors a user can act on: each message names what was wrong and the way out."""

from __future__ import annotations


class SpeakError(Exception):
    """Base of every error that mlx_speak raises on purpose."""


class MissingExtraError(SpeakError, ImportError):
    """A feature needs packages that are not installed; the message names the extra."""

    def __init__(self, what: str, extra: str):
        super().__init__(f"{what} needs an optional package: pip install 'mlx-speak[{extra}]'")
        self.extra = extra


class UnknownLanguageError(SpeakError, ValueError):
    """A language that is not known, or that this model does not speak."""


class ModelNotFoundError(SpeakError, FileNotFoundError):
    """No model under that name or path, here or on the hub."""


class ModelFormatError(SpeakError, ValueError):
    """A model file or folder that is damaged, hostile or of another kind."""


class OutputError(SpeakError, OSError):
    """Sound could not be played or written."""
