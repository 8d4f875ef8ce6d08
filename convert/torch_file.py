"""Read `torch.save` files into NumPy without torch and without running anything in them.

A torch file is a zip archive: a pickle that describes the object, and one record for the bytes
of each storage. What the pickle may do is in `inert_pickle.py`; the arrays are views of the file.
"""

from __future__ import annotations

import io
import mmap
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mlx_speak.errors import ModelFormatError

from .inert_pickle import Name, Placeholder, read_pickle
from .safetensors_file import DTYPES

__all__ = ["Placeholder", "read_torch"]

_DTYPES = {
    Name("torch", f"{kind}Storage"): DTYPES[name]
    for kind, name in {
        "Bool": "BOOL",
        "Byte": "U8",
        "Char": "I8",
        "Short": "I16",
        "Int": "I32",
        "Long": "I64",
        "Half": "F16",
        "BFloat16": "BF16",
        "Float": "F32",
        "Double": "F64",
    }.items()
}


def read_torch(path: str | Path) -> Any:
    """Read a file written by `torch.save` (PyTorch 1.6 or later).

    Args:
        path: a .pth, .pt or pytorch_model.bin file.

    Returns:
        The saved object, its tensors as read-only NumPy arrays over a memory map (bfloat16 as
        `safetensors_file.BFLOAT16`), objects of unknown classes as `Placeholder`.

    Raises:
        ModelFormatError: the file is of another kind, damaged, or claims more than it holds.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return _Archive(file).load()
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    # zipfile meets hostile bytes with errors of many types
    except (
        *(OSError, ValueError, KeyError, IndexError, OverflowError, MemoryError, EOFError),
        *(NotImplementedError, RecursionError, struct.error, zipfile.BadZipFile),
    ) as error:
        raise ModelFormatError(f"{path} is not a readable torch file: {error}") from error


def _empty_dict() -> dict[Any, Any]:
    """`dict` itself would take items too, and hash whatever a file gives as their keys."""
    return {}


class _Archive:
    """The zip file, its records as views of one memory map."""

    def __init__(self, file: io.BufferedReader):
        if file.read(4) != b"PK\x03\x04":
            raise ValueError(
                "it is not a torch zip file; what torch < 1.6 saved must be saved anew by another"
            )
        self.memory = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
        names = [entry.filename for entry in entries]
        descriptions = [name for name in names if name.rpartition("/")[2] == "data.pkl"]
        if len(descriptions) != 1:
            raise ValueError("it is a zip file, but not a torch one: it holds no one data.pkl")
        if len(set(names)) < len(names):
            raise ValueError("two of its records have one name")
        root = descriptions[0].removesuffix("data.pkl")
        self.entries = {
            entry.filename.removeprefix(root): entry
            for entry in entries
            if entry.filename.startswith(root)
        }
        self.elements = 0
        self.storages: dict[tuple[str, Name], np.ndarray] = {}

    def load(self) -> Any:
        if "byteorder" in self.entries and bytes(self.record("byteorder")) != b"little":
            raise ValueError("its byte order is not little endian")
        build: dict[Name, Callable[..., Any]] = {
            Name("collections", "OrderedDict"): _empty_dict,
            Name("torch._utils", "_rebuild_tensor"): self.tensor,
            Name("torch._utils", "_rebuild_tensor_v2"): self.tensor,
            Name("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
        }
        return read_pickle(self.record("data.pkl"), build, self.storage)

    def record(self, name: str) -> memoryview:
        """The bytes of a record, which torch stores as they are."""
        entry = self.entries[name]
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise ValueError(f"its record {name!r} is compressed, which torch never does")
        header = self.memory[entry.header_offset : entry.header_offset + 30]
        if header[:4] != b"PK\x03\x04":
            raise ValueError(f"its record {name!r} does not begin where it is said to")
        name_length, extra_length = struct.unpack_from("<HH", header, 26)
        start = entry.header_offset + 30 + name_length + extra_length
        data = self.memory[start : start + entry.file_size]
        if len(data) != entry.file_size:
            raise ValueError(f"it ends inside its record {name!r}")
        return data

    def storage(self, pid: Any) -> np.ndarray:
        """All elements of a storage, by torch's persistent id."""
        match pid:
            case ("storage", Name() as kind, str(key), _, int(count), *_) if kind in _DTYPES:
                pass
            case _:
                raise ValueError("it refers to what is no storage")
        if (key, kind) not in self.storages:
            raw, dtype = self.record(f"data/{key}"), _DTYPES[kind]
            if not 0 <= count * dtype.itemsize <= len(raw):
                raise ValueError(f"its storage {key} is shorter than it claims")
            self.storages[key, kind] = np.frombuffer(raw, dtype, count)
        return self.storages[key, kind]

    def tensor(self, storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> np.ndarray:
        """A view of a storage, in elements."""
        if not isinstance(storage, np.ndarray):
            raise ValueError("it has a tensor without a storage")
        numbers = [offset, *size, *stride]
        if (
            len(size) != len(stride)
            or len(size) > 32
            or not all(type(number) is int and 0 <= number < 2**63 for number in numbers)
        ):
            raise ValueError("it has a tensor of impossible size and stride")
        count, last = 1, offset
        for length, step in zip(size, stride, strict=True):
            count *= length
            last += (length - 1) * step
        if count == 0:
            return np.empty(size, storage.dtype)
        # A stride of 0, or many tensors over one storage, would let a small file claim any size.
        self.elements += count
        if last >= storage.size or count > storage.size or self.elements > 4 * len(self.memory):
            raise ValueError(f"it has a tensor of size {size} that its storage cannot hold")
        strides = [step * storage.itemsize for step in stride]
        return np.lib.stride_tricks.as_strided(storage[offset:], size, strides, writeable=False)
