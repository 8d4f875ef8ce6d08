"""A planted bug, and the ways to notice one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import metal_emu

BARRIER = "threadgroup_barrier(mem_flags::mem_threadgroup);"


@dataclass(frozen=True)
class Bug:
    """A change to one file, and how it is noticed."""

    operation: str
    file: str
    right: str
    wrong: str
    mode: metal_emu.Mode = "plain"
    says: str = ""
    """Part of the error; where empty, results are wrong under some schedule."""
    occurrence: int = 0
    case: int = 0
    """Which of the operation's small cases raises the error."""


RACE: dict[str, Any] = {"mode": "thread", "says": "data race"}
READ: dict[str, Any] = {"mode": "address", "says": "heap-buffer-overflow, READ"}
WRITE: dict[str, Any] = {"mode": "address", "says": "heap-buffer-overflow, WRITE"}
