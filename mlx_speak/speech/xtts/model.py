"""XTTS v2: text in seventeen languages to speech in a voice that it has heard for some seconds.

Casanova et al., "XTTS: a Massively Multilingual Zero-Shot Text-to-Speech Model" (2024,
arXiv:2406.04904). The weights are coqui's, under the non-commercial CPML.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from ...errors import ModelFormatError
from ...model_folder import read_config
from ...nn.resize import sinc_resample
from ...nn.weights import load_weights
from .conditioning import Conditioner
from .generation import Sampling, Step, generate
from .gpt import GPT, Context
from .hifigan import Decoder, DecoderConfig
from .mel import CONDITIONING_RATE, SPEAKER_RATE, conditioning_mel
from .pace import Pace
from .speaker_encoder import SpeakerEncoder

_BANDS = 80
_SHORTEST = 0.33
"""Seconds below which a stretch of a recording tells nothing."""


@dataclass(frozen=True)
class XTTSConfig:
    """The hub's config.json, `model_args` and the rest in one; the defaults are XTTS v2's."""

    gpt_layers: int = 30
    gpt_n_model_channels: int = 1024
    gpt_n_heads: int = 16
    gpt_number_text_tokens: int = 6681
    gpt_start_text_token: int = 261
    gpt_stop_text_token: int = 0
    gpt_num_audio_tokens: int = 1026
    gpt_start_audio_token: int = 1024
    gpt_stop_audio_token: int = 1025
    gpt_max_audio_tokens: int = 605
    gpt_max_text_tokens: int = 402
    gpt_code_stride_len: int = 1024
    decoder_input_dim: int = 1024
    d_vector_dim: int = 512
    input_sample_rate: int = 22050
    output_sample_rate: int = 24000
    output_hop_length: int = 256
    gpt_cond_len: int = 30
    gpt_cond_chunk_len: int = 4
    max_ref_len: int = 30
    languages: tuple[str, ...] = ()
    upsample_initial_channel: int = 512
    speaker_num_filters: tuple[int, ...] = (32, 64, 128, 256)
    speaker_layers: tuple[int, ...] = (3, 4, 6, 3)

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> XTTSConfig:
        """Build from a parsed config.json; keys that inference does not need are passed over.

        Raises:
            ModelFormatError: a value makes no sense, or asks for another network.
        """
        given = {**config, **config.get("model_args", {})}
        if not given.get("gpt_use_perceiver_resampler", True):
            raise ModelFormatError("XTTS config: v1, without the perceiver resampler")
        values: dict[str, Any] = {}
        for field in fields(cls):
            value = given.get(field.name)
            if value is None:  # which the hub's file says of what its code fills in
                continue
            if isinstance(field.default, tuple):
                kind = type(field.default[0]) if field.default else str
                good = isinstance(value, list | tuple) and all(type(x) is kind for x in value)
                value = tuple(value) if good else value
            else:
                good = type(value) is int and 0 <= value < 2**31
            if not good:
                raise ModelFormatError(f"XTTS config: {field.name} is {value!r}")
            values[field.name] = value
        result = cls(**values)
        if not result.gpt_n_heads or result.gpt_n_model_channels % result.gpt_n_heads:
            raise ModelFormatError(
                f"XTTS config: gpt_n_heads is {result.gpt_n_heads}, which does not divide "
                f"gpt_n_model_channels, {result.gpt_n_model_channels}"
            )
        return result

    @property
    def sample_rate(self) -> int:
        """Of the speech, in Hz."""
        return self.output_sample_rate

    @property
    def gpt_cond_sample_rate(self) -> int:
        """Of the recordings that the conditioning encoder hears, in Hz."""
        return CONDITIONING_RATE

    @property
    def max_codes(self) -> int:
        """Codes of one utterance."""
        return self.gpt_max_audio_tokens - 3


class Latents(NamedTuple):
    """A speaker."""

    gpt_cond_latent: mx.array
    """(1, 32, gpt_n_model_channels)."""
    speaker_embedding: mx.array
    """(1, d_vector_dim, 1)."""


Prefix = Context
"""What the GPT keeps of a speaker."""


class XTTS(nn.Module):
    """The whole network, for one utterance at a time."""

    quantized_parts = ("gpt.",)
    """Where the bytes are that every code reads; who speaks is heard at full precision."""

    def __init__(self, config: XTTSConfig):
        super().__init__()
        self.config = config
        dims, heads = config.gpt_n_model_channels, config.gpt_n_heads
        self.mel_stats = mx.ones((_BANDS,))
        self.conditioner = Conditioner(_BANDS, dims, heads)
        self.speaker_encoder = SpeakerEncoder(
            config.d_vector_dim, config.speaker_layers, config.speaker_num_filters
        )
        self.gpt = GPT(
            dims,
            heads,
            config.gpt_layers,
            config.gpt_number_text_tokens,
            config.gpt_num_audio_tokens,
            config.gpt_max_text_tokens + 2,
            config.gpt_max_audio_tokens + 3,
        )
        self.decoder = Decoder(
            DecoderConfig(config.upsample_initial_channel),
            config.decoder_input_dim,
            config.d_vector_dim,
            (
                config.gpt_code_stride_len / config.output_hop_length,
                config.output_sample_rate / config.input_sample_rate,
            ),
        )

    def condition(self, samples: np.ndarray | Sequence[np.ndarray], sample_rate: int) -> Latents:
        """Listen to a speaker.

        Args:
            samples: (n,) float32, mono, or several such recordings.
            sample_rate: theirs, in Hz.

        Raises:
            ValueError: there is less than a third of a second to listen to.
        """
        config = self.config
        recordings = [samples] if isinstance(samples, np.ndarray) else list(samples)
        heard = [
            np.clip(sinc_resample(recording, sample_rate, CONDITIONING_RATE), -1, 1)[
                : CONDITIONING_RATE * config.max_ref_len
            ]
            for recording in recordings
        ]
        if not heard or min(map(len, heard)) < CONDITIONING_RATE * _SHORTEST:
            raise ValueError(f"a recording of a speaker must last {_SHORTEST} s at least")
        embeddings = [
            self.speaker_encoder(
                mx.array(sinc_resample(recording, CONDITIONING_RATE, SPEAKER_RATE))[None]
            )
            for recording in heard
        ]
        whole = np.concatenate(heard)[: CONDITIONING_RATE * config.gpt_cond_len]
        length = CONDITIONING_RATE * config.gpt_cond_chunk_len
        chunks = [whole[at : at + length] for at in range(0, len(whole), length)]
        latents = [
            self.conditioner(
                conditioning_mel(mx.array(chunk)[None], self.mel_stats.astype(mx.float32)).astype(
                    self.conditioner.encoder.init.weight.dtype
                )
            )
            for chunk in chunks
            if len(chunk) >= CONDITIONING_RATE * _SHORTEST
        ]
        latent = mx.stack(latents).mean(axis=0)
        embedding = mx.stack(embeddings).mean(axis=0)[..., None]
        mx.eval(latent, embedding)
        return Latents(latent, embedding)

    def prefix(self, latents: Latents) -> Prefix:
        """What the GPT keeps of a speaker: the same for every text, so worth keeping."""
        context = self.gpt.read(latents.gpt_cond_latent)
        mx.eval([cache.keys_values for cache in context.caches])
        return context

    def codes(self, text_ids: Sequence[int], prefix: Prefix, sampling: Sampling) -> Iterator[Step]:
        """Sample the codes of a text, the stop token included.

        Args:
            text_ids: without START and STOP.
            prefix: of the speaker.

        Raises:
            ValueError: the text is longer than `gpt_max_text_tokens`.
        """
        config = self.config
        if len(text_ids) > config.gpt_max_text_tokens:
            raise ValueError(
                f"a text of {len(text_ids)} tokens: XTTS reads {config.gpt_max_text_tokens} at once"
            )
        ids = [config.gpt_start_text_token, *text_ids, config.gpt_stop_text_token]
        return generate(
            self.gpt,
            mx.array([ids]),
            prefix,
            sampling,
            start=config.gpt_start_audio_token,
            stop=config.gpt_stop_audio_token,
            limit=config.max_codes,
        )

    def stream(
        self,
        text_ids: Sequence[int],
        latents: Latents,
        *,
        prefix: Prefix | None = None,
        temperature: float = 0.75,
        top_k: int = 50,
        top_p: float = 0.85,
        repetition_penalty: float = 5.0,
        seed: int = 0,
        speed: float = 1.0,
        first_chunk: int = 6,
        pace: Pace | None = None,
    ) -> Iterator[mx.array | None]:
        """Speak as early as possible.

        Args:
            text_ids: without START and STOP.
            latents: the speaker.
            prefix: of `prefix(latents)`; by default made now.
            temperature, top_k, top_p, repetition_penalty, seed: as `Sampling` has them.
            speed: above 1 is faster.
            first_chunk: codes after which the first chunk is decoded; the following ones grow.
            pace: sizes the chunks in its place, of `pace(first_chunk)`; learns from this run.

        Yields:
            Chunks (n,) at `config.sample_rate` that join without a seam, and None after a code
            that brought no sound.
        """
        sampling = Sampling(temperature, top_k, top_p, repetition_penalty, seed)
        prefix = prefix or self.prefix(latents)
        speaker = latents.speaker_embedding[..., 0]
        pace = pace or self.pace(first_chunk)
        codes = self.codes(text_ids, prefix, sampling)
        states: list[mx.array] = []
        begin = done = 0
        due, first_made = pace.first(speed), 0.0
        while True:
            start = time.perf_counter()
            if (step := next(codes, None)) is None:
                break
            if states:  # for the first the text was read, too
                pace.learn_code(time.perf_counter() - start)
            states.append(step.state)
            if len(states) < due or not (end := self.decoder.ready(len(states), speed)) > begin:
                yield None
                continue
            start = time.perf_counter()
            chunk = self._chunk(states, speaker, begin, end, speed)
            now = time.perf_counter()
            first_made, made = first_made or now, len(states) - done
            pace.learn_chunk(made, now - start)
            yield chunk
            # If the first chunk waited to be heard, more is ahead, and the last chunk at least.
            frame = self.decoder.samples_per_frame / self.config.sample_rate
            ahead = max(end * frame - (now - first_made), (end - begin) * frame)
            begin, done = end, len(states)
            due = done + pace.after(made, ahead, speed)
        end = self.decoder.frames(len(states), speed)
        if end > begin:
            yield self._chunk(states, speaker, begin, end, speed, complete=True)

    def pace(self, first_chunk: int) -> Pace:
        """A pace that begins with so many codes; whoever speaks again should keep it.

        Raises:
            ValueError: that is none.
        """
        if first_chunk < 1:
            raise ValueError(f"first_chunk is {first_chunk}: expected one code at least")
        return Pace(self.config.gpt_code_stride_len / self.config.input_sample_rate, first_chunk)

    def _chunk(
        self,
        states: list[mx.array],
        speaker: mx.array,
        begin: int,
        end: int,
        speed: float,
        complete: bool = False,
    ) -> mx.array:
        known = mx.concatenate(states, axis=1)
        samples = self.decoder.render(
            known, speaker, begin=begin, end=end, speed=speed, complete=complete
        )[0].astype(mx.float32)
        mx.eval(samples)
        return samples


def load_model(folder: str | Path, *, lazy: bool = False) -> XTTS:
    """Load the bare model from a converted folder.

    Args:
        lazy: as `load_weights` takes it.

    Raises:
        ModelNotFoundError: there is no such folder.
        ModelFormatError: a file is damaged, or does not belong to the others.
    """
    folder = Path(folder)
    model = XTTS(XTTSConfig.from_dict(read_config(folder, "xtts")))
    load_weights(model, folder, lazy=lazy)
    return model
