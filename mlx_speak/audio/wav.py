"""WAV files as samples: PCM of every width, and floating point, which the `wave` module lacks."""

from __future__ import annotations

import struct
import wave
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .samples import FULL_SCALE, Samples

_FLOAT, _EXTENSIBLE = 3, 0xFFFE  # format tags of Microsoft's mmreg.h


class Wav(NamedTuple):
    """What a file holds."""

    samples: Samples
    """(n,) float32 within ±1, the channels taking turns."""
    channels: int
    sample_rate: int


def read_wav(path: Path) -> Wav | None:
    """A WAV file's content; None of anything else.

    Raises:
        OSError: it cannot be read.
    """
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, rate = file.getparams()[:3]
            if width > 4 or not rate:
                return None
            return Wav(_from_pcm(file.readframes(file.getnframes()), width), channels, rate)
    except (wave.Error, EOFError, RuntimeError):  # the last of a chunk that ends behind the file
        return _floating_point(path.read_bytes())


def _floating_point(data: bytes) -> Wav | None:
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return None
    chunks: dict[bytes, bytes] = {}
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        chunks.setdefault(data[at : at + 4], data[at + 8 : at + 8 + size])
        at += 8 + size + size % 2
    layout, content = chunks.get(b"fmt ", b""), chunks.get(b"data", b"")
    if len(layout) < 16:
        return None
    tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", layout)
    if tag == _EXTENSIBLE:
        tag = int.from_bytes(layout[24:26], "little")
    if tag != _FLOAT or bits not in (32, 64) or not channels or not rate:
        return None
    width = bits // 8
    samples = np.frombuffer(content[: len(content) // width * width], f"<f{width}")
    return Wav(samples.astype(np.float32), channels, rate)


def _from_pcm(data: bytes, width: int) -> Samples:
    """(n,) samples within ±1 of little-endian PCM of `width` bytes; 8-bit WAV is unsigned."""
    data = data[: len(data) // width * width]
    if width == 1:
        return np.frombuffer(data, np.uint8).astype(np.float32) / np.float32(128) - np.float32(1)
    if width == 2:
        return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(FULL_SCALE)
    # 24 and 32 bits: the bytes go to the top of an int32, so both have the same full scale.
    wide = np.zeros((len(data) // width, 4), np.uint8)
    wide[:, 4 - width :] = np.frombuffer(data, np.uint8).reshape(-1, width)
    return (wide.view("<i4")[:, 0] / 2**31).astype(np.float32)
