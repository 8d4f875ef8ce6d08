"""NLLB in every engine: the same token ids in, the same out, greedily."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from nllb_weights import END, PAD

from mlx_speak.home import lock

Tokens = list[int]


@dataclass(frozen=True)
class Task:
    """What all engines are given."""

    hub: Path
    """The checkpoint, in the hub's layout."""
    cache: Path
    """Where conversions of it go."""
    vocabulary: Tokens
    """The target language's tokens, which restricted engines decode over."""
    target: int
    """The token id of the target language."""
    device: str
    """ "cpu" or "gpu"."""
    threads: int
    ends: bool = False
    """Whether translations come to an end by themselves."""


class Engine(NamedTuple):
    """What a process runs."""

    translate: Callable[[list[Tokens], int], list[Tokens]]
    """Sources `[language] tokens </s>`, and at most how many tokens → `[language] tokens`."""
    encode: Callable[[Tokens], None] | None
    """Only the encoder; None where it cannot be had alone."""
    about: str
    step_bytes: float = 0.0
    """Weights that a step reads, where it is always the same."""
    read: Callable[[], dict[str, float]] = dict
    """Bytes that the last translation read, misses and checks, where they are counted."""


@dataclass(frozen=True)
class Kind:
    """An engine: its library, its precision, and whether it decodes over the vocabulary only."""

    library: str
    precision: str
    restricted: bool = False


OURS = "mlx_speak"
ENGINES = {
    f"{OURS} fp32": Kind(OURS, "float32", restricted=True),
    f"{OURS} fp32 whole": Kind(OURS, "float32"),
    f"{OURS} bf16": Kind(OURS, "bfloat16", restricted=True),
    f"{OURS} bf16 whole": Kind(OURS, "bfloat16"),
    f"{OURS} 8bit": Kind(OURS, "8", restricted=True),
    f"{OURS} 4bit": Kind(OURS, "4", restricted=True),
    "transformers fp32": Kind("transformers", "float32"),
    "transformers bf16": Kind("transformers", "bfloat16"),
    "CTranslate2 fp32": Kind("ctranslate2", "float32"),
    "CTranslate2 fp16": Kind("ctranslate2", "float16"),
    "CTranslate2 int8": Kind("ctranslate2", "int8"),
    "CTranslate2 int8 map": Kind("ctranslate2", "int8", restricted=True),
}
"""Every engine by name. "whole" decodes over the whole table; CTranslate2's vocabulary map is
final, where our restriction is checked against the whole table."""

DEFAULTS = {
    "cpu": [
        f"{OURS} fp32",
        f"{OURS} fp32 whole",
        f"{OURS} 8bit",
        "transformers fp32",
        "transformers bf16",
        "CTranslate2 fp32",
        "CTranslate2 int8",
        "CTranslate2 int8 map",
    ],
    "gpu": [
        f"{OURS} bf16",
        f"{OURS} bf16 whole",
        f"{OURS} 8bit",
        f"{OURS} 4bit",
        "transformers bf16",
        "CTranslate2 fp16",
        "CTranslate2 int8",
    ],
}
"""The engines that are measured on a device if none are named, ours first."""


def prepare(name: str, task: Task) -> Path:
    """The folder that an engine loads, converted when first asked for, in another process."""
    kind = ENGINES[name]
    if kind.library == "transformers":
        return task.hub
    folder = task.cache / f"{kind.library}-{kind.precision}"
    with lock(f"benchmark-{task.cache.name}-{folder.name}"):
        if not (folder / "config.json").is_file():
            if kind.library == OURS:
                form = "--bits" if kind.precision.isdigit() else "--dtype"
                command = ["-m", "mlx_speak.convert", str(task.hub), str(folder)]
                command += [form, kind.precision]
            else:
                vocabulary = task.cache / "vocabulary.json"
                vocabulary.write_text(json.dumps(task.vocabulary) + "\n")
                command = [str(Path(__file__).with_name("nllb_ctranslate2.py"))]
                command += [str(task.hub), str(vocabulary), str(folder), kind.precision]
            subprocess.run([sys.executable, *command], check=True)
    return folder


def make(name: str, task: Task, folder: Path) -> tuple[Callable[..., Any], str]:
    """An engine that answers (sources, length) with (targets, seconds, what it read).

    A length of 0 runs the encoder alone, which takes 0 seconds where there is no such thing.
    """
    kind = ENGINES[name]
    engine = _LIBRARIES[kind.library](kind, task, folder)

    def answer(sources: list[Tokens], length: int) -> tuple[list[Tokens], float, dict[str, float]]:
        start = time.perf_counter()
        if length:
            targets = engine.translate(sources, length)
            seconds = time.perf_counter() - start
            return targets, seconds, engine.read() or {"bytes": engine.step_bytes * len(targets[0])}
        if not engine.encode:
            return [], 0.0, {}
        engine.encode(sources[0])
        return [], time.perf_counter() - start, {}

    return answer, engine.about


def _step_bytes(hub: Path, bytes_per_weight: float, rows: int | None = None) -> float:
    """What one step of one sentence reads of the weights, the keys of the source being known.

    Args:
        hub: the checkpoint.
        rows: of the output table; None for all.
    """
    config = json.loads((hub / "config.json").read_text(encoding="utf-8"))
    d, ffn = config["d_model"], config["decoder_ffn_dim"]
    layer = 4 * d * d + 2 * d * d + 2 * d * ffn  # self-attention, cross-attention, feed-forward
    rows = config["vocab_size"] if rows is None else rows
    return (config["decoder_layers"] * layer + rows * d) * bytes_per_weight


def _pad(sources: list[Tokens]) -> tuple[list[Tokens], list[Tokens]]:
    """input_ids and attention_mask, padded on the right."""
    longest = max(map(len, sources))
    return (
        [source + [PAD] * (longest - len(source)) for source in sources],
        [[1] * len(source) + [0] * (longest - len(source)) for source in sources],
    )


def _without_end(tokens: Tokens) -> Tokens:
    """Tokens up to the end of the sentence."""
    return tokens[: tokens.index(END)] if END in tokens else tokens


def ours(kind: Kind, task: Task, folder: Path) -> Engine:
    from mlx_speak import blas, load_model  # noqa: I001, before mlx.core, for its BLAS

    import mlx.core as mx

    if task.device == "gpu" and not mx.is_available(mx.gpu):
        raise ImportError("MLX has no GPU here (on Linux: pip install 'mlx[cuda]')")
    mx.set_default_device(mx.gpu if task.device == "gpu" else mx.cpu)
    from mlx_speak.translation.decoding import generate
    from mlx_speak.translation.drafting import Report
    from mlx_speak.translation.restriction import Vocabulary, bytes_read, exact_greedy

    model = load_model(folder)
    vocabulary = Vocabulary(task.vocabulary) if kind.restricted else None
    report = Report()

    def translate(sources: list[Tokens], length: int) -> list[Tokens]:
        nonlocal report
        report = Report()
        if vocabulary is not None and len(sources) == 1:
            *_, tokens = exact_greedy(
                model,
                model.remember(model.encode(mx.array(sources))),
                prompt=[END, task.target],
                max_length=length + 1,
                vocabulary=vocabulary,
                source=sources[0],
                report=report,
            )
            return [[task.target, *tokens]]
        input_ids, attention_mask = map(mx.array, _pad(sources))
        ids = generate(
            model,
            input_ids,
            attention_mask if len(sources) > 1 else None,
            forced_bos_token_id=task.target,
            max_length=length + 1,
        )
        return [_without_end(row[1:]) for row in ids.tolist()]

    def read() -> dict[str, float]:
        if not report.passes:
            return {}
        counts = {"misses": report.misses, "ties": report.ties, "checks": report.checks}
        return {"bytes": bytes_read(report, model, vocabulary), **counts}

    def encode(source: Tokens) -> None:
        mx.eval(model.encode(mx.array([source])))

    about = f"mlx {version('mlx')}, {mx.default_device()}, {blas.describe()}"
    size = model.decoder.norm.weight.dtype.size
    return Engine(translate, encode, about, _step_bytes(task.hub, size), read)


def transformers(kind: Kind, task: Task, folder: Path) -> Engine:
    import torch
    from transformers import AutoModelForSeq2SeqLM
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(task.threads)
    device = "cpu"
    if task.device == "gpu":
        device = "cuda" if torch.cuda.is_available() else "mps"
        if device == "mps" and not torch.backends.mps.is_available():
            raise ImportError("torch has no GPU here")
    dtype = getattr(torch, kind.precision)
    model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=dtype).to(device).eval()

    @torch.inference_mode()
    def translate(sources: list[Tokens], length: int) -> list[Tokens]:
        input_ids, attention_mask = (torch.tensor(x, device=device) for x in _pad(sources))
        ids = model.generate(
            input_ids,
            attention_mask=attention_mask,
            forced_bos_token_id=task.target,
            max_length=length + 1,
            num_beams=1,
            do_sample=False,
        )
        return [_without_end(row[1:]) for row in ids.tolist()]

    @torch.inference_mode()
    def encode(source: Tokens) -> None:
        model.get_encoder()(torch.tensor([source], device=device)).last_hidden_state.sum().item()

    about = f"transformers {version('transformers')}, torch {torch.__version__}, {device}, eager"
    return Engine(translate, encode, about, _step_bytes(task.hub, dtype.itemsize))


def ctranslate2(kind: Kind, task: Task, folder: Path) -> Engine:
    import ctranslate2

    on_gpu = task.device == "gpu" and ctranslate2.get_cuda_device_count() > 0
    if kind.precision == "float16" and not on_gpu:
        raise ImportError("CTranslate2 computes in float16 on CUDA devices only")
    device = "cuda" if on_gpu else "cpu"
    translator = ctranslate2.Translator(
        str(folder),
        device=device,
        compute_type=kind.precision,
        inter_threads=1,
        intra_threads=task.threads,
    )

    def translate(sources: list[Tokens], length: int) -> list[Tokens]:
        results = translator.translate_batch(
            [[str(token) for token in source] for source in sources],
            target_prefix=[[str(task.target)]] * len(sources),
            beam_size=1,
            max_decoding_length=length,
            use_vmap=kind.restricted,
        )
        return [[int(token) for token in result.hypotheses[0]] for result in results]

    about = f"ctranslate2 {version('ctranslate2')}, {device}, {translator.compute_type}"
    size = {"float32": 4, "float16": 2, "int8": 1}[kind.precision]
    rows = len(task.vocabulary) if kind.restricted else None
    # The bandwidth is that of the device asked for.
    here = on_gpu or task.device == "cpu"
    return Engine(translate, None, about, _step_bytes(task.hub, size, rows) if here else 0.0)


_LIBRARIES = {OURS: ours, "transformers": transformers, "ctranslate2": ctranslate2}
