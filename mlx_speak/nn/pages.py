"""Weights in large pages of memory, on Linux's CPUs.

A decoder reads all of its weights for every token. In pages of 4 kB, which is how they come, the
processor looks up where each lies 390,000 times for XTTS's; in pages of 2 MB 760 times, and a code
takes a tenth less.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Iterable

import mlx.core as mx

from ..kernels import dispatch
from .native import Addresses

_MADV_HUGEPAGE, _MADV_COLLAPSE = 14, 25  # <linux/mman.h>; the second since Linux 6.1
_LARGE_PAGE = 1 << 21
_LARGE_ARRAY = 4 << 20
_WORTHWHILE = 256 << 20
"""Bytes of large arrays from which on this is worth a second of one core."""
_APART = 1 << 16
"""Bytes between neighbours up to which they are taken together: biases and the like."""


def enlarge(arrays: Iterable[mx.array]) -> threading.Thread | None:
    """Have the system gather arrays in large pages, beside what else is done.

    It moves them as it likes, with what reads them none the wiser, and it may decline. They may go
    away in the meantime.

    Args:
        arrays: evaluated. Few or small ones are left as they are.

    Returns:
        The thread that sees to it, or None if there is nothing to do.
    """
    if sys.platform != "linux" or dispatch.gpu() is not None:
        return None
    # NumPy knows no bfloat16, which no CPU computes with anyway.
    large = [
        array
        for array in arrays
        if array.nbytes >= _LARGE_ARRAY and array.dtype in (mx.float32, mx.uint32)
    ]
    if sum(array.nbytes for array in large) < _WORTHWHILE:
        return None
    thread = threading.Thread(target=_collapse, args=(_ranges(large),), daemon=True)
    thread.start()
    return thread


def _ranges(arrays: list[mx.array]) -> list[tuple[int, int]]:
    """Where arrays begin and end in memory, those beside one another as one."""
    at = Addresses()
    starts = [at(array).value or 0 for array in arrays]
    ranges: list[tuple[int, int]] = []
    for start, size in sorted(zip(starts, (array.nbytes for array in arrays), strict=True)):
        first, last = ranges.pop() if ranges else (start, start)
        if start - last > _APART:
            ranges.append((first, last))
            first = start
        ranges.append((first, start + size))
    return ranges


def _collapse(ranges: list[tuple[int, int]]) -> None:
    advise = ctypes.CDLL(None).madvise
    for start, end in ranges:
        place = -(-start // _LARGE_PAGE) * _LARGE_PAGE
        for advice in (_MADV_HUGEPAGE, _MADV_COLLAPSE):
            advise(ctypes.c_void_p(place), ctypes.c_size_t(max(end - place, 0)), advice)
