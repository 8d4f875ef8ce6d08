"""Marian's binary model and binary shortlist, read natively and with every length checked.

Layouts: marian-dev `src/common/binary.cpp` and `src/data/shortlist.h` (github.com/marian-nmt) and,
for the int8 type, intgemm in github.com/browsermt/marian-dev. All numbers are little-endian.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlx_speak.errors import ModelFormatError, ModelNotFoundError

_FLOAT32 = 0x0404
_INT8 = 0x0101
_INTGEMM8 = 0x4101
_OPTIONS = "special:model.yml"

_SHORTLIST_MAGIC = 0xF11A48D5013417F5


@dataclass(frozen=True)
class MarianTensor:
    """One parameter as it is stored."""

    values: np.ndarray
    """float32 or int8, in the shape the model uses."""
    multiplier: float | None = None
    """For int8: the weight is `values / multiplier`."""


@dataclass(frozen=True)
class MarianModel:
    """What a model file holds."""

    options: dict[str, str | list[str]]
    """The training options of `special:model.yml`: a string each, or a list of strings."""
    tensors: dict[str, MarianTensor]


@dataclass(frozen=True)
class MarianShortlist:
    """For each source token the target tokens worth scoring."""

    first: int
    """The ids 0 … first − 1 are always candidates."""
    offsets: np.ndarray
    """(source vocabulary + 1,) int64: token i's candidates are ids[offsets[i] : offsets[i + 1]]."""
    ids: np.ndarray
    """uint32 target ids."""


def read_model(path: str | Path) -> MarianModel:
    """Read a Marian binary model (version 1) with float32 and intgemm int8 tensors.

    Raises:
        ModelNotFoundError: there is no such file.
        ModelFormatError: the file is damaged, of another format or uses other number types.
    """
    reader = _Reader(_read(path), str(path))
    version, count = reader.numbers("Q", 2)
    if version != 1:
        raise reader.error(f"its binary version is {version}, not 1")
    headers = list(zip(*[iter(reader.numbers("Q", 4 * count))] * 4, strict=True))
    names = [reader.name(length) for length, _, _, _ in headers]
    if len(set(names)) < count:
        raise reader.error("two tensors have the same name")
    shapes = [reader.numbers("i", rank) for _, _, rank, _ in headers]
    reader.take(reader.numbers("Q", 1)[0])  # padding up to an aligned address
    options: dict[str, str | list[str]] = {}
    tensors = {}
    for name, shape, (_, kind, _, length) in zip(names, shapes, headers, strict=True):
        data = reader.take(length)
        if name == _OPTIONS and kind == _INT8:
            options = _parse_options(data, reader)
        else:
            tensors[name] = _parse_tensor(name, kind, shape, data, reader)
    reader.finish()
    return MarianModel(options, tensors)


def read_shortlist(path: str | Path) -> MarianShortlist:
    """Read a binary lexical shortlist and verify its checksum.

    Raises:
        ModelNotFoundError: there is no such file.
        ModelFormatError: the file is damaged or of another format.
    """
    data = _read(path)
    reader = _Reader(data, str(path))
    magic, checksum, first, _, offset_count, id_count = reader.numbers("Q", 6)
    if magic != _SHORTLIST_MAGIC:
        raise reader.error("it does not start as a binary shortlist")
    offsets = np.frombuffer(reader.take(8 * offset_count), "<u8")
    ids = np.frombuffer(reader.take(4 * id_count), "<u4")
    reader.finish()
    if _checksum(data[16:]) != checksum:
        raise reader.error("its checksum is wrong")
    if offset_count < 2 or offsets[0] != 0 or offsets[-1] != id_count:
        raise reader.error("its offsets do not span its ids")
    if np.any(offsets[1:] < offsets[:-1]):
        raise reader.error("its offsets are not in order")
    return MarianShortlist(first, offsets.astype(np.int64), ids)


class _Reader:
    """A cursor over bytes that never reads past the end."""

    def __init__(self, data: bytes, path: str):
        self._data = memoryview(data)
        self._path = path
        self._position = 0

    def take(self, length: int) -> memoryview:
        left = len(self._data) - self._position
        if length > left:
            raise self.error(f"it ends {length - left} bytes early")
        self._position += length
        return self._data[self._position - length : self._position]

    def numbers(self, kind: str, count: int) -> tuple[int, ...]:
        size = struct.calcsize(kind)
        return struct.unpack(f"<{count}{kind}", self.take(size * count))

    def name(self, length: int) -> str:
        data = bytes(self.take(length))
        if not data.endswith(b"\0") or b"\0" in data[:-1]:
            raise self.error("a tensor's name is not terminated")
        try:
            return data[:-1].decode("ascii")
        except UnicodeDecodeError:
            raise self.error("a tensor's name is not ASCII") from None

    def finish(self) -> None:
        if left := len(self._data) - self._position:
            raise self.error(f"{left} bytes follow its end")

    def error(self, reason: str) -> ModelFormatError:
        return ModelFormatError(f"{self._path} is not a whole Marian binary file: {reason}")


def _read(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise ModelNotFoundError(f"there is no file {path}") from None


def _parse_tensor(
    name: str, kind: int, shape: tuple[int, ...], data: memoryview, reader: _Reader
) -> MarianTensor:
    if not shape or min(shape) < 1:
        raise reader.error(f"{name} has the shape {shape}")
    # Python's integers do not overflow, whatever the file claims.
    count = math.prod(shape)
    width = {_FLOAT32: 4, _INTGEMM8: 1}.get(kind)
    if width is None:
        raise ModelFormatError(
            f"{name} is of Marian's type {kind:#06x}; only float32 ({_FLOAT32:#06x}) and "
            f"intgemm int8 ({_INTGEMM8:#06x}) are supported"
        )
    if len(data) < width * count + (4 if kind == _INTGEMM8 else 0):
        raise reader.error(f"{name} of shape {shape} has only {len(data)} bytes")
    if kind == _FLOAT32:
        values = np.frombuffer(data, "<f4", count).reshape(shape)
        if not np.isfinite(values).all():
            raise reader.error(f"{name} holds values that are not finite")
        return MarianTensor(values)
    (multiplier,) = struct.unpack_from("<f", data, count)
    if not (math.isfinite(multiplier) and multiplier > 0):
        raise reader.error(f"{name} has the quantisation multiplier {multiplier}")
    values = np.frombuffer(data, np.int8, count)
    # intgemm wants the right-hand operand of a product transposed; embeddings stay as they are.
    if len(shape) == 2 and not name.endswith("Wemb"):
        return MarianTensor(values.reshape(shape[::-1]).T, multiplier)
    return MarianTensor(values.reshape(shape), multiplier)


def _parse_options(data: memoryview, reader: _Reader) -> dict[str, str | list[str]]:
    """Marian's options: a flat YAML mapping of scalars and of lists of scalars."""
    try:
        text = bytes(data).rstrip(b"\0").decode("utf-8")
    except UnicodeDecodeError:
        raise reader.error(f"{_OPTIONS} is not text") from None
    options: dict[str, str | list[str]] = {}
    items: list[str] = []
    for line in text.splitlines():
        if line.lstrip().startswith("- "):
            items.append(_scalar(line.lstrip()[2:]))
            continue
        key, separator, value = line.partition(":")
        if not separator or line != line.lstrip():
            continue
        items = []
        options[key] = items if value.strip() in ("", "[]") else _scalar(value)
    return options


def _scalar(text: str) -> str:
    text = text.strip()
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if quoted else text


def _checksum(data: bytes) -> int:
    """Marian's `util::hashMem<uint64_t>`: boost's hash_combine over the whole 64-bit words."""
    result = 0
    for word in np.frombuffer(data, "<u8", len(data) // 8).tolist():
        mixed = word + 0x9E3779B9 + (result << 6) + (result >> 2)
        result ^= mixed & 0xFFFFFFFFFFFFFFFF
    return result
