"""Safetensors files, read as memory maps and written one tensor after another.

So a checkpoint larger than memory can be converted. The format: a length, a JSON header that says
where in the file each tensor lies, then their bytes (github.com/huggingface/safetensors).
"""

from __future__ import annotations

import json
import math
import mmap
import struct
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mlx_speak.errors import ModelFormatError

if TYPE_CHECKING:
    import mlx.core as mx

    Array = np.ndarray | mx.array

Tensor = TypeVar("Tensor", bound="Array | Sequence[np.ndarray]")

BFLOAT16 = np.dtype([("bfloat16", "<u2")])
"""NumPy has no bfloat16: such arrays are named bits, so that nobody takes them for integers."""

MAX_HEADER_BYTES = 64 << 20
"""The header of a model of a thousand tensors takes about 100 kB."""

DTYPES = {
    "BOOL": np.dtype("?"),
    "U8": np.dtype("u1"),
    "I8": np.dtype("i1"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F16": np.dtype("<f2"),
    "BF16": BFLOAT16,
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
}

_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def widen(array: np.ndarray) -> np.ndarray:
    """Bits of bfloat16 as the float32 they stand for; every other array as it is."""
    if array.dtype != BFLOAT16:
        return array
    return (array.view("<u2").astype(np.uint32) << 16).view(np.float32)


def read_safetensors(path: str | Path) -> dict[str, np.ndarray]:
    """Every tensor of a file, a read-only view of its bytes; bfloat16 as `BFLOAT16`.

    Raises:
        ModelFormatError: the file is damaged, or says of itself what cannot be.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            memory = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        start, header = _read_header(memory)
        return _views(memory[start:], header)
    except (OSError, ValueError, TypeError, KeyError, RecursionError, struct.error) as error:
        if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
            raise
        raise ModelFormatError(f"{path} is not a readable safetensors file: {error}") from error


def _read_header(memory: memoryview) -> tuple[int, dict[str, Any]]:
    """Where the tensors begin, and what the header says of each."""
    (length,) = struct.unpack_from("<Q", memory)
    if length > min(MAX_HEADER_BYTES, len(memory) - 8):
        raise ValueError(f"its header would take {length} bytes")
    header = json.loads(bytes(memory[8 : 8 + length]), object_pairs_hook=_without_duplicates)
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    header.pop("__metadata__", None)
    return 8 + length, header


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("its header names something twice")
    return result


def _views(data: memoryview, header: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays, which must fill the data without gaps and without lying over each other."""
    arrays = {}
    end = 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        dtype = DTYPES[entry["dtype"]]
        shape, begin, stop = _geometry(entry)
        size = math.prod(shape) * dtype.itemsize
        if begin != end or stop != begin + size or stop > len(data):
            raise ValueError(
                f"{name}, {size} bytes, should lie from {begin} to {stop}: those before it end at "
                f"{end}, the file at {len(data)}"
            )
        end = stop
        arrays[name] = np.frombuffer(data[begin:stop], dtype).reshape(shape)
    if end != len(data):
        raise ValueError(f"{len(data) - end} bytes after its last tensor are nobody's")
    return arrays


def _geometry(entry: Mapping[str, Any]) -> tuple[tuple[int, ...], int, int]:
    numbers = [*entry["shape"], *entry["data_offsets"]]
    if any(type(number) is not int or not 0 <= number < 2**63 for number in numbers):
        raise ValueError(f"{numbers} are no shape and offsets")
    *shape, begin, end = numbers
    return tuple(shape), begin, end


def write_safetensors(
    path: Path,
    tensors: MutableMapping[str, Tensor],
    *,
    metadata: Mapping[str, str] | None = None,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write tensors in the order of their names, holding only one of them at a time.

    Args:
        tensors: arrays by name, or sequences of NumPy arrays to be joined along their first axis.
            Emptied on the way, so that what lazy arrays evaluate to is let go.
        metadata: strings for the header, beside its mark of MLX's layout.
        progress: told how many bytes have been written.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "mlx", **(metadata or {})}}
    end = 0
    for name in sorted(tensors):
        dtype, shape, size = _describe(tensors[name])
        offsets = [end, end := end + size]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    written = 0
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in sorted(tensors):
            tensor = tensors.pop(name)
            for part in tensor if isinstance(tensor, Sequence) else (tensor,):
                for block in _blocks(part):
                    written += file.write(block)
                    if progress:
                        progress(written)


def _describe(tensor: Array | Sequence[np.ndarray]) -> tuple[str, list[int], int]:
    """Name of the dtype, shape and bytes of a tensor, without evaluating it."""
    if isinstance(tensor, Sequence):
        kinds = {(part.dtype, part.shape[1:]) for part in tensor}
        if len(kinds) != 1:
            raise ValueError(f"these cannot be joined: {kinds}")
        shape = [sum(len(part) for part in tensor), *tensor[0].shape[1:]]
        return _NAMES[tensor[0].dtype], shape, sum(part.nbytes for part in tensor)
    return _dtype_name(tensor), list(tensor.shape), tensor.nbytes


def _dtype_name(array: Array) -> str:
    if isinstance(array, np.ndarray):
        return _NAMES[array.dtype]
    name = str(array.dtype).removeprefix("mlx.core.")
    return "BF16" if name == "bfloat16" else _NAMES[np.dtype(name)]


def _blocks(array: Array) -> Iterator[memoryview]:
    """The bytes of an array in C order, some megabytes at a time."""
    if not isinstance(array, np.ndarray):
        import mlx.core as mx

        array = np.asarray(array.view(mx.uint16) if array.dtype == mx.bfloat16 else array)
    array = np.atleast_1d(array)
    rows = max(1, _BLOCK * len(array) // max(1, array.nbytes))
    for start in range(0, len(array), rows):
        yield np.ascontiguousarray(array[start : start + rows]).reshape(-1).view(np.uint8).data


_BLOCK = 16 << 20
