"""The protobuf reader: every way ONNX has of storing a tensor, and bounds on hostile bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx_speak.convert.onnx_file import Node, read_onnx
from protobuf import NODE, integer, message, model, packed, varint

from mlx_speak.errors import ModelFormatError


def _write(path: Path, *graph_fields: bytes) -> Path:
    path.write_bytes(model(*graph_fields))
    return path


def test_nodes_and_every_kind_of_tensor(tmp_path: Path):
    values = np.arange(6, dtype=np.float32).reshape(2, 3) - 2.5
    raw = packed(1, (2, 3)) + integer(2, 1) + message(8, "raw") + message(9, values.tobytes())
    floats = integer(1, 6) + integer(2, 1) + message(8, "floats") + message(4, values.tobytes())
    ints = packed(1, (3,)) + integer(2, 7) + message(8, "ints") + packed(7, (1, -2, 1 << 40))
    loose = integer(1, 2) + integer(2, 6) + message(8, "loose") + integer(5, 7) + integer(5, -8)
    scalar = integer(2, 3) + message(8, "scalar") + message(9, b"\xfb")
    tensors = (message(5, tensor) for tensor in (raw, floats, ints, loose, scalar))
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


HUGE = varint(9 << 3 | 2) + varint(1 << 62)


@pytest.mark.parametrize(
    "tensor",
    [
        integer(1, 4) + integer(2, 1) + message(9, bytes(8)),  # half of what it claims
        integer(1, 1 << 40) + integer(2, 1),
        integer(1, -3) + integer(2, 1) + message(9, b""),
        integer(1, 1) + integer(2, 99) + message(9, bytes(4)),  # no such type
        integer(1, 1) + message(9, bytes(4)),  # no type
        integer(1, 1) + integer(2, 1) + message(9, bytes(4)) + integer(14, 1),  # elsewhere
        integer(1, 1) + HUGE,
        b"\xff" * 30,
        varint(1 << 3 | 3),
        message(8, b"\xff\xfe") + integer(2, 1),
    ],
)
def test_tensors_that_are_not(tmp_path: Path, tensor: bytes):
    with pytest.raises(ModelFormatError, match=r"x\.onnx"):
        read_onnx(_write(tmp_path / "x.onnx", message(5, tensor)))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x00" * 64, integer(7, 3)])
def test_other_files(tmp_path: Path, content: bytes):
    (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(ModelFormatError):
        read_onnx(tmp_path / "x.onnx")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_files_are_refused_or_read(tmp_path_factory: pytest.TempPathFactory, data):
    tensor = packed(1, (2,)) + integer(2, 1) + message(8, "t") + message(9, bytes(8))
    content = bytearray(model(NODE, message(5, tensor)))
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
