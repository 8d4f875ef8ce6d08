"""NLLB models to test with: the fixture's, and random ones of any shape with transformers' twin."""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten, tree_map
from mlx_speak.convert.nllb import parameter_names
from support import package

from mlx_speak.translation.nllb_model import NLLB, NLLBConfig

FIXTURE = Path(__file__).parents[1] / "fixtures" / "nllb_tiny"

PAD, END = 1, 2


@cache
def tiny() -> tuple[NLLB, dict[str, np.ndarray]]:
    """The fixture's model, and what transformers computes with it (`make_nllb_fixture.py`)."""
    config = NLLBConfig.from_dict(json.loads((FIXTURE / "config.json").read_text()))
    hub = mx.load(str(FIXTURE / "model.safetensors"))
    model = NLLB(config)
    model.load_weights(
        [
            (ours, mx.concatenate([hub[n] for n in names]))
            for ours, names in parameter_names(config).items()
        ]
    )
    mx.eval(model.parameters())
    with np.load(FIXTURE / "oracle.npz") as oracle:
        return model, dict(oracle)


def random_config(**changes: Any) -> NLLBConfig:
    """A small model, layers of encoder and decoder differing in number."""
    config = NLLBConfig(
        vocab_size=300,
        d_model=64,
        encoder_layers=3,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=96,
        decoder_ffn_dim=128,
        max_position_embeddings=64,
    )
    return dataclasses.replace(config, **changes)


def random_model(config: NLLBConfig, seed: int = 0) -> NLLB:
    """A model with every parameter nontrivial, whose greedy translations vary.

    Left at that, a random model says one token forever: the output table being the input table, a
    token is its own likeliest successor. So the last norm turns the sign of half the dimensions;
    and the feed-forward layers speak louder than the embeddings, but not alike to all of them.
    """
    random = np.random.default_rng(seed)
    model = NLLB(config)
    for name, parameter in tree_flatten(model.parameters()):
        values = random.standard_normal(parameter.shape, np.float32)
        if parameter.ndim == 2:
            values *= parameter.shape[1] ** -0.5
        else:
            values *= 0.1
            values += name.endswith("norm.weight")
        if name == "decoder.norm.weight":
            values *= random.choice([-1, 1], values.shape)
        elif name.endswith("down.weight"):
            values -= values.mean(axis=1, keepdims=True)
            values *= 4
        model.load_weights([(name, mx.array(values))], strict=False)
    mx.eval(model.parameters())
    return model


def reference(model: NLLB) -> Any:
    """transformers' M2M100ForConditionalGeneration over the same float32 weights, in memory too."""
    torch, m2m_100 = package("torch"), package("transformers.models.m2m_100.modeling_m2m_100")
    config = m2m_100.M2M100Config(
        **dataclasses.asdict(model.config),
        activation_function="relu",
        bos_token_id=0,
        tie_word_embeddings=True,
    )
    with torch.device("meta"):
        theirs = m2m_100.M2M100ForConditionalGeneration(config)
    theirs.load_state_dict(_hub_weights(model, torch), strict=False, assign=True)
    theirs.tie_weights()
    for stack in (theirs.model.encoder, theirs.model.decoder):
        stack.embed_positions = m2m_100.M2M100SinusoidalPositionalEmbedding(
            config.max_position_embeddings, config.d_model, config.pad_token_id
        )
    assert not any(x.is_meta for x in (*theirs.parameters(), *theirs.buffers()))
    return theirs.eval()


def torch_ids(ids: mx.array) -> Any:
    return package("torch").from_numpy(np.array(ids).astype(np.int64))


def run_reference(theirs: Any, *inputs: mx.array) -> tuple[np.ndarray, np.ndarray]:
    """encoder_hidden_states and logits of transformers, in float32."""
    input_ids, targets, attention_mask = map(torch_ids, inputs)
    with package("torch").inference_mode():
        out = theirs(input_ids=input_ids, attention_mask=attention_mask, decoder_input_ids=targets)
    return out.encoder_last_hidden_state.float().numpy(), out.logits.float().numpy()


def as_dtype(model: NLLB, dtype: mx.Dtype) -> NLLB:
    """The model with its parameters in another dtype."""
    copy = NLLB(model.config)
    copy.update(tree_map(lambda parameter: parameter.astype(dtype), model.parameters()))
    mx.eval(copy.parameters())
    return copy


def random_sources(
    config: NLLBConfig, lengths: list[int], seed: int = 0
) -> tuple[mx.array, mx.array]:
    """Ids (batch, longest) that end with `</s>`, padded on the right, and their attention_mask."""
    random = np.random.default_rng(seed)
    input_ids = np.full((len(lengths), max(lengths)), PAD, np.int32)
    for row, length in zip(input_ids, lengths, strict=True):
        row[:length] = [*random.integers(4, config.vocab_size, length - 1), END]
    return mx.array(input_ids), mx.array((input_ids != PAD).astype(np.int32))


def _hub_weights(model: NLLB, torch: ModuleType) -> dict[str, Any]:
    ours = dict(tree_flatten(model.parameters()))
    hub = {}
    for name, names in parameter_names(model.config).items():
        parts = np.split(np.asarray(ours[name]), len(names))
        hub |= {n: torch.from_numpy(part) for n, part in zip(names, parts, strict=True)}
    return hub
