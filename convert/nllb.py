"""NLLB-200 and every other M2M100 checkpoint of the hub into a folder that `mlx_speak` loads.

Queries, keys and values are merged into one layer, and the table of embeddings, which checkpoints
may hold up to four times, is kept once. Parameters are copied from the source's memory map to the
new file, so that a model larger than memory can be converted.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlx_speak.errors import ModelFormatError
from mlx_speak.model_folder import read_config

from .checkpoint import read_checkpoint
from .folder import atomic_folder, hub_snapshot, metadata, origin, save_config
from .nllb_languages import read_language_token_ids, tokenizer_kind
from .parameters import blocks, check_finite, check_no_faults, parameter_shapes
from .report import SILENT, Reporter
from .safetensors_file import BFLOAT16, widen, write_safetensors

if TYPE_CHECKING:
    from mlx_speak.translation.nllb_model import NLLBConfig

Parts = list[np.ndarray]
"""Arrays to be joined along their first axis."""

TABLES = (
    "model.shared.weight",
    "model.encoder.embed_tokens.weight",
    "model.decoder.embed_tokens.weight",
    "lm_head.weight",
)
"""The names of the one table of embeddings; a checkpoint holds at least one of them."""

# Positions are computed, and fairseq's version numbers mean nothing here.
_IGNORED = re.compile(r"model\.(en|de)coder\.(embed_positions\.weights|version)")


def convert_nllb(
    source: str | Path, destination: str | Path, *, reporter: Reporter = SILENT
) -> Path:
    """Convert one checkpoint.

    Args:
        source: a folder in the hub's layout, its config of the `model_type` "m2m_100", its weights
            in safetensors or `pytorch_model.bin`, whole or in shards.
        destination: the folder to write; it appears whole or not at all.
        reporter: is told the licence, and how far it is.

    Returns:
        The destination.

    Raises:
        ModelNotFoundError: a file is missing.
        ModelFormatError: a file is damaged, or the model is of an architecture not supported.
    """
    from mlx_speak.translation.nllb_model import NLLBConfig

    source, destination = Path(source).expanduser(), Path(destination).expanduser()
    hub_config = read_config(source, "m2m_100")
    config = NLLBConfig.from_dict(hub_config)
    kind = tokenizer_kind(source, hub_config)
    languages = read_language_token_ids(source, kind, config.vocab_size)
    license = _license(source, hub_config, kind)
    reporter.say("nllb", f"licence: {license}")
    if not (source / "sentencepiece.bpe.model").is_file():
        reporter.say(
            "nllb",
            f"{source} has no sentencepiece.bpe.model: the network can be loaded, but will not "
            "translate until that file (of the model it was trained from) is put beside it",
        )
    if kind == "small100":
        reporter.say(
            "nllb",
            "SMaLL-100 wants the target language before the source, which no translator here does "
            "yet: the network alone can be loaded",
        )
    tensors = arrange(source, read_checkpoint(source), config)
    parts = [part for pieces in tensors.values() for part in pieces]
    reporter.start("nllb", sum(part.nbytes for part in parts))
    reporter.step("nllb", "converting")
    dtype = {np.dtype("<f4"): "float32", np.dtype("<f2"): "float16", BFLOAT16: "bfloat16"}
    with atomic_folder(destination) as folder:
        ours = {
            "model_type": "nllb",
            **asdict(config),
            "dtype": dtype[parts[0].dtype],
            "tokenizer": kind,
            "language_token_ids": languages,
            "license": license,
            "source": origin(source),
        }
        save_config(folder, ours)
        write_safetensors(
            folder / "model.safetensors",
            {**tensors},
            metadata=metadata(ours),
            progress=reporter.part("nllb"),
        )
        for name in ("sentencepiece.bpe.model", "vocab.json", "generation_config.json"):
            if (source / name).is_file():
                shutil.copyfile(source / name, folder / name)
    reporter.done("nllb", "is converted")
    return destination


def parameter_names(config: NLLBConfig) -> dict[str, list[str]]:
    """Each parameter of ours, and those of the hub's that it is made of, in order."""
    names = {"embedding.weight": [TABLES[0]]}
    for stack, count in (("encoder", config.encoder_layers), ("decoder", config.decoder_layers)):
        layers = {f"{stack}.norm": [f"model.{stack}.layer_norm"]}
        for i in range(count):
            for ours, theirs in _SUBLAYERS[stack].items():
                layers[f"{stack}.layers.{i}.{ours}"] = [
                    f"model.{stack}.layers.{i}.{name}" for name in theirs
                ]
        for ours, theirs in layers.items():
            for kind in ("weight", "bias"):
                names[f"{ours}.{kind}"] = [f"{name}.{kind}" for name in theirs]
    return names


_ATTENTION = {
    "attention_norm": ["self_attn_layer_norm"],
    "attention.query_key_value": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    "attention.output": ["self_attn.out_proj"],
}
_FEED_FORWARD = {
    "feed_forward_norm": ["final_layer_norm"],
    "feed_forward.up": ["fc1"],
    "feed_forward.down": ["fc2"],
}
_SUBLAYERS = {
    "encoder": {**_ATTENTION, **_FEED_FORWARD},
    "decoder": {
        **{f"self_{ours}": theirs for ours, theirs in _ATTENTION.items()},
        "cross_attention_norm": ["encoder_attn_layer_norm"],
        "cross_attention.query": ["encoder_attn.q_proj"],
        "cross_attention.key_value": ["encoder_attn.k_proj", "encoder_attn.v_proj"],
        "cross_attention.output": ["encoder_attn.out_proj"],
        **_FEED_FORWARD,
    },
}


def arrange(
    source: Path, checkpoint: Mapping[str, np.ndarray], config: NLLBConfig
) -> dict[str, Parts]:
    """A checkpoint's tensors under our names, all of one type and finite; none is copied.

    Raises:
        ModelFormatError: one is missing or left over, has another shape, or is no number.
    """
    from mlx_speak.translation.nllb_model import NLLB

    tensors = {  # a bare M2M100Model saves its names without the prefix
        name if name.startswith(("model.", "lm_head.")) else f"model.{name}": tensor
        for name, tensor in checkpoint.items()
        if not _IGNORED.fullmatch(name)
    }
    tables = {name: tensors.pop(name) for name in TABLES if name in tensors}
    if tables:
        first = next(iter(tables))
        tensors[TABLES[0]] = tables.pop(first)
        for name, table in tables.items():
            if not _equal(table, tensors[TABLES[0]]):
                raise ModelFormatError(
                    f"{source}: {name} differs from {first}; a model whose tables are not tied is "
                    "not supported"
                )
    names = parameter_names(config)
    shapes = parameter_shapes(NLLB(config))
    faults = []
    for ours, theirs in names.items():
        rows, *columns = shapes[ours]
        shape = (rows // len(theirs), *columns)
        for name in theirs:
            if name not in tensors:
                faults.append(f"{name} is missing")
            elif tensors[name].shape != shape:
                faults.append(f"{name} has the shape {tensors[name].shape}, not {shape}")
    known = {name for theirs in names.values() for name in theirs}
    faults += [f"{name} is unknown" for name in sorted(tensors.keys() - known)]
    check_no_faults(source, faults)
    for name, tensor in tensors.items():
        check_finite(source, name, tensor)
    types = {tensor.dtype for tensor in tensors.values()}
    if len(types) > 1 or not types <= {np.dtype("<f4"), np.dtype("<f2"), BFLOAT16}:
        tensors = {name: widen(x).astype(np.float32, copy=False) for name, x in tensors.items()}
    return {ours: [tensors[name] for name in theirs] for ours, theirs in names.items()}


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two tables hold the same bits; tied ones usually are the same memory."""
    if one.__array_interface__ == other.__array_interface__:
        return True
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    bits = f"<u{one.itemsize}"
    return all(np.array_equal(one[rows].view(bits), other[rows].view(bits)) for rows in blocks(one))


_NON_COMMERCIAL = "CC-BY-NC-4.0 (non-commercial use only)"
_LICENSES = (
    (r"facebook/nllb-200-.*", _NON_COMMERCIAL),
    (r"facebook/(m2m100|wmt21)[_-].*|alirezamsh/small100", "MIT"),
)


def _license(source: Path, config: Mapping[str, Any], kind: str) -> str:
    """The licence of a checkpoint: of a known repository, as its page states, or of its base."""
    repository, _ = hub_snapshot(source) or (source.name, "")
    readme = source / "README.md"
    text = readme.read_text(encoding="utf-8", errors="replace") if readme.is_file() else ""
    stated = re.match(r"---\n(?:(?!---).*\n)*?license:[ \"']*([\w.-]+)", text)
    if license := _known_license(repository):
        return license
    if stated:
        commercial = "" if "-nc" not in stated[1].lower() else " (non-commercial use only)"
        return stated[1].upper() + commercial
    base = str(config.get("_name_or_path", ""))
    if license := _known_license(base):
        return f"{license}, that of {base}"
    if kind == "nllb":
        return f"not stated; NLLB-200 itself is {_NON_COMMERCIAL}"
    return "not stated; M2M100 itself is MIT"


def _known_license(repository: str) -> str | None:
    for pattern, license in _LICENSES:
        if re.fullmatch(pattern, repository):
            return license
    return None
