"""The protobuf reader: every way ONNX has of storing a tensor, and bounds on hostile bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx_speak.convert.onnx_file import Node, read_onnx

from mlx_speak.errors import ModelFormatError


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _integer(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _message(number: int, data: bytes | str) -> bytes:
    data = data.encode() if isinstance(data, str) else data
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _packed(number: int, values) -> bytes:
    return _message(number, b"".join(map(_varint, values)))


def _model(*graph_fields: bytes) -> bytes:
    return _integer(1, 8) + _message(2, "tests") + _message(7, b"".join(graph_fields))


def _write(path: Path, *graph_fields: bytes) -> Path:
    path.write_bytes(_model(*graph_fields))
    return path


NODE = _message(
    1,
    _message(1, "x")
    + _message(1, "")
    + _message(2, "y")
    + _message(3, "/a/b")
    + _message(4, "Add"),
)


def test_nodes_and_every_kind_of_tensor(tmp_path: Path):
    values = np.arange(6, dtype=np.float32).reshape(2, 3) - 2.5
    raw = _packed(1, (2, 3)) + _integer(2, 1) + _message(8, "raw") + _message(9, values.tobytes())
    floats = _integer(1, 6) + _integer(2, 1) + _message(8, "floats") + _message(4, values.tobytes())
    ints = _packed(1, (3,)) + _integer(2, 7) + _message(8, "ints") + _packed(7, (1, -2, 1 << 40))
    loose = (
        _integer(1, 2) + _integer(2, 6) + _message(8, "loose") + _integer(5, 7) + _integer(5, -8)
    )
    scalar = _integer(2, 3) + _message(8, "scalar") + _message(9, b"\xfb")
    tensors = (_message(5, tensor) for tensor in (raw, floats, ints, loose, scalar))
    graph = read_onnx(_write(tmp_path / "x.onnx", NODE, *tensors))
    assert graph.nodes == (Node("Add", "/a/b", ("x", ""), ("y",)),)
    found = graph.initializers
    np.testing.assert_array_equal(found["raw"], values)
    np.testing.assert_array_equal(found["floats"], values.ravel())
    assert found["ints"].tolist() == [1, -2, 1 << 40]
    assert found["loose"].tolist() == [7, -8]
    assert found["loose"].dtype == np.int32
    assert found["scalar"].shape == ()
    assert int(found["scalar"]) == -5


HUGE = _varint(9 << 3 | 2) + _varint(1 << 62)


@pytest.mark.parametrize(
    "tensor",
    [
        _integer(1, 4) + _integer(2, 1) + _message(9, bytes(8)),  # half of what it claims
        _integer(1, 1 << 40) + _integer(2, 1),
        _integer(1, -3) + _integer(2, 1) + _message(9, b""),
        _integer(1, 1) + _integer(2, 99) + _message(9, bytes(4)),  # no such type
        _integer(1, 1) + _message(9, bytes(4)),  # no type
        _integer(1, 1) + _integer(2, 1) + _message(9, bytes(4)) + _integer(14, 1),  # elsewhere
        _integer(1, 1) + HUGE,
        b"\xff" * 30,
        _varint(1 << 3 | 3),
        _message(8, b"\xff\xfe") + _integer(2, 1),
    ],
)
def test_tensors_that_are_not(tmp_path: Path, tensor: bytes):
    with pytest.raises(ModelFormatError, match=r"x\.onnx"):
        read_onnx(_write(tmp_path / "x.onnx", _message(5, tensor)))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x00" * 64, _integer(7, 3)])
def test_other_files(tmp_path: Path, content: bytes):
    (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(ModelFormatError):
        read_onnx(tmp_path / "x.onnx")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_files_are_refused_or_read(tmp_path_factory: pytest.TempPathFactory, data):
    tensor = _packed(1, (2,)) + _integer(2, 1) + _message(8, "t") + _message(9, bytes(8))
    content = bytearray(_model(NODE, _message(5, tensor)))
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
        content[position] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(content)))
    path = tmp_path_factory.mktemp("onnx") / "x.onnx"
    path.write_bytes(content[:end])
    try:
        graph = read_onnx(path)
    except ModelFormatError:
        return
    assert sum(array.nbytes for array in graph.initializers.values()) <= 16 * len(content)
