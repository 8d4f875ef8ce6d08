"""What the sanitizers print, in one line."""

from __future__ import annotations

import re

ENVIRONMENT = {
    # Fibers that never finish leave their memory behind, and have stacks of their own already.
    "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:report_signal_unsafe=0:history_size=3",
}

_EXECUTOR = re.compile(r"^metal_emu: (.*)", re.M)
_HEADLINES = (
    re.compile(r"ERROR: (AddressSanitizer: [\w-]+)"),
    re.compile(r"(runtime error: [^\n]*)"),
    re.compile(r"WARNING: (ThreadSanitizer: [^\n(]*)"),
)
_ACCESS = re.compile(r"\b(?:READ|WRITE|Read|Write) of size \d+")
_LOCATION = re.compile(r"\w+\.(metal|header):(\d+)")


def summary(report: str) -> str | None:
    """What was found, the access, and the lines of the kernel: the first and the other's.

    None where the report is neither the executor's nor a sanitizer's.
    """
    own = _EXECUTOR.search(report)
    if own:
        return own[1]
    headline = next(filter(None, (pattern.search(report) for pattern in _HEADLINES)), None)
    if headline is None:
        return None
    access = _ACCESS.search(report)
    lines = dict.fromkeys(f"{file} {line}" for file, line in _LOCATION.findall(report))
    at = " and ".join(list(lines)[:2])
    parts = [headline[1].strip(), access[0] if access else "", f"at line {at}" if at else ""]
    return ", ".join(part for part in parts if part)
