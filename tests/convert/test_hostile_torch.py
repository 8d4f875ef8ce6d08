"""Torch files made to do harm: each is refused or read as it stands, in little memory and time."""

from __future__ import annotations

import builtins
import os
import pickle
import random
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mlx_speak.convert import convert
from mlx_speak.convert.inert_pickle import MAX_INSTRUCTIONS, Placeholder, read_pickle
from mlx_speak.convert.safetensors_file import BFLOAT16, widen
from mlx_speak.convert.torch_file import read_torch
from nllb_checkpoint import write_checkpoint
from support import package
from translation.nllb_models import FIXTURE

from mlx_speak.errors import ModelFormatError


@contextmanager
def harmless(seconds: float = 10, megabytes: int = 200) -> Iterator[None]:
    """What runs within is quick, small, and starts and imports nothing.

    The longest of these files, a quarter million instructions, takes 2 s while it is traced.
    """
    modules = set(sys.modules)
    started = time.perf_counter()
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - started < seconds
    assert peak < megabytes << 20
    assert set(sys.modules) == modules


def read(description: bytes) -> Any:
    """A pickle that may name nothing and refer to no storage."""
    return read_pickle(description, {}, lambda pid: pytest.fail(f"a storage {pid}"))


def unicode(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text.encode())) + text.encode()


class Call:
    """Pickled, a call of any function."""

    def __init__(self, function: Any, *arguments: Any):
        self.called = function, arguments

    def __reduce__(self) -> Any:
        return self.called


PROOF = "/tmp/mlx-speak-was-here"

CALLS = [
    Call(os.system, f"touch {PROOF}"),
    Call(eval, f"open({PROOF!r}, 'w')"),
    Call(exec, f"open({PROOF!r}, 'w')"),
    Call(builtins.open, PROOF, "w"),
    Call(getattr, Call(__import__, "os"), "system"),
    Call(getattr, Call(getattr, Call(__import__, "os"), "path"), "join"),
    Call(subprocess.Popen, ["touch", PROOF]),
    Call(Path.touch, Path(PROOF)),
    Call(pickle.loads, pickle.dumps(Call(os.system, f"touch {PROOF}"))),
    Call(bytearray, 1 << 40),
    Call(pow, 10, 10**9),
]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.called[0].__qualname__)
def test_nothing_is_called(call: Call, protocol: int) -> None:
    with harmless(), suppress(ValueError):  # a call of what a call has returned
        assert isinstance(read(pickle.dumps(call, protocol)), Placeholder)
    assert not os.path.exists(PROOF)


@pytest.mark.parametrize(
    "description",
    [
        b"cos\nsystem\n(S'touch /tmp/mlx-speak-was-here'\ntR.",  # protocol 0
        b"(S'touch /tmp/mlx-speak-was-here'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nX\x01\x00\x00\x00ao.",  # OBJ
        b"\x80\x02\x82\x01.",  # an extension code
        b"\x80\x02cbuiltins\ndict\n)}\x92.",  # NEWOBJ_EX
        b"\x80\x05\x97.",  # NEXT_BUFFER
        b"\x80\x02K\x01K\x01R.",  # a call of a number
        b"\x80\x02cbuiltins\nlist\nK\x01R.",  # arguments that are none
        b"\x80\x02I99999999999999999999999999\n.",  # numbers as text
        b"\x80\x02\x8b\xff\xff\xff\x7f.",  # LONG4 of two gigabytes
        b"\x80\x02\x8b\x10\x00\x00\x00" + bytes(16) + b".",  # LONG4 at all
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b".",  # BINBYTES8
        b"\x80\x04\x8d" + struct.pack("<Q", 1 << 62) + b".",  # BINUNICODE8
        b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b".",  # BYTEARRAY8
        b"\x80\x02X\xff\xff\xff\xffabc.",  # BINUNICODE
        b"\x80\x02B\xff\xff\xff\xffabc.",  # BINBYTES
        b"\x80\x02X\x01\x00\x00\x00\xff.",  # no UTF-8
        b"\x80\x02j\xff\xff\xff\xff.",  # out of an empty memo
        b"\x80\x02h\x01.",
        b"\x80\x020.",  # POP
        b"\x80\x02t.",  # a tuple to no mark
        b"\x80\x02(.",  # nothing above a mark
        b"\x80\x02(K\x01a.",
        b"\x80\x02K\x01a.",
        b"\x80\x02K\x01K\x02a.",  # append to a number
        b"\x80\x02K\x01K\x02K\x03s.",  # set an item of a number
        b"\x80\x02}(K\x01u.",  # a key without a value
        b"\x80\x02}]K\x01s.",  # a list for a key
        b"\x80\x02})K\x01s.",  # a tuple for a key
        b"\x80\x02}NN",  # no end
        b"\x80\x02}\xfe.",  # no instruction
        b"\x80\x63N.x"[:2],
        b"",
    ],
)
def test_instructions_that_torch_never_writes(description: bytes) -> None:
    with harmless(), pytest.raises(ValueError):  # noqa: PT011, of many kinds
        read(description)
    assert not os.path.exists(PROOF)


def test_a_memo_index_takes_no_memory() -> None:
    """Python's own unpickler would make a table of 64 GB for it."""
    with harmless(megabytes=1):
        assert read(b"\x80\x02K\x01r\xff\xff\xff\xff.") == 1


def test_nested_tuples_are_not_walked() -> None:
    """2^2000 elements by doubling; one hash, comparison or print of it would never end."""
    doubled = b"\x80\x02K\x01" + b"q\x00h\x00\x86" * 2000
    with harmless():
        read(doubled + b".")
        with pytest.raises(ValueError, match="a tuple for a key"):
            read(b"\x80\x02}" + doubled[2:] + b"K\x01s.")


@pytest.mark.parametrize("nested", [b"]q\x00" + b"h\x00]a" * 9, b"]" * 125_000 + b"a" * 124_999])
def test_deep_nesting(nested: bytes) -> None:
    with harmless():
        read(b"\x80\x02" + nested + b".")


def test_a_chain_of_calls_as_long_as_allowed() -> None:
    with harmless():
        read(b"\x80\x02cx\ny\n" + b")R" + b"q\x00" * 1000 + b".")
        many = b"\x80\x02" + b"cx\ny\n)R" * 75_000 + b"."
        read(many)
        with pytest.raises(ValueError, match="more than"):
            read(b"\x80\x02" + b"N" * MAX_INSTRUCTIONS + b".")
        with pytest.raises(ValueError, match="bytes of pickle"):
            read(b"\x80\x02" + unicode("x" * (17 << 20)) + b".")


OPCODES = b"()}]NRtbusae.0123456789KMJXcqhjQ\x80\x81\x85\x86\x87\x88\x8a\x8c\x93\x94"
PARTS = [
    *(bytes([i]) for i in OPCODES),
    *(b"ctorch._utils\n_rebuild_tensor_v2\n", b"ccollections\nOrderedDict\n"),
    *(b"ctorch\nFloatStorage\n", b"K\x04", b"q\x00"),
    *map(unicode, ("storage", "0", "cpu")),
]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PARTS), max_size=60), st.binary(max_size=40))
@example([b"\x80", b"2"], b".")
def test_any_instructions_in_any_order(parts: list[bytes], rest: bytes) -> None:
    with suppress(ValueError):
        read_pickle(b"\x80\x02" + b"".join(parts) + rest, {}, lambda pid: pid)


def torch_zip(path: Path, records: list[tuple[str, bytes]], **options: Any) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in records:
            archive.writestr(zipfile.ZipInfo(name), data, options.get("compression"))
    return path


TENSOR = (
    b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(("
    + unicode("storage")
    + b"ctorch\nFloatStorage\n"
    + unicode("0")
    + unicode("cpu")
    + b"K\x04tQK\x00(K\x02K\x02t(K\x02K\x01t\x89}tR."
)
RECORDS = [("a/data.pkl", TENSOR), ("a/byteorder", b"little"), ("a/data/0", bytes(range(16)))]


def test_the_honest_file_is_read(tmp_path: Path) -> None:
    read = read_torch(torch_zip(tmp_path / "x", RECORDS))
    np.testing.assert_array_equal(read, np.arange(16, dtype=np.uint8).view("<f4").reshape(2, 2))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("records", "options", "match"),
    [
        ([*RECORDS, RECORDS[2]], {}, "have one name"),
        ([*RECORDS, ("b/data.pkl", TENSOR)], {}, "no one data.pkl"),
        (RECORDS[1:], {}, "no one data.pkl"),
        (RECORDS[:2], {}, "refers to what is not there"),
        ([("a/data.pkl", TENSOR), ("../data/0", bytes(16))], {}, "refers to what is not there"),
        (RECORDS, {"compression": zipfile.ZIP_DEFLATED}, "compressed"),
        (RECORDS, {"compression": zipfile.ZIP_LZMA}, "compressed"),
        ([RECORDS[0], ("a/byteorder", b"big")], {}, "byte order"),
        ([*RECORDS[:2], ("a/data/0", bytes(15))], {}, "shorter than it claims"),
        ([("a/data.pkl", bytes(17 << 20)), *RECORDS[1:]], {}, "bytes of pickle"),
    ],
)
def test_zip_files_that_torch_never_writes(
    tmp_path: Path, records: list[tuple[str, bytes]], options: dict[str, Any], match: str
) -> None:
    path = torch_zip(tmp_path / "x", records, **options)
    with harmless(), pytest.raises(ModelFormatError, match=match):
        read_torch(path)
    assert os.listdir(tmp_path) == ["x"]


def test_names_that_lead_elsewhere_write_nothing(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    names = ["../../evil", "/tmp/evil", "a/../../evil", "a/data/../../../evil", "a\\..\\evil"]
    path = torch_zip(tmp_path / "deep" / "x", [*RECORDS, *((name, b"evil") for name in names)])
    assert read_torch(path).shape == (2, 2)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["deep", "x"]


def patched(path: Path, signature: bytes, offset: int, value: bytes, which: int = -1) -> None:
    """Overwrite a field of the last record's header, local (PK34) or central (PK12)."""
    data = bytearray(path.read_bytes())
    starts = [i for i in range(len(data)) if data[i : i + 4] == signature]
    at = starts[which] + offset
    data[at : at + len(value)] = value
    path.write_bytes(data)


LOCAL, CENTRAL = b"PK\x03\x04", b"PK\x01\x02"


@pytest.mark.parametrize(
    ("signature", "offset", "value"),
    [
        (CENTRAL, 42, struct.pack("<I", 0x7FFFFFFF)),  # a record beyond the end
        (CENTRAL, 42, struct.pack("<I", 17)),  # and in the middle of another
        (CENTRAL, 20, struct.pack("<II", 1 << 30, 1 << 30)),  # of a gigabyte
        (CENTRAL, 24, struct.pack("<I", 0xFFFFFFFF)),  # zip64 without its field
        (CENTRAL, 8, struct.pack("<H", 1)),  # encrypted
        (CENTRAL, 10, struct.pack("<H", 99)),  # compressed in an unknown way
        (LOCAL, 0, b"PK\x00\x00"),
        (LOCAL, 26, struct.pack("<HH", 0xFFFF, 0xFFFF)),
    ],
)
def test_headers_that_lie(tmp_path: Path, signature: bytes, offset: int, value: bytes) -> None:
    path = torch_zip(tmp_path / "x", RECORDS)
    patched(path, signature, offset, value)
    with harmless(), pytest.raises(ModelFormatError):
        read_torch(path)


def test_records_that_overlap_are_only_views(tmp_path: Path) -> None:
    """Two records over the same bytes show them twice and cost nothing."""
    path = torch_zip(tmp_path / "x", [*RECORDS, ("a/data/1", bytes(16))])
    first = path.read_bytes().index(b"a/data/0") - 30
    patched(path, CENTRAL, 42, struct.pack("<I", first))
    np.testing.assert_array_equal(read_torch(path).ravel().view(np.uint8), np.arange(16))


def test_zip64(tmp_path: Path) -> None:
    """Archives above 4 GB put their sizes elsewhere; so does this small one."""
    path = tmp_path / "x"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in RECORDS:
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as record:
                record.write(data)
    assert read_torch(path).shape == (2, 2)


def test_many_views_of_one_storage_are_refused(tmp_path: Path) -> None:
    """What is small in the file must not grow when it is widened or copied."""
    body = TENSOR[2:-1]
    many = b"\x80\x02(" + body * 200 + b"t."
    path = torch_zip(tmp_path / "x", [("a/data.pkl", many), *RECORDS[1:]])
    assert len(read_torch(path)) == 200  # 800 numbers in a file of 30 kB
    wide = body.replace(b"K\x04tQ", b"M\x00\x10tQ")
    wide = wide.replace(b"(K\x02K\x02t(K\x02K\x01t", b"(M\x00\x10t(K\x01t")
    records = [("a/data.pkl", b"\x80\x02(" + wide * 3000 + b"t."), ("a/data/0", bytes(1 << 14))]
    with harmless(), pytest.raises(ModelFormatError, match="cannot hold"):
        read_torch(torch_zip(tmp_path / "y", records))


@pytest.mark.oracle
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_of_torch(tmp_path: Path, protocol: int) -> None:
    torch = package("torch")
    base = torch.randn(6, 8)
    value = {
        "half": base.half(),
        "bfloat16": base.bfloat16().T,
        "tied": base,
        "again": base,
        "part": base[1::2, ::3],
        "parameter": torch.nn.Parameter(base),
        "names": ["a", ("b", 1, 2.5, None, True)],
    }
    torch.save(value, tmp_path / "x", pickle_protocol=protocol)
    read = read_torch(tmp_path / "x")
    assert list(read) == list(value)
    assert read["names"] == value["names"]
    np.testing.assert_array_equal(read["half"], value["half"].numpy())
    assert read["bfloat16"].dtype == BFLOAT16
    np.testing.assert_array_equal(widen(read["bfloat16"]), value["bfloat16"].float().numpy())
    for name in ("tied", "again", "part", "parameter"):
        np.testing.assert_array_equal(read[name], value[name].detach().numpy())
    assert np.shares_memory(read["tied"], read["again"])


def fixture_cuts() -> list[int]:
    """Every byte of the fixture's headers and description, and some of its data."""
    data = (FIXTURE / "pytorch_model.bin").read_bytes()
    central = data.index(CENTRAL)
    ends = range(central, len(data), 97)
    return [*range(0, 400, 3), *range(400, central, 5003), *ends, len(data) - 1]


def test_the_fixture_truncated(tmp_path: Path) -> None:
    whole = (FIXTURE / "pytorch_model.bin").read_bytes()
    for end in fixture_cuts():
        (tmp_path / "x").write_bytes(whole[:end])
        with pytest.raises(ModelFormatError):
            read_torch(tmp_path / "x")


def flipped(seed: int) -> bytes:
    """The fixture with a few bits turned, most of them where its description is."""
    data = bytearray((FIXTURE / "pytorch_model.bin").read_bytes())
    central = data.index(CENTRAL)
    places = random.Random(seed)
    for _ in range(places.choice((1, 1, 2, 8))):
        start, end = places.choice(((0, 9000), (0, len(data)), (central, len(data))))
        data[places.randrange(start, end)] ^= 1 << places.randrange(8)
    return bytes(data)


def test_the_fixture_with_bits_turned(tmp_path: Path) -> None:
    """Each of 400 is refused, or its tensors lie within the file."""
    refused = 0
    for seed in range(400):
        (tmp_path / "x").write_bytes(flipped(seed))
        try:
            value = read_torch(tmp_path / "x")
        except ModelFormatError:
            refused += 1
            continue
        arrays = [x for x in value.values() if isinstance(x, np.ndarray)]
        assert sum(array.nbytes for array in arrays) < 4 * 125_000
        for array in arrays:
            array.tobytes()  # every byte of it can be read
    assert 20 < refused < 400


@pytest.mark.parametrize("seed", range(1000, 1040))
def test_a_folder_with_bits_turned_is_converted_or_not_there(tmp_path: Path, seed: int) -> None:
    source = write_checkpoint(tmp_path / "hub", "pytorch_model.bin")
    (source / "pytorch_model.bin").write_bytes(flipped(seed))
    try:
        convert(source, tmp_path / "model")
    except ModelFormatError:
        assert os.listdir(tmp_path) == ["hub"]
