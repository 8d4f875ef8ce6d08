"""Weights of NLLB to measure speed with: random ones of a true shape, in the hub's layout.

Speed does not depend on what the weights say, only on how many steps a translation takes and on
how often the whole vocabulary must be asked after all. So these weights make translations that
vary and never end, whose tokens come out of a vocabulary of the target language but for a stated
share of misses: 1 % where nothing else is said; of what Bergamot translates, vocabularies of such
a size miss 0.5 to 1.8 % (`drafting.py`). What cannot be learned from them: how often NLLB itself
leaves its vocabulary, and how much of a translation a lower precision changes. For that, measure
with real weights (`--weights`).
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from mlx_speak.home import home, lock

PAD, END, UNKNOWN = 1, 2, 3
SPECIAL = 4
"""Tokens before the first piece of text: `<s>`, `<pad>`, `</s>`, `<unk>`."""
LANGUAGES = 205
"""Tokens behind the last piece of text: the languages and `<mask>` (202 + 1 + unused)."""


@dataclass(frozen=True)
class Shape:
    """The dimensions of a member of the family."""

    d_model: int
    layers: int
    heads: int
    ffn: int
    vocab_size: int = 256206
    max_positions: int = 1024

    @property
    def languages(self) -> range:
        """The token ids that stand for languages (and a few others)."""
        return range(self.vocab_size - min(LANGUAGES, self.vocab_size // 8), self.vocab_size)

    @property
    def pieces(self) -> range:
        """The token ids that stand for text."""
        return range(SPECIAL, self.languages.start)

    def config(self) -> dict[str, object]:
        """The `config.json` of the hub's repositories."""
        return {
            "architectures": ["M2M100ForConditionalGeneration"],
            "model_type": "m2m_100",
            "vocab_size": self.vocab_size,
            "d_model": self.d_model,
            "encoder_layers": self.layers,
            "decoder_layers": self.layers,
            "encoder_attention_heads": self.heads,
            "decoder_attention_heads": self.heads,
            "encoder_ffn_dim": self.ffn,
            "decoder_ffn_dim": self.ffn,
            "max_position_embeddings": self.max_positions,
            "activation_function": "relu",
            "scale_embedding": True,
            "tie_word_embeddings": True,
            "is_encoder_decoder": True,
            "decoder_start_token_id": END,
            "bos_token_id": 0,
            "pad_token_id": PAD,
            "eos_token_id": END,
            "dropout": 0.1,
            "attention_dropout": 0.1,
            "activation_dropout": 0.0,
            "encoder_layerdrop": 0.0,
            "decoder_layerdrop": 0.0,
            "dtype": "float32",
        }


SHAPES = {
    "tiny": Shape(64, 2, 4, 128, vocab_size=4096),
    "distilled-600M": Shape(1024, 12, 16, 4096),
    "distilled-1.3B": Shape(1024, 24, 16, 8192),
    "3.3B": Shape(2048, 24, 16, 8192),
}


def checkpoint(shape: str, misses: float, vocabulary: int, seed: int = 0) -> Path:
    """The folder of a random checkpoint, written when first asked for.

    Args:
        shape: a name of `SHAPES`.
        misses: the share of tokens that lie outside the target's vocabulary, about.
        vocabulary: how many tokens that holds.

    Returns:
        A folder of the hub's layout, with `vocabulary.json`, the ids of the target's vocabulary.
    """
    name = f"nllb-{shape}-{vocabulary}-{misses:g}-{seed}-v{_VERSION}"
    folder = home("benchmarks") / name / "hub"
    with lock(f"benchmark-{name}"):
        if not (folder / "config.json").is_file():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            _write(folder, SHAPES[shape], misses, vocabulary, seed)
    return folder


def sentences(shape: Shape, count: int, length: int, seed: int = 1) -> list[list[int]]:
    """Sources `[language] tokens </s>` of so many random tokens."""
    random = np.random.default_rng(seed)
    language = shape.languages.start + 46  # eng_Latn, in the true vocabulary
    pieces = random.integers(shape.pieces.start, shape.pieces.stop, (count, length))
    return [[language, *row, END] for row in pieces.tolist()]


_VERSION = 3
"""Of the recipe below: another number, and the checkpoint is written anew."""


def _write(folder: Path, shape: Shape, misses: float, vocabulary: int, seed: int) -> None:
    import mlx.core as mx

    random = np.random.Generator(np.random.Philox(seed))
    ids = random.choice(np.array(shape.pieces), vocabulary, replace=False)
    weights = {name: mx.array(x) for name, x in _tensors(shape, ids, misses, random)}
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "pt"})
    generation = {
        "bos_token_id": 0,
        "decoder_start_token_id": END,
        "eos_token_id": END,
        "pad_token_id": PAD,
    }
    allowed = [*range(SPECIAL), *sorted(ids.tolist())]
    (folder / "vocabulary.json").write_text(json.dumps(allowed) + "\n")
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
    (folder / "config.json").write_text(json.dumps(shape.config(), indent=2) + "\n")


_WORD = 4
"""Tokens of a word."""
_REORDER = 4
"""How loud the reordered dimensions are."""


def _tensors(
    shape: Shape, vocabulary: np.ndarray, misses: float, random: np.random.Generator
) -> Iterator[tuple[str, np.ndarray]]:
    """Every tensor by its name on the hub.

    Left at plain random weights, the model says one token forever: the output table being the input
    table, a token is its own likeliest successor. So the decoder's last feed-forward layer reorders
    the dimensions and its last norm turns the sign of half of them; and the tokens of the
    vocabulary form words, in which each token's row is the one before, reordered and turned thus.
    Within a word the model is sure of what follows, as real ones mostly are; at its end the context
    decides, with two candidates often close together. What all contexts have in common is kept
    small, by feed-forward layers whose answers have no mean, small biases, and attention that looks
    at few tokens; at fewer still, and rounding would grow from layer to layer.
    """
    d = shape.d_model
    order, sign = random.permutation(d), random.choice(np.float32([-1, 1]), d)

    def normal(*size: int, scale: float) -> np.ndarray:
        return random.standard_normal(size, np.float32) * np.float32(scale)

    def norm(name: str, sign: np.ndarray | int = 1) -> Iterator[tuple[str, np.ndarray]]:
        yield f"{name}.weight", sign * (1 + normal(d, scale=0.02))
        yield f"{name}.bias", normal(d, scale=0.02)

    def linear(name: str, weight: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        yield f"{name}.weight", weight
        yield f"{name}.bias", normal(len(weight), scale=0.02)

    def feed_forward(layer: str, reorders: bool) -> Iterator[tuple[str, np.ndarray]]:
        up = normal(shape.ffn, d, scale=d**-0.5)
        down = normal(d, shape.ffn, scale=1.2 * shape.ffn**-0.5)
        down -= down.mean(axis=1, keepdims=True)
        if reorders:  # x = relu(x) - relu(-x)
            identity = np.eye(d, dtype=np.float32)
            up[: 2 * d] = np.concatenate([identity, -identity])
            down[:, : 2 * d] = _REORDER * np.concatenate([identity, -identity])[:, order].T
        yield from linear(f"{layer}.fc1", up)
        yield from linear(f"{layer}.fc2", down)

    table = normal(shape.vocab_size, d, scale=2 * d**-0.5)
    words = vocabulary[: len(vocabulary) // _WORD * _WORD].reshape(-1, _WORD).T
    for token, following in pairwise(words):
        table[following] = sign * table[token][:, order]
    # Who lands somewhere in a word stays for half of it; outside of the vocabulary are no words.
    unsure = 2 / (_WORD + 1)
    outside = np.ones(shape.vocab_size, bool)
    outside[vocabulary] = False
    table[outside] *= damping(misses / unsure, len(vocabulary), int(outside.sum()))
    table[:SPECIAL] = 0  # so that `</s>` never wins
    yield "model.shared.weight", table

    for stack in ("encoder", "decoder"):
        for i in range(shape.layers):
            layer = f"model.{stack}.layers.{i}"
            for attention in ("self_attn", "encoder_attn")[: 1 + (stack == "decoder")]:
                for part, gain in (("q", 1.75), ("k", 1.75), ("v", 1), ("out", 1.2)):
                    weight = normal(d, d, scale=gain * d**-0.5)
                    yield from linear(f"{layer}.{attention}.{part}_proj", weight)
                yield from norm(f"{layer}.{attention}_layer_norm")
            last = stack == "decoder" and i == shape.layers - 1
            yield from feed_forward(layer, reorders=last)
            yield from norm(f"{layer}.final_layer_norm")
    yield from norm("model.encoder.layer_norm")
    yield from norm("model.decoder.layer_norm", sign)


def damping(misses: float, inside: int, outside: int) -> float:
    """By how much to scale the scores outside a vocabulary for the greatest to be there that often.

    Args:
        misses: the share wanted, between 0 and 1.
        inside, outside: how many scores there are, all normal and independent.
    """
    if not misses or not outside:
        return 0.0
    z = np.linspace(-8, 10, 20_001)
    log_cdf = np.log(np.maximum([0.5 * math.erfc(-x / math.sqrt(2)) for x in z], 1e-300))
    greatest_outside = np.diff(np.exp(outside * log_cdf))

    def share(scale: float) -> float:
        """How often the greatest of the scaled scores exceeds the greatest of the others."""
        below = np.exp(inside * np.interp(scale * z[1:], z, log_cdf))
        return float(np.sum(greatest_outside * below))

    low, high = 0.0, 2.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if share(middle) < misses else (low, middle)
    return high
