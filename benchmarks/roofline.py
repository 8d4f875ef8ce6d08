"""What bounds a token and a second of sound on a Mac: bytes, arithmetic, or the dispatches.

    python benchmarks/roofline.py [--json FILE]

Dispatches, bytes and FLOPs are counted in the graphs of models of true size (`graphs.py`), in plain
MLX and with the kernels of `mlx_speak.kernels` wherever they apply. The times are a model, and no
measurement: every dispatch waits for the one before it and costs a launch, and what its bytes or
its arithmetic take, whichever is longer. `benchmarks/kernels.py` measures.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mlx_speak  # noqa: F401  before mlx.core, to which it gives a BLAS

# isort: split
import mlx.core as mx
import mlx.nn as nn
import numpy as np
from graphs import Dispatch, dispatches, hollow
from nllb_weights import SHAPES

from mlx_speak import kernels
from mlx_speak.nn.cache import KeyValueCache
from mlx_speak.speech.kokoro.model import Kokoro, KokoroConfig
from mlx_speak.speech.xtts.gpt import Context
from mlx_speak.speech.xtts.model import XTTS, XTTSConfig
from mlx_speak.translation.nllb_model import NLLB, Memory, NLLBConfig

LAUNCH = 2.75e-6
"""Seconds from one tiny kernel to one that depends on it, as measured on an M3 Ultra."""
REACHED = 0.45
"""Share of a chip's arithmetic that MLX's products reach."""


@dataclass(frozen=True)
class Chip:
    """What Apple says of it."""

    name: str
    bandwidth: float
    """Bytes a second."""
    flops: float
    """A second, in fp32, which on these is that of 16 bits too."""

    def seconds(self, found: list[Dispatch]) -> float:
        """What the model says of so many dispatches."""
        work = (
            max((d.read + d.written) / self.bandwidth, d.flops / (self.flops * REACHED))
            for d in found
        )
        return len(found) * LAUNCH + sum(work)


CHIPS = (
    Chip("M1", 68e9, 2.6e12),
    Chip("M2 Pro", 205e9, 6.8e12),
    Chip("M3 Max", 410e9, 14.2e12),
    Chip("M2 Ultra", 819e9, 27.2e12),
)

NLLB_600M = NLLBConfig.from_dict(SHAPES["distilled-600M"].config())
SOURCE, TARGET = 32, 16
"""Tokens of the source, and of the target so far."""
PHONEMES, FRAMES = 16, 40
"""Of a second of Kokoro's: boundaries and silence aside, about as many as one says."""

Counts = Callable[[str], list[Dispatch]]
"""Dispatches in plain MLX ("ops") or on the kernels ("metal")."""


def nllb_step(bits: int | None, dtype: mx.Dtype = mx.bfloat16) -> Counts:
    """One token more of one sentence: embedding, decoder, output table, the likeliest."""
    model = NLLB(NLLB_600M)
    model.set_dtype(dtype)
    if bits:
        nn.quantize(model, 64, bits)
    hollow(model)
    layers, heads = NLLB_600M.decoder_layers, NLLB_600M.decoder_attention_heads
    dims = NLLB_600M.d_model // heads
    cached = [_zeros(dtype, 2, 1, heads, 64, dims)] * layers
    source = [_zeros(dtype, 1, heads, SOURCE, dims)] * 2 * layers

    def step(token: mx.array, *arrays: mx.array) -> list[mx.array]:
        caches = [KeyValueCache(array, TARGET) for array in arrays[:layers]]
        source = arrays[layers:]
        memory = Memory([(source[2 * i], source[2 * i + 1]) for i in range(layers)], None)
        hidden, caches = model.decode(token, memory, caches)
        best = kernels.argmax(model.logits(hidden))
        return [best, *(cache.keys_values for cache in caches)]

    return lambda on: dispatches(step, _zeros(mx.int32, 1, 1), *cached, *source, on=on)


def kokoro_second() -> Counts:
    """A second of sound from its phonemes on."""
    config = KokoroConfig()
    model = hollow(Kokoro(config))
    ids, style = _zeros(mx.int32, 1, PHONEMES), _zeros(mx.float32, 1, 2 * config.style_dim)
    contexts = _zeros(mx.float32, 1, PHONEMES, config.hidden_dim)
    features = _zeros(mx.float32, 1, PHONEMES, config.hidden_dim + config.style_dim)
    durations = np.diff(np.linspace(0, FRAMES, PHONEMES + 1).astype(int))

    def plan(contexts: mx.array, style: mx.array) -> list[mx.array]:
        prosody = mx.split(style, 2, axis=-1)[1]
        features = model.predictor.text_encoder(contexts, prosody)
        return [features, model.predictor.durations(features, 1.0)]

    def sound(ids: mx.array, features: mx.array, style: mx.array) -> list[mx.array]:
        x, source = model.decode(ids, features, durations, style)
        timbre = mx.split(style, 2, axis=-1)[0]
        return [model.decoder.generator.render(x, source, timbre)]

    return lambda on: [
        *dispatches(model.contexts, ids, on=on),
        *dispatches(plan, contexts, style, on=on),
        *dispatches(sound, ids, features, style, on=on),
    ]


def xtts_code(dtype: mx.Dtype = mx.bfloat16) -> Counts:
    """One audio code, of 21.5 a second."""
    model = _xtts(dtype)
    config, gpt = XTTSConfig(), model.gpt
    heads, layers = config.gpt_n_heads, config.gpt_layers
    dims = config.gpt_n_model_channels // heads
    cached = [_zeros(dtype, 2, 1, heads, 128, dims)] * layers

    def step(code: mx.array, *arrays: mx.array) -> list[mx.array]:
        caches = [KeyValueCache(array, 100) for array in arrays]
        state, context = gpt.step(code, Context(caches, 20))
        best = kernels.argmax(gpt.logits(state))
        return [best, *(cache.keys_values for cache in context.caches)]

    return lambda on: dispatches(step, _zeros(mx.int32, 1, 1), *cached, on=on)


def xtts_second() -> Counts:
    """A second of sound from the states of 22 codes on: HiFi-GAN alone."""
    config, model = XTTSConfig(), _xtts(mx.float32)
    latents = _zeros(mx.float32, 1, 22, config.decoder_input_dim)
    speaker = _zeros(mx.float32, 1, config.d_vector_dim)
    return lambda on: dispatches(model.decoder, latents, speaker, on=on)


WORK: dict[str, Callable[[], Counts]] = {
    "NLLB-600M, a token, bf16": lambda: nllb_step(None),
    "NLLB-600M, a token, 8 bits": lambda: nllb_step(8),
    "NLLB-600M, a token, 4 bits": lambda: nllb_step(4),
    "XTTS v2, a code, bf16": xtts_code,
    "XTTS v2, a second, HiFi-GAN, fp32": xtts_second,
    "Kokoro, a second, fp32": kokoro_second,
}


def _xtts(dtype: mx.Dtype) -> XTTS:
    model = XTTS(XTTSConfig())
    model.set_dtype(dtype)
    hollow(model)
    return model


def _zeros(dtype: mx.Dtype, *shape: int) -> mx.array:
    return mx.zeros(shape, dtype)


def summary(found: list[Dispatch]) -> dict[str, Any]:
    """The sums, and the model's milliseconds for each chip."""
    return {
        "dispatches": len(found),
        "megabytes": sum(d.read + d.written for d in found) / 1e6,
        "gflop": sum(d.flops for d in found) / 1e9,
        "by_name": dict(Counter(d.name for d in found).most_common()),
        "milliseconds": {chip.name: 1e3 * chip.seconds(found) for chip in CHIPS},
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="keep what was counted")
    options = parser.parse_args()
    kept: dict[str, Any] = {"chips": [asdict(chip) for chip in CHIPS], "work": {}}
    print(f"{'':36}{'dispatches':>11}{'MB':>9}{'GFLOP':>8}   modelled ms: "
          f"{' / '.join(chip.name for chip in CHIPS)}")  # fmt: skip
    for name, make in WORK.items():
        counts = make()
        for on, title in (("ops", name), ("metal", "  on the kernels")):
            kept["work"].setdefault(name, {})[on] = row = summary(counts(on))
            times = " / ".join(f"{x:.2f}" for x in row["milliseconds"].values())
            print(f"{title:36}{row['dispatches']:11}{row['megabytes']:9.1f}{row['gflop']:8.2f}"
                  f"   {times}")  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
