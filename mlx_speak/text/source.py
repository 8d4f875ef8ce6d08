"""Bytes as they come: any source of bytes or text, decoded without waiting for full buffers."""

from __future__ import annotations

import codecs
import errno
import time
from collections.abc import Iterable, Iterator
from typing import Any

READ_SIZE = 1 << 16
_LONGEST_LINE = 1 << 26
_HANG_UPS = {errno.EIO, errno.EPIPE, errno.ECONNRESET}  # EIO is how Linux reports a closed pty


def chunks(source: Any) -> Iterator[str]:
    """Decode a source as UTF-8, handing on what has arrived as soon as it has.

    Args:
        source: a binary or text file, one str or bytes, or an iterable of either. Of a text file
            the buffer beneath is read, so it should not have been read from before.

    Raises:
        TypeError: the source is none of these.
    """
    decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
    for chunk in _raw(source):
        if isinstance(chunk, str):
            text = chunk
        elif isinstance(chunk, (bytes, bytearray, memoryview)):
            text = decoder.decode(bytes(chunk))
        else:
            raise TypeError(f"a stream gives bytes or str, not {type(chunk).__name__}")
        if text:
            yield text
    if text := decoder.decode(b"", final=True):
        yield text


def check(source: Any) -> None:
    """Refuse what is no source before anything is read of it."""
    if not (hasattr(source, "read") or isinstance(source, Iterable)):
        raise TypeError(
            f"cannot read a stream from {type(source).__name__}: "
            "give a file, bytes, str, or an iterable of bytes or str"
        )


def _raw(source: Any) -> Iterator[Any]:
    if isinstance(source, (str, bytes, bytearray, memoryview)):
        yield source
    elif hasattr(source, "read"):
        yield from _file(source)
    else:
        yield from source


def _file(file: Any) -> Iterator[Any]:
    file = getattr(file, "buffer", file)
    # `read1` and an unbuffered `read` return what a pipe holds; a buffered `read` waits for more.
    read = getattr(file, "read1", file.read)
    while True:
        try:
            chunk = read(READ_SIZE)
        except OSError as error:
            if error.errno not in _HANG_UPS:
                raise
            return  # the writer died: the stream ends here, and what it said is spoken
        if chunk is None:  # a non-blocking file without data
            time.sleep(0.01)
        elif not chunk:
            return
        else:
            yield chunk


class Lines:
    """Complete lines of text that arrives in pieces; in linear time, however long a line is.

    Only "\\n" ends a line: JSON may hold other separators unescaped. A line of more than 64 Mi
    characters is given up and not delivered.
    """

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0

    def feed(self, text: str) -> Iterator[str]:
        """The lines that `text` completes, without their ends."""
        *ended, rest = text.split("\n")
        for part in ended:
            self._add(part)
            if line := self.close():
                yield line
        self._add(rest)

    def close(self) -> str:
        """The line that has no end yet."""
        line = "".join(self._parts) if self._length <= _LONGEST_LINE else ""
        self._parts, self._length = [], 0
        return line

    def _add(self, part: str) -> None:
        self._length += len(part)
        if self._length > _LONGEST_LINE:
            self._parts.clear()
        elif part:
            self._parts.append(part)
