"""Firefox Translations ("Bergamot") models: Marian files into a folder that `mlx_speak` loads.

The folder holds `config.json`, `model.safetensors`, `shortlist.safetensors` and `vocab.spm`, or
`source.spm` and `target.spm` where the languages have a vocabulary each. int8 weights stay int8
with one multiplier a row, so that nothing is rounded twice: a weight is `value / multiplier`.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlx_speak.errors import ModelFormatError, ModelNotFoundError, UnknownLanguageError
from mlx_speak.languages import Language

from .folder import atomic_folder, metadata, origin, save_model, save_tensors
from .marian import MarianModel, MarianTensor, read_model, read_shortlist
from .report import SILENT, Reporter

if TYPE_CHECKING:
    from mlx_speak.translation.bergamot_model import BergamotConfig

LICENCE = (
    "MPL-2.0: Firefox Translations models by Mozilla and the Bergamot project, "
    "https://github.com/mozilla/firefox-translations-models"
)

# What the options of a model must say for `mlx_speak.translation.bergamot_model` to be that model.
_ARCHITECTURE = {
    "type": "transformer",
    "dec-cell": "ssru",
    "transformer-decoder-autoreg": "rnn",
    "transformer-preprocess": "",
    "transformer-postprocess": "dan",
    "transformer-postprocess-emb": "d",
    "transformer-postprocess-top": "",
    "transformer-ffn-activation": "relu",
    "transformer-ffn-depth": "2",
    "transformer-train-position-embeddings": "false",
    "transformer-no-projection": "false",
    "transformer-pool": "false",
    "transformer-rnn-projection": "false",
    "transformer-tied-layers": [],
    "lemma-dim-emb": "0",
    "ulr": "false",
    "right-left": "false",
    "input-types": [],
}


def convert_bergamot(
    source: str | Path,
    destination: str | Path,
    *,
    languages: tuple[str, str] | None = None,
    reporter: Reporter = SILENT,
) -> Path:
    """Convert one language pair.

    Args:
        source: a folder with `model*.bin`, `vocab*.spm` (or `srcvocab*.spm` and `trgvocab*.spm`)
            and `lex*.bin`, as Firefox downloads them, unpacked.
        destination: the folder to write; it appears whole or not at all.
        languages: source and target; by default read from the model's file name, such as
            `model.enpt.intgemm.alphas.bin`.
        reporter: is told the licence.

    Returns:
        The destination.

    Raises:
        ModelNotFoundError: a file is missing.
        ModelFormatError: a file is damaged, or the model is of an architecture not supported.
    """
    source, destination = Path(source), Path(destination)
    if not source.is_dir():
        raise ModelNotFoundError(f"there is no folder {source}")
    path = _only(source, "model*.bin")
    model = read_model(path)
    pair = tuple(Language.parse(x) for x in languages) if languages else _languages_of(path)
    config = _config(model, (pair[0].tag, pair[1].tag), path)
    weights = _weights(model, config, path)
    shortlist = read_shortlist(_only(source, "lex*.bin"))
    if len(shortlist.offsets) <= config.source_vocab_size:
        raise ModelFormatError(f"the shortlist in {source} is for a smaller vocabulary")
    reporter.say("bergamot", f"licence: {LICENCE}")
    with atomic_folder(destination) as folder:
        ours = {
            "model_type": "bergamot",
            **asdict(config),
            "license": LICENCE,
            "source": origin(path),
        }
        save_model(folder, ours, weights)
        save_tensors(
            folder / "shortlist.safetensors",
            {
                "offsets": shortlist.offsets.astype(np.uint32),
                "ids": shortlist.ids.astype(np.uint32),
                "first": np.array([shortlist.first], np.uint32),
            },
            metadata=metadata(ours),
        )
        for name, vocabulary in _vocabularies(source).items():
            shutil.copyfile(vocabulary, folder / name)
    return destination


def _config(model: MarianModel, pair: tuple[str, str], path: Path) -> BergamotConfig:
    from mlx_speak.translation.bergamot_model import BergamotConfig

    for option, expected in _ARCHITECTURE.items():
        found = model.options.get(option, expected)
        if (found or expected) != expected:  # Marian writes an empty list as an empty string too
            raise ModelFormatError(
                f"{path} is a Marian model of an architecture that is not supported: "
                f"its {option} is {found!r}, not {expected!r}"
            )
    options = model.options
    shared = options.get("tied-embeddings-all") == "true"
    if not shared and options.get("tied-embeddings") != "true":
        raise ModelFormatError(f"{path}: an output table apart from the embeddings is unsupported")
    tables = ("Wemb", "Wemb") if shared else ("encoder_Wemb", "decoder_Wemb")
    try:
        (source_size, dims), (target_size, _) = (model.tensors[t].values.shape for t in tables)
        return BergamotConfig(
            source_language=pair[0],
            target_language=pair[1],
            source_vocab_size=source_size,
            target_vocab_size=target_size,
            hidden_size=dims,
            intermediate_size=model.tensors["encoder_l1_ffn_W1"].values.shape[1],
            num_attention_heads=int(str(options["transformer-heads"])),
            encoder_layers=int(str(options["enc-depth"])),
            decoder_layers=int(str(options["dec-depth"])),
            shared_embeddings=shared,
        )
    except (KeyError, ValueError, IndexError) as error:
        raise ModelFormatError(f"{path} lacks what its architecture needs: {error}") from None


def _weights(model: MarianModel, config: BergamotConfig, path: Path) -> dict[str, np.ndarray]:
    """All parameters under this project's names; every tensor of the file must find its place."""
    # The activation scales of 8-bit products are not needed: activations stay in float here.
    left = {k: v for k, v in model.tensors.items() if not k.endswith("_QuantMultA")}
    dims, inner = config.hidden_size, config.intermediate_size
    weights: dict[str, np.ndarray] = {}

    def take(name: str, *shape: int) -> MarianTensor:
        tensor = left.pop(name, None)
        if tensor is None or tensor.values.shape != shape:
            found = "is missing" if tensor is None else f"has the shape {tensor.values.shape}"
            raise ModelFormatError(f"{path}: {name} {found}, expected {shape}")
        return tensor

    def vector(name: str, size: int) -> np.ndarray:
        return take(name, 1, size).values[0].astype(np.float32)

    def table(name: str, tensors: Sequence[MarianTensor]) -> None:
        values = np.concatenate([tensor.values for tensor in tensors])
        weights[f"{name}.weight"] = np.ascontiguousarray(values)
        if tensors[0].multiplier is not None:
            rows = [np.full((len(t.values), 1), t.multiplier, np.float32) for t in tensors]
            weights[f"{name}.multiplier"] = np.concatenate(rows)

    def linear(
        name: str, parts: Sequence[tuple[str, str | None]], inputs: int, outputs: int
    ) -> None:
        """One layer out of one or more of Marian's, (weight, bias) names, side by side."""
        tensors = [take(weight, inputs, outputs) for weight, _ in parts]
        if len({tensor.multiplier is None for tensor in tensors}) > 1:
            raise ModelFormatError(f"{path}: the parts of {name} are of different number types")
        table(name, [MarianTensor(t.values.T, t.multiplier) for t in tensors])
        biases = [vector(b, outputs) if b else np.zeros(outputs, np.float32) for _, b in parts]
        weights[f"{name}.bias"] = np.concatenate(biases)

    def norm(name: str, marian: str) -> None:
        weights[f"{name}.weight"] = vector(f"{marian}_ln_scale", dims)
        weights[f"{name}.bias"] = vector(f"{marian}_ln_bias", dims)

    def attention(prefix: str, marian: str, merged: dict[str, str]) -> None:
        """`merged` maps a layer's name to the letters of Marian's projections in it."""
        for name, letters in {**merged, "output": "o"}.items():
            parts = [(f"{marian}_W{x}", f"{marian}_b{x}") for x in letters]
            linear(f"{prefix}.{name}", parts, dims, dims)
        norm(f"{prefix}_norm", f"{marian}_Wo")

    def feed_forward(prefix: str, marian: str) -> None:
        linear(f"{prefix}.up", [(f"{marian}_W1", f"{marian}_b1")], dims, inner)
        linear(f"{prefix}.down", [(f"{marian}_W2", f"{marian}_b2")], inner, dims)
        norm(f"{prefix}_norm", f"{marian}_ffn")

    source_size, target_size = config.source_vocab_size, config.target_vocab_size
    if config.shared_embeddings:
        table("source_embedding", [take("Wemb", source_size, dims)])
    else:
        table("source_embedding", [take("encoder_Wemb", source_size, dims)])
        table("target_embedding", [take("decoder_Wemb", target_size, dims)])
    weights["output_bias"] = vector("decoder_ff_logit_out_b", target_size)
    for i in range(config.encoder_layers):
        ours, marian = f"encoder.{i}", f"encoder_l{i + 1}"
        attention(f"{ours}.attention", f"{marian}_self", {"query_key_value": "qkv"})
        feed_forward(f"{ours}.feed_forward", f"{marian}_ffn")
    for i in range(config.decoder_layers):
        ours, marian = f"decoder.{i}", f"decoder_l{i + 1}"
        rnn = f"{marian}_rnn"
        parts = [(f"{rnn}_Wf", f"{rnn}_bf"), (f"{rnn}_W", None)]
        linear(f"{ours}.recurrence.forget_update", parts, dims, dims)
        norm(f"{ours}.recurrence_norm", f"{rnn}_ffn")
        merged = {"query": "q", "key_value": "kv"}
        attention(f"{ours}.attention", f"{marian}_context", merged)
        feed_forward(f"{ours}.feed_forward", f"{marian}_ffn")
    if left:
        raise ModelFormatError(
            f"{path} is of an architecture that is not supported: "
            f"nothing here uses its tensors {', '.join(sorted(left)[:4])}"
        )
    return weights


def _languages_of(path: Path) -> tuple[Language, Language]:
    match = re.fullmatch(r"model\.([a-z]{2,3})-?([a-z]{2,3})\..*", path.name)
    try:
        if match:
            return Language.parse(match[1]), Language.parse(match[2])
    except UnknownLanguageError:
        pass
    raise ModelFormatError(
        f"the name {path.name} does not tell the languages (as in model.enpt.….bin); "
        "give them as languages=('en', 'pt')"
    )


def _vocabularies(source: Path) -> dict[str, Path]:
    if list(source.glob("srcvocab*.spm")):
        return {
            "source.spm": _only(source, "srcvocab*.spm"),
            "target.spm": _only(source, "trgvocab*.spm"),
        }
    return {"vocab.spm": _only(source, "vocab*.spm")}


def _only(folder: Path, pattern: str) -> Path:
    """The one file of a folder that fits a pattern."""
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise ModelNotFoundError(f"{folder} should hold one {pattern}; found {names}")
    return found[0]
