"""A tiny Bergamot model as Firefox would ship it, random but seeded, and its arithmetic in NumPy.

The reference reads the same Marian names and knows nothing of MLX; it computes in float64.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sentencepiece

VOCABULARY, DIMS, INNER, HEADS, ENCODER, DECODER = 96, 32, 64, 4, 2, 2

OPTIONS = f"""\
dec-cell: ssru
dec-depth: {DECODER}
dim-emb: {DIMS}
enc-depth: {ENCODER}
input-types:
  []
lemma-dim-emb: 0
tied-embeddings: false
tied-embeddings-all: true
transformer-decoder-autoreg: rnn
transformer-ffn-activation: relu
transformer-ffn-depth: 2
transformer-heads: {HEADS}
transformer-postprocess: dan
transformer-postprocess-emb: d
transformer-postprocess-top: ""
transformer-preprocess: ""
transformer-tied-layers:
  []
type: transformer
"""

Weights = dict[str, np.ndarray]


@dataclass(frozen=True)
class Quantised:
    """An int8 parameter with its multiplier; the weight is values / multiplier."""

    values: np.ndarray
    multiplier: float


def random_model(seed: int = 0, *, shared: bool = True) -> dict[str, np.ndarray | Quantised]:
    """Parameters by Marian's names: matrices int8, the others float32."""
    random = np.random.default_rng(seed)
    model: dict[str, np.ndarray | Quantised] = {}

    def matrix(name: str, *shape: int) -> None:
        multiplier = float(np.float32(random.uniform(120, 260)))
        model[name] = Quantised(random.integers(-127, 128, shape, np.int8), multiplier)

    def vector(name: str, size: int, mean: float = 0.0) -> None:
        model[name] = (mean + 0.2 * random.standard_normal((1, size))).astype(np.float32)

    def attention(name: str) -> None:
        for letter in "qkvo":
            matrix(f"{name}_W{letter}", DIMS, DIMS)
            vector(f"{name}_b{letter}", DIMS)
        norm(f"{name}_Wo")

    def feed_forward(name: str) -> None:
        matrix(f"{name}_W1", DIMS, INNER)
        vector(f"{name}_b1", INNER)
        matrix(f"{name}_W2", INNER, DIMS)
        vector(f"{name}_b2", DIMS)
        norm(f"{name}_ffn")

    def norm(name: str) -> None:
        vector(f"{name}_ln_scale", DIMS, mean=1.0)
        vector(f"{name}_ln_bias", DIMS)

    for table in ["Wemb"] if shared else ["encoder_Wemb", "decoder_Wemb"]:
        matrix(table, VOCABULARY, DIMS)
    vector("decoder_ff_logit_out_b", VOCABULARY)
    for i in range(1, ENCODER + 1):
        attention(f"encoder_l{i}_self")
        feed_forward(f"encoder_l{i}_ffn")
    for i in range(1, DECODER + 1):
        matrix(f"decoder_l{i}_rnn_W", DIMS, DIMS)
        matrix(f"decoder_l{i}_rnn_Wf", DIMS, DIMS)
        vector(f"decoder_l{i}_rnn_bf", DIMS)
        norm(f"decoder_l{i}_rnn_ffn")
        attention(f"decoder_l{i}_context")
        feed_forward(f"decoder_l{i}_ffn")
    model["none_QuantMultA"] = np.array([[20.0]], np.float32)
    return model


def logits(
    model: dict[str, np.ndarray | Quantised], source: list[int], target: list[int]
) -> np.ndarray:
    """Scores (len(target), vocabulary) of every target token given those before it, in float64."""
    w: Weights = {
        name: p.values / p.multiplier if isinstance(p, Quantised) else p.astype(np.float64)
        for name, p in model.items()
    }

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)
        return x * w[f"{name}_ln_scale"] + w[f"{name}_ln_bias"]

    def attention(x: np.ndarray, over: np.ndarray, name: str) -> np.ndarray:
        q, k, v = (
            (y @ w[f"{name}_W{letter}"] + w[f"{name}_b{letter}"])
            .reshape(len(y), HEADS, -1)
            .swapaxes(0, 1)
            for letter, y in zip("qkv", (x, over, over), strict=True)
        )
        scores = np.exp(q @ k.swapaxes(1, 2) / np.sqrt(DIMS // HEADS))
        out = (scores / scores.sum(-1, keepdims=True) @ v).swapaxes(0, 1).reshape(len(x), DIMS)
        return norm(x + out @ w[f"{name}_Wo"] + w[f"{name}_bo"], f"{name}_Wo")

    def feed_forward(x: np.ndarray, name: str) -> np.ndarray:
        hidden = np.maximum(x @ w[f"{name}_W1"] + w[f"{name}_b1"], 0)
        return norm(x + hidden @ w[f"{name}_W2"] + w[f"{name}_b2"], f"{name}_ffn")

    def place(embedded: np.ndarray) -> np.ndarray:
        half = DIMS // 2
        rates = 10000.0 ** (-np.arange(half) / (half - 1))
        angles = np.arange(len(embedded))[:, None] * rates
        return embedded * np.sqrt(DIMS) + np.concatenate([np.sin(angles), np.cos(angles)], 1)

    source_table = w.get("Wemb", w.get("encoder_Wemb"))
    target_table = w.get("Wemb", w.get("decoder_Wemb"))
    encoded = place(source_table[source])
    for i in range(1, ENCODER + 1):
        encoded = attention(encoded, encoded, f"encoder_l{i}_self")
        encoded = feed_forward(encoded, f"encoder_l{i}_ffn")
    x = place(np.concatenate([np.zeros((1, DIMS)), target_table[target[:-1]]]))
    for i in range(1, DECODER + 1):
        name = f"decoder_l{i}"
        forget = 1 / (1 + np.exp(-(x @ w[f"{name}_rnn_Wf"] + w[f"{name}_rnn_bf"])))
        update = x @ w[f"{name}_rnn_W"]
        cell, cells = np.zeros(DIMS), []
        for f, u in zip(forget, update, strict=True):
            cell = f * cell + (1 - f) * u
            cells.append(cell)
        x = norm(x + np.maximum(cells, 0), f"{name}_rnn_ffn")
        x = attention(x, encoded, f"{name}_context")
        x = feed_forward(x, f"{name}_ffn")
    return x @ target_table.T + w["decoder_ff_logit_out_b"]


def marian_binary(model: dict[str, np.ndarray | Quantised], options: str = OPTIONS) -> bytes:
    """The bytes of a Marian binary model."""
    items = [("special:model.yml", 0x0101, (len(options) + 1,), options.encode() + b"\0")]
    for name, p in sorted(model.items()):
        if isinstance(p, Quantised):
            values = p.values if name.endswith("Wemb") else p.values.T
            data = values.tobytes() + struct.pack("<f", p.multiplier)
            items.append((name, 0x4101, p.values.shape, data + bytes(-len(data) % 256)))
        else:
            data = p.tobytes()
            items.append((name, 0x0404, p.shape, data + bytes(-len(data) % 256)))
    out = io.BytesIO()
    out.write(struct.pack("<2Q", 1, len(items)))
    for name, kind, shape, data in items:
        out.write(struct.pack("<4Q", len(name) + 1, kind, len(shape), len(data)))
    for name, *_ in items:
        out.write(name.encode() + b"\0")
    for _, _, shape, _ in items:
        out.write(struct.pack(f"<{len(shape)}i", *shape))
    padding = -(out.tell() + 8) % 256
    out.write(struct.pack("<Q", padding) + bytes(padding))
    for *_, data in items:
        out.write(data)
    return out.getvalue()


def shortlist_binary(lists: list[list[int]], first: int = 4) -> bytes:
    """The bytes of a binary shortlist with these target tokens for each source token."""
    offsets = np.cumsum([0, *map(len, lists)]).astype("<u8")
    ids = np.array([i for one in lists for i in one], "<u4")
    body = struct.pack("<4Q", first, 50, len(offsets), len(ids)) + offsets.tobytes() + ids.tobytes()
    checksum = 0
    for (word,) in struct.iter_unpack("<Q", body[: len(body) // 8 * 8]):
        checksum ^= (word + 0x9E3779B9 + (checksum << 6) + (checksum >> 2)) % 2**64
    return struct.pack("<2Q", 0xF11A48D5013417F5, checksum) + body


def vocabulary() -> bytes:
    """A SentencePiece model of exactly `VOCABULARY` pieces over a little English."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([f"The {w} tests pass; the {w}s do not." for w in _WORDS]),
        model_writer=model,
        model_type="bpe",
        vocab_size=VOCABULARY,
        eos_id=0,
        unk_id=1,
        bos_id=-1,
        pad_id=-1,
        minloglevel=2,
    )
    return model.getvalue()


_WORDS = (
    *("quick", "slow", "build", "linker", "parser", "river"),
    *("garden", "window", "yellow", "jacket", "kitchen", "zebra"),
)


def write_folder(
    folder: Path,
    model: dict[str, np.ndarray | Quantised] | None = None,
    *,
    options: str = OPTIONS,
    names: tuple[str, ...] = ("vocab.enpt.spm",),
) -> Path:
    """What Firefox downloads for a pair: model, shortlist and vocabularies."""
    folder.mkdir(parents=True, exist_ok=True)
    binary = marian_binary(model or random_model(), options)
    (folder / "model.enpt.intgemm.alphas.bin").write_bytes(binary)
    random = np.random.default_rng(1)
    lists = [random.choice(VOCABULARY, random.integers(0, 9)).tolist() for _ in range(VOCABULARY)]
    (folder / "lex.50.50.enpt.s2t.bin").write_bytes(shortlist_binary(lists))
    for name in names:
        (folder / name).write_bytes(vocabulary())
    return folder
