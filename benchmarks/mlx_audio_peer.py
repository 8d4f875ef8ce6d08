"""mlx-audio's Kokoro beside ours: the same weights, in its own names, under a Python of its own.

It runs on MLX's CPU backend. By itself it gets the BLAS of MLX's wheel there; `--blas` puts ours
under it, so that what differs is the code.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from workers import ScriptWorker, answer_lines

HERE = Path(__file__).resolve()
INSTALLS = (["mlx-audio==0.6.2", "mlx[cpu]==0.32.4", "scipy-openblas32"],)


def start(folder: Path, threads: int, on_our_blas: bool) -> ScriptWorker:
    """The engine, asked with (phonemes, style, path for the samples), answers with seconds.

    Args:
        folder: of `prepare`.
        threads: of the BLAS.
        on_our_blas: or on that of MLX's wheel.
    """
    import environments

    python = environments.python("mlx-audio-0.6.2", INSTALLS)
    blas = ["--blas"] if on_our_blas else []
    return ScriptWorker(python, HERE, str(folder), str(threads), *blas)


def prepare(folder: Path, weights: dict[str, np.ndarray], config: dict[str, Any]) -> None:
    """Write a checkpoint in the layout of mlx-community's Kokoro, whose weights are normalised.

    Args:
        folder: to write; the voices are not in it.
        weights: by the reference's names, weight norm folded.
        config: of our folder.
    """
    import mlx.core as mx

    arrays = {}
    for name, weight in weights.items():
        plain = re.search(r"_proj\.weight|noise_convs\.", name)
        if weight.ndim == 3 and name.endswith(".weight") and not plain:
            norm = np.linalg.norm(weight.reshape(len(weight), -1), axis=1)
            arrays[f"{name}_g"], arrays[f"{name}_v"] = norm[:, None, None], weight
        else:
            arrays[name] = weight
    mx.save_safetensors(
        str(folder / "kokoro-v1_0.safetensors"),
        {name: mx.array(array.astype(np.float32)) for name, array in arrays.items()},
    )
    unused = {"dropout": 0.2, "n_mels": 80, "max_conv_dim": 512, "multispeaker": True, "dim_in": 64}
    text = json.dumps(config | unused | {"model_type": "kokoro"})
    (folder / "config.json").write_text(text, encoding="utf-8")


def make(folder: str, threads: str, *options: str) -> tuple[Callable[..., Any], str]:
    """The engine, in its own process."""
    blas = "the BLAS of MLX's wheel"
    if "--blas" in options:
        sys.path.insert(0, str(HERE.parents[1]))
        from mlx_speak import blas as ours

        blas = ours.describe()
    import mlx.core as mx
    from mlx_audio.tts.utils import load_model

    # Not strict, for ALBERT's pooler, which nothing uses, is not in the export.
    model = load_model(Path(folder), strict=False)

    def answer(phonemes: str, style: list[float], path: str) -> float:
        style = mx.array(style)[None]
        start = time.perf_counter()
        samples = np.array(model(phonemes, style)).ravel()
        seconds = time.perf_counter() - start
        np.save(path, samples)
        return seconds

    return answer, f"mlx-audio {version('mlx-audio')}, mlx {version('mlx')}, float32, {blas}"


if __name__ == "__main__":
    arguments = sys.argv[2:]
    answer_lines(lambda: make(*arguments))
