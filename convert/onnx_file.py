"""Read the nodes and initializers of an ONNX file: just enough protobuf, no `onnx` package.

Field numbers are those of onnx.proto3 (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3).
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlx_speak.errors import ModelFormatError

_DTYPES: dict[int, type] = {
    1: np.float32,
    2: np.uint8,
    3: np.int8,
    4: np.uint16,
    5: np.int16,
    6: np.int32,
    7: np.int64,
    9: np.bool_,
    10: np.float16,
    11: np.float64,
    12: np.uint32,
    13: np.uint64,
}


@dataclass(frozen=True)
class Node:
    """One operation of the graph; an absent optional input is an empty name."""

    op_type: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Graph:
    """The operations in the order they run, and the constants they read."""

    nodes: tuple[Node, ...]
    initializers: dict[str, np.ndarray]


def read_onnx(path: str | Path) -> Graph:
    """Read an ONNX model whose tensors are inside the file.

    Returns:
        The main graph; tensors with raw data are read-only views of a memory map.

    Raises:
        ModelFormatError: the file is of another kind, damaged, or keeps its tensors elsewhere.
    """
    path = Path(path)
    with path.open("rb") as file:
        try:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except ValueError as error:  # an empty file cannot be mapped
            raise ModelFormatError(f"{path} is empty") from error
    try:
        return _graph(data)
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise ModelFormatError(f"{path} is not a readable ONNX file: {error}") from error


def _graph(data: memoryview) -> Graph:
    graphs = [value for number, value in _fields(data) if number == 7]
    if len(graphs) != 1:
        raise ValueError(f"{len(graphs)} graphs in the model")
    nodes, initializers = [], {}
    for number, value in _fields(_bytes(graphs[0])):
        if number == 1:
            nodes.append(_node(_bytes(value)))
        elif number == 5:
            name, tensor = _tensor(_bytes(value))
            initializers[name] = tensor
    return Graph(tuple(nodes), initializers)


def _node(data: memoryview) -> Node:
    inputs, outputs, name, op_type = [], [], "", ""
    for number, value in _fields(data):
        if number == 1:
            inputs.append(_text(value))
        elif number == 2:
            outputs.append(_text(value))
        elif number == 3:
            name = _text(value)
        elif number == 4:
            op_type = _text(value)
    return Node(op_type, name, tuple(inputs), tuple(outputs))


def _tensor(data: memoryview) -> tuple[str, np.ndarray]:
    name, dtype = "", None
    shape: list[int] = []
    integers: list[int] = []
    raw: memoryview | None = None
    floats = b""
    for number, value in _fields(data):
        if number == 1:
            shape += _integers(value)
        elif number == 2:
            dtype = np.dtype(_DTYPES[value]) if isinstance(value, int) else None
        elif number == 4:
            floats += bytes(_bytes(value))
        elif number in (5, 7):
            integers += _integers(value)
        elif number == 8:
            name = _text(value)
        elif number == 9:
            raw = _bytes(value)
        elif number == 14 and value:
            raise ValueError(f"tensor {name!r} is kept in another file")
    if dtype is None or any(length < 0 for length in shape):
        raise ValueError(f"tensor {name!r} has no type or shape")
    if raw is not None:
        array = np.frombuffer(raw, dtype)
    elif floats:
        array = np.frombuffer(floats, np.float32)
    else:
        array = np.array(integers, dtype)
    if array.size != math.prod(shape):
        raise ValueError(f"tensor {name!r} of shape {shape} has {array.size} values")
    return name, array.reshape(shape)


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of one message: a number, and an integer or the bytes of anything else."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == 2:
            length, at = _varint(data, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind} at byte {at}")
        if length > len(data) - at:
            raise ValueError(f"a field of {length} bytes where {len(data) - at} are left")
        yield number, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A variable-length integer of at most 64 bits, and where it ends."""
    value = 0
    for count, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value, at + count + 1
    raise ValueError(f"an integer that does not end at byte {at}")


def _integers(value: int | memoryview) -> list[int]:
    """A repeated integer field, packed or one by one, as signed 64-bit integers."""
    values, at = [], 0
    if isinstance(value, int):
        values = [value]
    else:
        while at < len(value):
            one, at = _varint(value, at)
            values.append(one)
    return [one - (1 << 64) if one >> 63 else one for one in values]


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("an integer where a message was due")
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_bytes(value)).decode()
