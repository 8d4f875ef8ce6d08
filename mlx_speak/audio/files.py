"""Speech to a WAV file that can be played at any moment, even if the program dies."""

from __future__ import annotations

import struct
from os import PathLike
from pathlib import Path

from ..errors import OutputError
from .output import ImmediateOutput
from .samples import Samples, to_pcm16

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_LARGEST = 2**32 - 1 - _HEADER.size
"""Bytes of sound that the header's 32-bit sizes allow: a day of 16-bit speech at 24 kHz."""


class WavOutput(ImmediateOutput):
    """Writes 16-bit mono WAV. What is written counts as heard, so `clear` withdraws nothing.

    The header is put right after every write, so the file is complete whenever the program ends. A
    write that fails, as on a full disk, may be followed by one that does not: what is heard in the
    file then has a gap.

    Raises:
        OutputError: if the file cannot be created.
    """

    def __init__(self, path: str | PathLike[str], sample_rate: int = 24000):
        super().__init__(sample_rate)
        self.path = Path(path)
        self._size = 0
        try:
            # Unbuffered: what has been written is in the file, in this order.
            self._file = open(self.path, "wb", buffering=0)  # noqa: SIM115
            self._file.write(self._header())
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror}") from error

    def _store(self, samples: Samples) -> None:
        data = memoryview(to_pcm16(samples))
        if self._size + len(data) > _LARGEST:
            raise OutputError(f"{self.path} is full: a WAV file holds 4 GiB")
        try:
            try:
                self._append(data)
            finally:
                self._update_header()
        except OSError as error:
            raise OutputError(
                f"cannot write {self.path}: {error.strerror}; "
                f"the first {self._size / 2 / self.sample_rate:.1f} s are in it"
            ) from error

    def _append(self, data: memoryview) -> None:
        self._size -= self._size % 2  # half a sample, when the disk was full
        self._file.seek(_HEADER.size + self._size)
        while data:
            count = self._file.write(data) or 0
            self._size += count
            data = data[count:]

    def _header(self) -> bytes:
        rate = self.sample_rate
        return _HEADER.pack(
            b"RIFF", _HEADER.size - 8 + self._size // 2 * 2, b"WAVE",
            b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16,
            b"data", self._size // 2 * 2,
        )  # fmt: skip

    def _update_header(self) -> None:
        # In place, so it needs no room on a full disk.
        self._file.seek(0)
        self._file.write(self._header())

    def close(self) -> None:
        super().close()
        self._file.close()
