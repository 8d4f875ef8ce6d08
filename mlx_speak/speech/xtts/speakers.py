"""Who XTTS speaks as: speakers that come with it, and those cloned from recordings."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path

import mlx.core as mx
import numpy as np

from ...audio import Audio, AudioError
from ...errors import ModelFormatError
from ...home import home
from ...languages import Language
from ..voice import Speaker, SpeechError
from .conditioning import LATENTS
from .model import XTTS, Latents, XTTSConfig

SHORTEST = 1.0
"""Seconds of a recording that tell enough of a voice; six or more are better."""
_SILENT = 0.01
_CLIPPED, _CLIPPED_SHARE = 0.999, 0.002
_MASTERED = 3  # samples in a row at full scale that a limiter, too, may leave

_LATENT, _EMBEDDING = ".gpt_cond_latent", ".speaker_embedding"

File = str | PathLike[str]


@dataclass(frozen=True, eq=False)
class XTTSSpeaker(Speaker):
    """A speaker and what XTTS knows of its voice; it speaks all of the model's languages."""

    language: Language = field(default_factory=lambda: Language.parse("en"))
    gpt_cond_latent: np.ndarray = field(default_factory=lambda: np.zeros(0), repr=False)
    """(1, 32, gpt_n_model_channels) float32."""
    speaker_embedding: np.ndarray = field(default_factory=lambda: np.zeros(0), repr=False)
    """(1, d_vector_dim, 1) float32."""

    @property
    def latents(self) -> Latents:
        """Both as `XTTS` takes them, made by the thread that asks."""
        return Latents(mx.array(self.gpt_cond_latent), mx.array(self.speaker_embedding))

    def save(self, path: File) -> Path:
        """Write a safetensors file, at `path`, that `XTTSVoice.load_speaker` reads."""
        path = Path(path)
        named = tensors({self.name: (self.gpt_cond_latent, self.speaker_embedding)})
        arrays = {name: mx.array(array) for name, array in named.items()}
        mx.save_safetensors(str(path), arrays, {"format": "mlx"})
        return path


def shapes(config: XTTSConfig) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Of a speaker's latents and embedding."""
    return (1, LATENTS, config.gpt_n_model_channels), (1, config.d_vector_dim, 1)


def read_speakers(path: Path, config: XTTSConfig) -> list[XTTSSpeaker]:
    """The speakers of a file, by their names.

    Args:
        config: of the model that they are for.

    Raises:
        ModelFormatError: it is damaged, or of another model.
    """
    try:
        arrays = mx.load(str(path))
        assert isinstance(arrays, dict)
        names = [name.removesuffix(_LATENT) for name in arrays if name.endswith(_LATENT)]
        found = [
            XTTSSpeaker(
                name,
                gpt_cond_latent=np.array(arrays[name + _LATENT].astype(mx.float32)),
                speaker_embedding=np.array(arrays[name + _EMBEDDING].astype(mx.float32)),
            )
            for name in names
        ]
    except (RuntimeError, ValueError, KeyError) as error:
        raise ModelFormatError(f"{path} holds no speakers of XTTS: {error}") from error
    for speaker in found:
        latents = speaker.gpt_cond_latent, speaker.speaker_embedding
        if tuple(array.shape for array in latents) != shapes(config):
            raise ModelFormatError(f"{path}: {speaker.name!r} belongs to an XTTS of another size")
        if not all(np.isfinite(array).all() for array in latents):
            raise ModelFormatError(f"{path}: {speaker.name!r} is not made of finite numbers")
    if not found:
        raise ModelFormatError(f"{path} holds no speakers of XTTS")
    return sorted(found, key=lambda speaker: speaker.name)


def tensors(speakers: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, np.ndarray]:
    """What `read_speakers` reads: of each name, its latents and its embedding."""
    return {
        name + suffix: np.ascontiguousarray(array)
        for name, arrays in speakers.items()
        for suffix, array in zip((_LATENT, _EMBEDDING), arrays, strict=True)
    }


def clone(model: XTTS, fingerprint: str, files: Sequence[File], name: str) -> XTTSSpeaker:
    """A speaker who sounds like recordings; from the cache, if they were listened to before.

    Args:
        fingerprint: of the model.

    Raises:
        SpeechError: a recording is missing, cannot be read, or is no use; says why.
    """
    if not files:
        raise SpeechError("there is no recording to clone a speaker from")
    digest = hashlib.sha256(fingerprint.encode())
    for path in files:
        try:
            digest.update(hashlib.sha256(Path(path).read_bytes()).digest())
        except OSError as error:
            raise SpeechError(
                f"cannot read the recording {str(path)!r}: {error.strerror or error}"
            ) from error
    kept = home("speakers") / f"{digest.hexdigest()[:32]}.safetensors"
    if kept.is_file():
        try:
            (speaker,) = read_speakers(kept, model.config)
            return replace(speaker, name=name)
        except (ModelFormatError, ValueError):
            kept.unlink()  # cut short by a full disk, or an early version's
    recordings = [_recording(path) for path in files]
    rates = max(recording.sample_rate for recording in recordings)
    latents = model.condition(
        [np.array(recording.resample(rates).samples) for recording in recordings], rates
    )
    speaker = XTTSSpeaker(
        name,
        gpt_cond_latent=np.array(latents.gpt_cond_latent.astype(mx.float32)),
        speaker_embedding=np.array(latents.speaker_embedding.astype(mx.float32)),
    )
    if not (
        np.isfinite(speaker.gpt_cond_latent).all() and np.isfinite(speaker.speaker_embedding).all()
    ):
        raise SpeechError(f"XTTS makes nothing of {', '.join(map(str, files))}")
    written = kept.with_suffix(f".{os.getpid()}.safetensors")
    speaker.save(written)
    os.replace(written, kept)
    return speaker


def file_name(path: File) -> str:
    """What a speaker is called after a recording."""
    return re.sub(r"\s+", " ", Path(path).stem).strip() or "cloned"


def _recording(path: File) -> Audio:
    """A recording that a voice can be told from."""
    try:
        audio = Audio.load(path)
    except AudioError as error:
        raise SpeechError(f"cannot clone a speaker: {error}") from error
    loudness = np.abs(audio.samples)
    spoken = audio.trim_silence(_SILENT, 0.0, 0.0).seconds if len(audio) else 0.0
    if not len(audio) or loudness.max() <= _SILENT:
        raise SpeechError(f"cannot clone a speaker from {str(path)!r}: it is silent")
    if spoken < SHORTEST:
        raise SpeechError(
            f"cannot clone a speaker from {str(path)!r}: it has {spoken:.1f} s of sound, "
            f"and {SHORTEST:g} s are too little to tell a voice from; six or more are good"
        )
    share = _flat_share(loudness >= _CLIPPED)
    if share > _CLIPPED_SHARE:
        raise SpeechError(
            f"cannot clone a speaker from {str(path)!r}: {share:.1%} of it is clipped, which XTTS "
            "would take for the voice; record it again at a lower level"
        )
    return audio


def _flat_share(full: np.ndarray) -> float:
    """The share of samples that stand at full scale for longer than a limiter would leave them."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], full.astype(np.int8), [0]])))
    lengths = edges[1::2] - edges[::2]
    return float(lengths[lengths > _MASTERED].sum() / len(full))
