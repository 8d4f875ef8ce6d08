"""Kokoro: phoneme ids and a style to speech.

Kokoro-82M (hexgrad, Apache-2.0) is StyleTTS 2 (Li et al., 2023, arXiv:2306.07691) without its
style diffusion, with an iSTFTNet decoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from .albert import Albert, AlbertConfig
from .decoder import Decoder
from .generator import GeneratorConfig
from .prosody import ProsodyPredictor
from .text import TextEncoder


@dataclass(frozen=True)
class KokoroConfig:
    """config.json of a Kokoro folder; the defaults are Kokoro-82M v1.0."""

    vocab: Mapping[str, int] = field(default_factory=dict)
    n_token: int = 178
    hidden_dim: int = 512
    style_dim: int = 128
    n_layer: int = 3
    max_dur: int = 50
    text_encoder_kernel_size: int = 5
    plbert: AlbertConfig = field(default_factory=AlbertConfig)
    istftnet: GeneratorConfig = field(default_factory=GeneratorConfig)
    sample_rate: int = 24000

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> KokoroConfig:
        """Read a config.json; keys that inference does not need are passed over."""
        values = _known(cls, config)
        values["plbert"] = AlbertConfig(**_known(AlbertConfig, config.get("plbert", {})))
        values["istftnet"] = GeneratorConfig(**_known(GeneratorConfig, config.get("istftnet", {})))
        return cls(**values)

    @property
    def max_phonemes(self) -> int:
        """Phonemes of one utterance, without the two boundary tokens."""
        return self.plbert.max_position_embeddings - 2


class Speech(NamedTuple):
    """What `Kokoro` returns."""

    samples: mx.array
    """(samples,) float32 at the model's sample rate."""
    durations: np.ndarray
    """(tokens,) frames of each token, boundaries included; 600 samples a frame in v1.0."""


class Kokoro(nn.Module):
    """The whole network, for one utterance at a time."""

    def __init__(self, config: KokoroConfig):
        super().__init__()
        self.config = config
        dim, style_dim = config.hidden_dim, config.style_dim
        self.bert = Albert(config.n_token, config.plbert)
        self.bert_proj = nn.Linear(config.plbert.hidden_size, dim)
        self.predictor = ProsodyPredictor(dim, style_dim, config.n_layer, config.max_dur)
        self.text_encoder = TextEncoder(
            config.n_token, dim, config.text_encoder_kernel_size, config.n_layer
        )
        self.decoder = Decoder(dim, style_dim, config.istftnet, config.sample_rate)

    def __call__(
        self, input_ids: mx.array, style: mx.array, speed: float = 1.0, *, seed: int = 0
    ) -> Speech:
        """Speak.

        Args:
            input_ids: (1, tokens) ids, 0 at both ends.
            style: (1, 2 · style_dim), the decoder's half first, then the predictor's.
            speed: above 1 is faster.
            seed: of the noise in unvoiced sounds; the same seed gives the same samples.
        """
        features, durations = self.plan(self.contexts(input_ids), style, speed)
        x, source = self.decode(input_ids, features, durations, style, seed)
        timbre = mx.split(style, 2, axis=-1)[0]
        return Speech(self.decoder.generator.render(x, source, timbre)[0], durations)

    def contexts(self, input_ids: mx.array) -> mx.array:
        """(1, tokens) ids → (1, tokens, hidden_dim), what each means among the others."""
        return self.bert_proj(self.bert(input_ids))

    def plan(
        self, contexts: mx.array, style: mx.array, speed: float = 1.0
    ) -> tuple[mx.array, np.ndarray]:
        """How a text is to be spoken, and how long each token lasts.

        Args:
            contexts: of the method of that name.
            style, speed: as `__call__` takes them.

        Returns:
            features: (1, tokens, hidden_dim + style_dim), of the prosody predictor.
            durations: (tokens,) frames.
        """
        prosody = mx.split(style, 2, axis=-1)[1]
        features = self.predictor.text_encoder(contexts, prosody)
        return features, np.array(self.predictor.durations(features, speed)[0])

    def decode(
        self,
        input_ids: mx.array,
        features: mx.array,
        durations: np.ndarray,
        style: mx.array,
        seed: int = 0,
    ) -> tuple[mx.array, mx.array]:
        """All that comes before the generator, whose `render` takes what this returns.

        Args:
            input_ids, style, seed: as `__call__` takes them.
            features, durations: of `plan`.

        Returns:
            x: (1, 2 · frames, upsample_initial_channel).
            source: the spectrum of the excitation.
        """
        timbre, prosody = mx.split(style, 2, axis=-1)
        frames = mx.array(np.repeat(np.arange(len(durations)), durations))
        f0, energy = self.predictor.curves(features[:, frames], prosody)
        text = self.text_encoder(input_ids)[:, frames]
        generator = self.decoder.generator
        excitation = generator.source(f0, mx.random.key(seed))
        return self.decoder(text, f0, energy, timbre), generator.spectrum(excitation)


def _known(cls: type, config: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of `config` that `cls` has fields for, lists made hashable."""
    names = {f.name for f in fields(cls)}
    return {name: _frozen(value) for name, value in config.items() if name in names}


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
