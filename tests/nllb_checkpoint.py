"""The fixture as people find it on the hub: in four layouts, with its tokenizer's files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import mlx.core as mx
from support import package
from translation.nllb_folder import language_ids, vocabulary
from translation.nllb_models import FIXTURE

LAYOUTS = ("model.safetensors", "pytorch_model.bin")

Tensors = dict[str, Any]


def tensors(layout: str = "model.safetensors") -> Tensors:
    """The fixture's parameters by the hub's names, as the layout's own arrays."""
    if layout == "model.safetensors":
        loaded = mx.load(str(FIXTURE / layout))
        assert isinstance(loaded, dict)
        return loaded
    return package("torch").load(FIXTURE / layout)


def write_checkpoint(
    folder: Path,
    layout: str = "model.safetensors",
    *,
    shards: int = 1,
    weights: Tensors | None = None,
    tokenizer: bool = True,
    **config: Any,
) -> Path:
    """Write a folder in the hub's layout.

    Args:
        layout: out of `LAYOUTS`.
        shards: above 1, that many files and an index.
        weights: by default `tensors(layout)`.
        tokenizer: with the files that NLLB's tokenizer has.
        config: changes to config.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    hub_config = json.loads((FIXTURE / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(hub_config | config))
    shutil.copyfile(FIXTURE / "generation_config.json", folder / "generation_config.json")
    weights = tensors(layout) if weights is None else weights
    stem, dot, suffix = layout.partition(".")
    names = list(weights)
    places = {}
    for i in range(shards):
        file = f"{stem}-{i + 1:05}-of-{shards:05}{dot}{suffix}" if shards > 1 else layout
        part = {name: weights[name] for name in names[i::shards]}
        places |= dict.fromkeys(part, file)
        save(folder / file, part)
    if shards > 1:
        index = {"metadata": {"total_size": 1}, "weight_map": places}
        (folder / f"{layout}.index.json").write_text(json.dumps(index))
    if tokenizer:
        (folder / "sentencepiece.bpe.model").write_bytes(vocabulary())
        added = [{"id": 0, "content": "<s>", "special": True}]
        added += [{"id": n, "content": code} for code, n in language_ids().items()]
        (folder / "tokenizer.json").write_text(json.dumps({"added_tokens": added}))
    return folder


def save(path: Path, part: Tensors) -> None:
    if path.suffix == ".bin":
        package("torch").save(part, path)
    else:
        mx.save_safetensors(str(path), part)
