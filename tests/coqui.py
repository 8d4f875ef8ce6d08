"""coqui-tts, the reference of XTTS, in an environment of its own: its dependencies clash with ours.

python tests/coqui.py      prints that environment's Python, made where it is missing
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from mlx_speak.home import home, lock

_INSTALLS = (
    ["torch==2.13.0"],
    ["coqui-tts==0.28.0", "transformers==5.23.0", "six", "setuptools<81"],
    ["--no-deps", "torchaudio==2.11.0"],
)
_READY = "ready"


def python() -> Path:
    """The interpreter that can import TTS; the first call installs it, about a minute and a half.

    Raises:
        OSError: it cannot be installed.
    """
    with lock("peer-coqui-tts"):
        return _installed(home("peers") / "coqui-tts-0.28.0")


def _installed(folder: Path) -> Path:
    interpreter = folder / "bin" / "python"
    if (folder / _READY).exists():
        return interpreter
    shutil.rmtree(folder, ignore_errors=True)
    _run(sys.executable, "-m", "venv", str(folder))
    for arguments in _INSTALLS:
        _run(str(interpreter), "-m", "pip", "--quiet", "install", *arguments)
    (packages,) = folder.glob("lib/python*/site-packages")
    # Built for another torch; all that XTTS uses of it is written in Python.
    for library in packages.glob("torchaudio/lib/*.so"):
        library.unlink()
    # Imported by coqui-tts, to read files with; the reference reads none here.
    (packages / "torchcodec").mkdir(exist_ok=True)
    (packages / "torchcodec" / "__init__.py").touch()
    (folder / _READY).touch()
    return interpreter


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"{' '.join(command)} failed: {done.stderr[-800:]}")


if __name__ == "__main__":
    print(python())
