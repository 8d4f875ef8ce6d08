"""Streamed text in, speech in the listener's language out, as early as the machine allows.

The public names are imported when first used, so that `import mlx_speak` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .before_mlx import provide_blas_when_needed

if TYPE_CHECKING:
    from mlx_speak.convert import convert as convert

    from .audio import Audio as Audio
    from .audio import open_output as open_output
    from .catch_up import CatchUp as CatchUp
    from .hub import default_translator as default_translator
    from .hub import default_voice as default_voice
    from .hub import load_model as load_model
    from .hub import load_translator as load_translator
    from .hub import load_voice as load_voice
    from .languages import Language as Language
    from .pipeline import Pipeline as Pipeline
    from .pipeline import Utterance as Utterance
    from .speech import Speaker as Speaker
    from .speech import Voice as Voice
    from .text import TextEvent as TextEvent
    from .text import read_stream as read_stream
    from .translation import Translation as Translation
    from .translation import Translator as Translator

__version__ = "0.1.0"

_HOME = {
    "Audio": "audio",
    "CatchUp": "catch_up",
    "Language": "languages",
    "Pipeline": "pipeline",
    "Speaker": "speech",
    "TextEvent": "text",
    "Translation": "translation",
    "Translator": "translation",
    "Utterance": "pipeline",
    "Voice": "speech",
    "convert": "convert",
    "default_translator": "hub",
    "default_voice": "hub",
    "load_model": "hub",
    "load_translator": "hub",
    "load_voice": "hub",
    "open_output": "audio",
    "read_stream": "text",
}

__all__ = sorted([*_HOME, "__version__"])

# MLX's Linux wheel resolves its BLAS when it is first imported, so a faster one must come before.
provide_blas_when_needed()


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = importlib.import_module(f"{__name__}.{_HOME[name]}")
    if name != _HOME[name]:  # `convert` is both: a package that can be called
        value = getattr(value, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
