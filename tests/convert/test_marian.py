"""Marian's binaries: what is written is read, and nothing damaged or hostile gets through."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx_speak.convert.marian import read_model, read_shortlist
from translation.tiny import OPTIONS, Quantised, marian_binary, random_model, shortlist_binary

from mlx_speak.errors import ModelFormatError, ModelNotFoundError

MODEL = marian_binary(random_model())
SHORTLIST = shortlist_binary([[5, 6], [], [7, 8, 9], [5]])
DAMAGE = settings(max_examples=300, deadline=None)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("marian") / "file.bin"


def test_every_parameter_is_read(file: Path) -> None:
    file.write_bytes(MODEL)
    read = read_model(file)
    expected = random_model()
    assert read.tensors.keys() == expected.keys()
    for name, parameter in expected.items():
        tensor = read.tensors[name]
        if isinstance(parameter, Quantised):
            assert tensor.values.dtype == np.int8
            assert tensor.multiplier == parameter.multiplier
            np.testing.assert_array_equal(tensor.values, parameter.values)
        else:
            assert tensor.values.dtype == np.float32
            assert tensor.multiplier is None
            np.testing.assert_array_equal(tensor.values, parameter)


def test_options_are_read(file: Path) -> None:
    options = 'type: transformer\nempty: ""\nquoted: "a: b"\nlist:\n  - 32000\n  - x\nnone:\n  []\n'
    file.write_bytes(marian_binary(random_model(), options))
    assert read_model(file).options == {
        "type": "transformer",
        "empty": "",
        "quoted": "a: b",
        "list": ["32000", "x"],
        "none": [],
    }


def test_shortlist_is_read(file: Path) -> None:
    file.write_bytes(SHORTLIST)
    shortlist = read_shortlist(file)
    assert shortlist.first == 4
    assert shortlist.offsets.tolist() == [0, 2, 2, 5, 6]
    assert shortlist.ids.tolist() == [5, 6, 7, 8, 9, 5]


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="nothing"):
        read_model(tmp_path / "nothing.bin")
    with pytest.raises(ModelNotFoundError, match="nothing"):
        read_shortlist(tmp_path / "nothing.bin")


@given(length=st.integers(0, len(MODEL) - 1))
@DAMAGE
def test_truncated_model_is_refused(file: Path, length: int) -> None:
    file.write_bytes(MODEL[:length])
    with pytest.raises(ModelFormatError):
        read_model(file)


@given(position=st.integers(0, 12_000), word=st.binary(min_size=1, max_size=8))
@DAMAGE
def test_damaged_model_is_refused_or_still_whole(file: Path, position: int, word: bytes) -> None:
    """Headers lie in the first 12 kB. No damage there may end in another error than ours."""
    data = bytearray(MODEL)
    data[position : position + len(word)] = word
    file.write_bytes(data)
    try:
        model = read_model(file)
    except ModelFormatError:
        return
    assert all(np.isfinite(tensor.values).all() for tensor in model.tensors.values())


@given(data=st.binary(max_size=400))
@DAMAGE
def test_garbage_is_refused(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    with pytest.raises(ModelFormatError):
        read_shortlist(file)
    if not data.startswith(struct.pack("<2Q", 1, 0)):  # which is a model of no tensors
        with pytest.raises(ModelFormatError):
            read_model(file)


@pytest.mark.parametrize(
    ("offset", "value", "reason"),
    [
        (0, struct.pack("<Q", 2), "version"),
        (8, struct.pack("<Q", 2**60), "early"),
        (16, struct.pack("<Q", 2**63), "early"),
        (16 + 16, struct.pack("<Q", 2**61), "early"),
        (16 + 24, struct.pack("<Q", 2**64 - 1), "early"),
    ],
)
def test_hostile_lengths_allocate_nothing(
    file: Path, offset: int, value: bytes, reason: str
) -> None:
    file.write_bytes(MODEL[:offset] + value + MODEL[offset + 8 :])
    with pytest.raises(ModelFormatError, match=reason):
        read_model(file)


def test_values_that_are_not_finite_are_refused(file: Path) -> None:
    model = random_model()
    model["decoder_ff_logit_out_b"] = np.full((1, 96), np.nan, np.float32)
    file.write_bytes(marian_binary(model))
    with pytest.raises(ModelFormatError, match=r"decoder_ff_logit_out_b .* not finite"):
        read_model(file)


@pytest.mark.parametrize("multiplier", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_multipliers_are_refused(file: Path, multiplier: float) -> None:
    model = random_model()
    model["Wemb"] = Quantised(np.zeros((96, 32), np.int8), multiplier)
    file.write_bytes(marian_binary(model))
    with pytest.raises(ModelFormatError, match=r"Wemb .* multiplier"):
        read_model(file)


def test_other_number_types_are_named(file: Path) -> None:
    float32, int16 = struct.pack("<Q", 0x0404), struct.pack("<Q", 0x4102)
    at = MODEL.index(float32)
    file.write_bytes(MODEL[:at] + int16 + MODEL[at + 8 :])
    with pytest.raises(ModelFormatError, match="0x4102"):
        read_model(file)


@given(position=st.integers(0, len(SHORTLIST) - 1), bit=st.integers(0, 7))
@DAMAGE
def test_every_flipped_bit_of_a_shortlist_is_noticed(file: Path, position: int, bit: int) -> None:
    data = bytearray(SHORTLIST)
    data[position] ^= 1 << bit
    file.write_bytes(data)
    with pytest.raises(ModelFormatError):
        read_shortlist(file)


@given(length=st.integers(0, len(SHORTLIST) - 1))
@DAMAGE
def test_truncated_shortlist_is_refused(file: Path, length: int) -> None:
    file.write_bytes(SHORTLIST[:length])
    with pytest.raises(ModelFormatError):
        read_shortlist(file)


def test_shortlist_with_a_true_checksum_must_still_make_sense(file: Path) -> None:
    """A hostile file can carry a right checksum."""
    backwards = bytearray(shortlist_binary([[5, 6], [7, 8]]))
    struct.pack_into("<Q", backwards, 48 + 8, 4)
    struct.pack_into("<Q", backwards, 48, 2)
    body = bytes(backwards[16:])
    checksum = 0
    for (word,) in struct.iter_unpack("<Q", body[: len(body) // 8 * 8]):
        checksum ^= (word + 0x9E3779B9 + (checksum << 6) + (checksum >> 2)) % 2**64
    file.write_bytes(bytes(backwards[:8]) + struct.pack("<Q", checksum) + body)
    with pytest.raises(ModelFormatError, match="offsets"):
        read_shortlist(file)


def test_bytes_after_the_end_are_refused(file: Path) -> None:
    file.write_bytes(MODEL + b"\0")
    with pytest.raises(ModelFormatError, match="1 bytes follow"):
        read_model(file)


def test_options_that_are_not_text(file: Path) -> None:
    file.write_bytes(marian_binary(random_model()).replace(OPTIONS[:8].encode(), b"\xff" * 8))
    with pytest.raises(ModelFormatError, match="not text"):
        read_model(file)
