"""Text in one language to text in another."""

from .translator import Translation, Translator

__all__ = ["Translation", "Translator"]
