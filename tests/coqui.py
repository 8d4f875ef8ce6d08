"""coqui-tts, the reference of XTTS, in an environment of its own.

python tests/coqui.py      prints that environment's Python, made where it is missing
"""

from __future__ import annotations

from pathlib import Path

import environments

_INSTALLS = (
    ["torch==2.13.0"],
    ["coqui-tts==0.28.0", "transformers==5.23.0", "six", "setuptools<81"],
    ["--no-deps", "torchaudio==2.11.0"],
)


def python() -> Path:
    """The interpreter that can import TTS; the first call installs it, about a minute and a half.

    Raises:
        OSError: it cannot be installed.
    """
    return environments.python("coqui-tts-0.28.0", _INSTALLS, _finish)


def _finish(packages: Path) -> None:
    # Built for another torch; all that XTTS uses of it is written in Python.
    for library in packages.glob("torchaudio/lib/*.so"):
        library.unlink()
    # Imported by coqui-tts, to read files with; the reference reads none here.
    (packages / "torchcodec").mkdir(exist_ok=True)
    (packages / "torchcodec" / "__init__.py").touch()


if __name__ == "__main__":
    print(python())
