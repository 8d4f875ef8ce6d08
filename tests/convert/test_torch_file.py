"""Torch files without torch: the same arrays, and nothing run, claimed or half read."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from mlx_speak.convert.safetensors_file import BFLOAT16, widen
from mlx_speak.convert.torch_file import Placeholder, read_torch
from support import package

from mlx_speak.errors import ModelFormatError

torch = package("torch")


def _write(path: Path, description: bytes, records: dict[str, bytes] | None = None, **zip_options):
    """A zip file laid out as torch's, around any pickle."""
    with zipfile.ZipFile(path, "w", **zip_options) as archive:
        archive.writestr("archive/data.pkl", description)
        archive.writestr("archive/byteorder", b"little")
        for name, data in (records or {}).items():
            archive.writestr(f"archive/data/{name}", data)
    return path


@pytest.mark.oracle
@pytest.mark.parametrize(
    "dtype",
    ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"],
)
def test_every_type(tmp_path: Path, dtype: str):
    tensor = (torch.arange(24).reshape(2, 3, 4) % 2).to(getattr(torch, dtype))
    torch.save({"nested": [tensor, {"scalar": torch.tensor(3).to(tensor.dtype)}]}, tmp_path / "x")
    read = read_torch(tmp_path / "x")
    assert read["nested"][0].dtype == np.dtype(dtype)
    np.testing.assert_array_equal(read["nested"][0], tensor.numpy())
    assert read["nested"][1]["scalar"].shape == ()


@pytest.mark.oracle
def test_bfloat16_is_widened_exactly(tmp_path: Path):
    tensor = torch.randn(50).to(torch.bfloat16)
    torch.save(tensor, tmp_path / "x.pt")
    read = read_torch(tmp_path / "x.pt")
    assert read.dtype == BFLOAT16
    np.testing.assert_array_equal(widen(read), tensor.float().numpy())


@pytest.mark.oracle
def test_views_share_a_storage(tmp_path: Path):
    base = torch.randn(6, 8)
    views = {
        "turned": base.T,
        "part": base[2:5, 1::3],
        "row": base[4],
        "empty": base[:0],
        "parameter": torch.nn.Parameter(base),
    }
    torch.save(views, tmp_path / "x.pth")
    read = read_torch(tmp_path / "x.pth")
    for name, view in views.items():
        np.testing.assert_array_equal(read[name], view.detach().numpy())
    assert np.shares_memory(read["turned"], read["row"])
    with pytest.raises(ValueError, match="read-only"):
        read["row"][0] = 1


@pytest.mark.oracle
def test_state_dict_of_a_module(tmp_path: Path):
    module = torch.nn.LSTM(3, 4, bidirectional=True)
    torch.save(module.state_dict(), tmp_path / "x.pth")
    read = read_torch(tmp_path / "x.pth")
    assert list(read) == list(module.state_dict())


class _Attack:
    def __init__(self, command: str):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_nothing_in_the_file_is_run(tmp_path: Path):
    proof = tmp_path / "proof"
    path = _write(tmp_path / "x.pth", pickle.dumps({"a": _Attack(f"touch {proof}"), "b": 1}))
    read = read_torch(path)
    assert isinstance(read["a"], Placeholder)
    assert read["b"] == 1
    assert not proof.exists()


def test_nothing_in_the_file_is_imported(tmp_path: Path):
    path = _write(tmp_path / "x.pth", b"\x80\x02cantigravity\nopen\n.")
    read_torch(path)
    import sys

    assert "antigravity" not in sys.modules


def _tensor_pickle(size, stride, offset: int = 0, count: int = 4, kind: str = "FloatStorage"):
    """The pickle of one tensor that claims any geometry over storage "0"."""

    class Storage:
        pass

    class Pickler(pickle._Pickler):
        def persistent_id(self, value):
            return (
                ("storage", Global("torch", kind), "0", "cpu", count) if value is STORAGE else None
            )

        def save(self, value, *args, **kwargs):
            if isinstance(value, Global):
                self.write(f"c{value.module}\n{value.name}\n".encode())
            else:
                super().save(value, *args, **kwargs)

    class Global:
        def __init__(self, module: str, name: str):
            self.module, self.name = module, name

    STORAGE = Storage()
    buffer = io.BytesIO()
    pickler = Pickler(buffer, 2)
    buffer.write(b"\x80\x02")
    pickler.save(Global("torch._utils", "_rebuild_tensor_v2"))
    pickler.save((STORAGE, offset, size, stride, False, None))
    buffer.write(b"R.")
    return buffer.getvalue()


def test_geometry_helper_is_right(tmp_path: Path):
    data = np.arange(4, dtype=np.float32).tobytes()
    path = _write(tmp_path / "x", _tensor_pickle((2, 2), (1, 2)), {"0": data})
    np.testing.assert_array_equal(read_torch(path), [[0, 2], [1, 3]])


@pytest.mark.parametrize(
    "claim",
    [
        {"size": (5,), "stride": (1,)},
        {"size": (2,), "stride": (4,)},
        {"size": (1 << 40,), "stride": (0,)},  # a terabyte out of one number
        {"size": (1 << 40, 1 << 40), "stride": (0, 0)},
        {"size": (2,), "stride": (-1,), "offset": 3},
        {"size": (-2,), "stride": (1,)},
        {"size": (2, 2), "stride": (1,)},
        {"size": (1,), "stride": (1,), "offset": -1},
        {"size": (1,), "stride": (1,), "offset": 4},
        {"size": (1,), "stride": (1,), "count": 1 << 40},
        {"size": (1,), "stride": (1,), "count": -1},
        {"size": (1,), "stride": (1,), "kind": "PickleStorage"},
    ],
)
def test_tensors_that_claim_too_much(tmp_path: Path, claim: dict):
    path = _write(tmp_path / "x.pth", _tensor_pickle(**claim), {"0": bytes(16)})
    with pytest.raises(ModelFormatError, match=r"x\.pth"):
        read_torch(path)


def test_truncated_anywhere(tmp_path: Path):
    torch.save({"a": torch.randn(20), "b": [1, "two"]}, tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    for end in range(0, len(whole) - 1, 7):
        (tmp_path / "part").write_bytes(whole[:end])
        with pytest.raises(ModelFormatError):
            read_torch(tmp_path / "part")


def test_garbage_in_the_pickle(tmp_path: Path):
    """Any byte of the description changed: refused, or still only arrays and placeholders."""
    torch.save({"a": torch.randn(3)}, tmp_path / "whole")
    with zipfile.ZipFile(tmp_path / "whole") as archive:
        name = next(n for n in archive.namelist() if n.endswith("data.pkl"))
        description = archive.read(name)
    rng = np.random.default_rng(0)
    for position in range(len(description)):
        damaged = bytearray(description)
        damaged[position] = rng.integers(256)
        path = _write(tmp_path / "x", bytes(damaged), {"0": bytes(12)})
        with contextlib.suppress(ModelFormatError):
            read_torch(path)


@pytest.mark.parametrize(
    ("content", "match"),
    [(b"", "zip"), (b"\x80\x02}q\x00.", "zip"), (b"PK\x03\x04 and no more", "readable|damaged")],
)
def test_other_files(tmp_path: Path, content: bytes, match: str):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ModelFormatError, match=match):
        read_torch(tmp_path / "x")


def test_zip_bombs_and_other_zips(tmp_path: Path):
    bomb = _write(tmp_path / "a", b"\x80\x02N." + bytes(1 << 20), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelFormatError, match="compressed"):
        read_torch(bomb)
    with zipfile.ZipFile(tmp_path / "b", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ModelFormatError, match=r"data\.pkl"):
        read_torch(tmp_path / "b")


def test_a_missing_file_is_missing(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        read_torch(tmp_path / "nothing.pth")
