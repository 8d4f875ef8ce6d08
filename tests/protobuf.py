"""ONNX files by hand: protobuf's wire format, as far as it is needed."""

from __future__ import annotations

from collections.abc import Iterable


def varint(value: int) -> bytes:
    """An integer, seven bits a byte."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def integer(number: int, value: int) -> bytes:
    """A field that holds one."""
    return varint(number << 3) + varint(value)


def message(number: int, data: bytes | str) -> bytes:
    """A field that holds bytes, text or another message."""
    data = data.encode() if isinstance(data, str) else data
    return varint(number << 3 | 2) + varint(len(data)) + data


def packed(number: int, values: Iterable[int]) -> bytes:
    """A field of integers."""
    return message(number, b"".join(map(varint, values)))


def model(*graph_fields: bytes) -> bytes:
    """The bytes of an ONNX model with these fields of its graph."""
    return integer(1, 8) + message(2, "tests") + message(7, b"".join(graph_fields))


NODE = message(
    1,
    message(1, "x") + message(1, "") + message(2, "y") + message(3, "/a/b") + message(4, "Add"),
)
