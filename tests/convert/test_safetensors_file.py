"""Safetensors files: the same arrays as MLX reads, and nothing that a file only claims."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx_speak.convert.safetensors_file import (
    BFLOAT16,
    read_safetensors,
    widen,
    write_safetensors,
)
from translation.nllb_models import FIXTURE

from mlx_speak.errors import ModelFormatError


def test_what_mlx_writes_is_read(tmp_path: Path) -> None:
    arrays = {
        str(dtype): mx.arange(24).reshape(2, 3, 4).astype(dtype)
        for dtype in (
            *(mx.bool_, mx.int8, mx.int16, mx.int32, mx.int64, mx.uint8, mx.uint16, mx.uint32),
            *(mx.uint64, mx.float16, mx.float32),
        )
    }
    path = tmp_path / "x.safetensors"
    mx.save_safetensors(str(path), arrays, metadata={"a": "b"})
    read = read_safetensors(path)
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        assert read[name].dtype == np.array(array).dtype
        np.testing.assert_array_equal(read[name], np.array(array))
        with pytest.raises(ValueError, match="read-only"):
            read[name][:] = 0


def test_what_is_written_mlx_reads(tmp_path: Path) -> None:
    base = np.arange(12, dtype=np.float32).reshape(3, 4)
    tensors: dict[str, Any] = {
        "turned": base.T,
        "joined": [base, base[:1]],
        "scalar": np.float32(3).reshape(()),
        "empty": base[:0],
        "bfloat16": mx.array([1.5, -2]).astype(mx.bfloat16),
        "lazy": mx.quantize(mx.ones((64, 64)))[0],
    }
    expected = dict(tensors)
    done: list[int] = []
    path = tmp_path / "x.safetensors"
    write_safetensors(path, tensors, metadata={"language": "日本"}, progress=done.append)
    assert tensors == {}
    read, metadata = mx.load(str(path), return_metadata=True)
    assert metadata == {"format": "mlx", "language": "日本"}
    assert read.keys() == expected.keys()
    np.testing.assert_array_equal(np.array(read["turned"]), base.T)
    np.testing.assert_array_equal(np.array(read["joined"]), np.concatenate(expected["joined"]))
    assert read["scalar"].item() == 3
    assert read["empty"].shape == (0, 4)
    assert read["bfloat16"].dtype == mx.bfloat16
    assert mx.array_equal(read["lazy"], mx.quantize(mx.ones((64, 64)))[0])
    assert done == sorted(done)
    assert done[-1] == sum(array.nbytes for array in read.values())


def test_bfloat16_comes_as_named_bits(tmp_path: Path) -> None:
    array = mx.random.normal((5, 6)).astype(mx.bfloat16)
    mx.save_safetensors(str(tmp_path / "x"), {"x": array})
    read = read_safetensors(tmp_path / "x.safetensors")["x"]
    assert read.dtype == BFLOAT16
    np.testing.assert_array_equal(widen(read), np.array(array.astype(mx.float32)))
    write_safetensors(tmp_path / "y.safetensors", {"x": [read[:2], read[2:]]})
    again = mx.load(str(tmp_path / "y.safetensors"))
    assert isinstance(again, dict)
    assert mx.array_equal(again["x"], array)


def with_header(header: Any, data: bytes = bytes(16)) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype: Any = "F32", shape: Any = (4,), offsets: Any = (0, 16)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        bytes(7),
        struct.pack("<Q", 1 << 60) + b"{}",
        struct.pack("<Q", 3) + b"{}",
        with_header(b"[" * 100_000),
        with_header(b"\xff\xfe"),
        with_header([]),
        with_header({"a": 3}),
        with_header({"a": {}}),
        with_header(b'{"a": 1, "a": 2}'),
        with_header({"a": entry("F9")}),
        with_header({"a": entry(["F32"])}),
        with_header({"a": entry(shape=(5,))}),
        with_header({"a": entry(shape="4")}),
        with_header({"a": entry(shape=(4.0,))}),
        with_header({"a": entry(shape=(-4,))}),
        with_header({"a": entry(shape=(True,), offsets=(0, 4))}),
        with_header({"a": entry(shape=(1 << 40, 1 << 40), offsets=(0, 1 << 82))}),
        with_header({"a": entry(shape=(1 << 62,), offsets=(0, 1 << 64))}),
        with_header({"a": entry(offsets=(16, 0))}),
        with_header({"a": entry(offsets=(0,))}),
        with_header({"a": entry(offsets=(0, 16, 16))}),
        with_header({"a": entry(offsets=(100, 116))}),
        with_header({"a": entry(), "b": entry()}),  # one over the other
        with_header({"a": entry(shape=(2,), offsets=(0, 8)), "b": entry("F16", (2,), (12, 16))}),
        with_header({"a": entry()}, bytes(15)),
        with_header({"a": entry()}, bytes(17)),
    ],
)
def test_files_that_lie(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ModelFormatError, match=r"x is not a readable safetensors file"):
        read_safetensors(tmp_path / "x")


def test_truncated_anywhere(tmp_path: Path) -> None:
    whole = (FIXTURE / "model.safetensors").read_bytes()
    for end in [*range(200), *range(200, len(whole), 977), len(whole) - 1]:
        (tmp_path / "x").write_bytes(whole[:end])
        with pytest.raises(ModelFormatError):
            read_safetensors(tmp_path / "x")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_headers_are_refused_or_stay_in_bounds(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever a header says, no array reaches beyond the file."""
    whole = bytearray((FIXTURE / "model.safetensors").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, 8000))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    path.write_bytes(whole)
    try:
        arrays = read_safetensors(path)
    except ModelFormatError:
        return
    assert sum(array.nbytes for array in arrays.values()) < len(whole)


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_safetensors(tmp_path / "nothing")
