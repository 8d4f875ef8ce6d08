"""Read `torch.save` files into NumPy without torch and without running anything in them.

A torch file is a zip archive: a pickle that describes the object, and one record for the bytes
of each storage. The pickle here can only build containers, numbers, strings, arrays over the
file's own bytes, and inert placeholders for everything else: no name in it is ever imported.
"""

from __future__ import annotations

import collections
import io
import mmap
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from mlx_speak.errors import ModelFormatError

MAX_PICKLE_BYTES = 64 << 20
"""The description of a model of a thousand tensors takes about 100 kB."""

_DTYPES = {
    "BoolStorage": "?",
    "ByteStorage": "u1",
    "CharStorage": "i1",
    "ShortStorage": "<i2",
    "IntStorage": "<i4",
    "LongStorage": "<i8",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<u2",
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
}


def read_torch(path: str | Path) -> Any:
    """Read a file written by `torch.save` (PyTorch 1.6 or later).

    Args:
        path: a .pth, .pt or pytorch_model.bin file.

    Returns:
        The saved object, its tensors as read-only NumPy arrays over a memory map (bfloat16
        widened to float32), objects of unknown classes as `Placeholder`.

    Raises:
        ModelFormatError: the file is of another kind, damaged, or claims more than it holds.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return _Archive(path, file).load()
    except ModelFormatError:
        raise
    except OSError as error:
        if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
            raise
        raise ModelFormatError(f"{path} is damaged: {error}") from error
    except Exception as error:  # the pickle machine meets hostile bytes with errors of any type
        raise ModelFormatError(f"{path} is not a readable torch file: {error}") from error


class Placeholder:
    """Stands for an object of a class that is not a tensor; it holds its state and runs nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Placeholder:
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.__dict__["state"] = state

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        """Accept a list item and forget it."""

    def extend(self, values: Any) -> None:
        """Accept list items and forget them."""


class _Archive:
    """The zip file, its records as views of one memory map."""

    def __init__(self, path: Path, file: io.BufferedReader):
        self.path = path
        if file.read(4) != b"PK\x03\x04":
            self.refuse(
                "is not a torch zip file; files of torch < 1.6 must be saved anew with a later one"
            )
        self.memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.zip = zipfile.ZipFile(file)
        names = [name for name in self.zip.namelist() if name.endswith("data.pkl")]
        if len(names) != 1:
            self.refuse("holds no data.pkl: a zip file, but not a torch one")
        self.root = names[0].removesuffix("data.pkl")

    def refuse(self, reason: str) -> NoReturn:
        raise ModelFormatError(f"{self.path} {reason}")

    def load(self) -> Any:
        if f"{self.root}byteorder" in self.zip.namelist():
            order = bytes(self.record("byteorder"))
            if order != b"little":
                self.refuse(f"has byte order {order[:16]!r}, not little endian")
        description = self.record("data.pkl")
        if len(description) > MAX_PICKLE_BYTES:
            self.refuse(f"describes itself in {len(description)} bytes of pickle")
        return _Unpickler(bytes(description), self).load()

    def record(self, name: str) -> memoryview:
        info = self.zip.getinfo(self.root + name)
        if info.compress_type != zipfile.ZIP_STORED:
            self.refuse(f"has a compressed record {name!r}, which torch never writes")
        header = self.memory[info.header_offset : info.header_offset + 30]
        name_length, extra_length = struct.unpack_from("<HH", header, 26)
        start = info.header_offset + 30 + name_length + extra_length
        data = memoryview(self.memory)[start : start + info.file_size]
        if len(data) != info.file_size:
            self.refuse(f"ends inside its record {name!r}")
        return data


class _StorageType:
    """What `torch.FloatStorage` and its kin become."""

    def __init__(self, name: str):
        self.name = name


class _Unpickler(pickle.Unpickler):
    """Builds tensors from the archive's records, and nothing else that has a name."""

    def __init__(self, description: bytes, archive: _Archive):
        super().__init__(io.BytesIO(description))
        self._archive = archive
        self._storages: dict[str, np.ndarray] = {}

    def find_class(self, module: str, name: str) -> Any:
        known: dict[tuple[str, str], Callable[..., Any]] = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("collections", "defaultdict"): lambda *_: {},
            ("torch._utils", "_rebuild_tensor"): self._tensor,
            ("torch._utils", "_rebuild_tensor_v2"): self._tensor,
            ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
        }
        if (module, name) in known:
            return known[module, name]
        if module in ("torch", "torch.storage") and name in _DTYPES:
            return _StorageType(name)
        return type(name, (Placeholder,), {"__module__": module})

    def persistent_load(self, pid: Any) -> np.ndarray:
        match pid:
            case ("storage", _StorageType() as kind, str(key), _, int(count), *_):
                pass
            case _:
                self._archive.refuse(f"refers to {str(pid)[:80]!r}, which is no storage")
        if key not in self._storages:
            raw = self._archive.record(f"data/{key}")
            dtype = np.dtype(_DTYPES[kind.name])
            if not 0 <= count * dtype.itemsize <= len(raw):
                self._archive.refuse(f"has a storage {key} shorter than it claims")
            array = np.frombuffer(raw, dtype, count)
            if kind.name == "BFloat16Storage":
                array = (array.astype(np.uint32) << 16).view(np.float32)
            self._storages[key] = array
        return self._storages[key]

    def _tensor(self, storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> np.ndarray:
        if not isinstance(storage, np.ndarray):
            self._archive.refuse("has a tensor without a storage")
        size, stride = tuple(map(int, size)), tuple(map(int, stride))
        if len(size) != len(stride) or min((offset, *size, *stride), default=0) < 0:
            self._archive.refuse(f"has a tensor of size {size} and stride {stride}")
        count, last = 1, offset
        for length, step in zip(size, stride, strict=True):
            count *= length
            last += (length - 1) * step
        if count == 0:
            return np.empty(size, storage.dtype)
        # A stride of 0 would let a small file claim an array of any size.
        if last >= storage.size or count > storage.size:
            self._archive.refuse(f"has a tensor of size {size} that its storage cannot hold")
        strides = [step * storage.itemsize for step in stride]
        return np.lib.stride_tricks.as_strided(storage[offset:], size, strides, writeable=False)
