"""What can be wrong with a kernel, by the stage that finds it."""

from __future__ import annotations


class TranslationError(ValueError):
    """Metal text that the emulator cannot turn into C++, or that is no Metal."""


class CompileError(Exception):
    """A compiler refused the kernel, or the strict check of its types did."""


class KernelError(Exception):
    """The kernel did wrong when it ran: a race, an access out of bounds, a divergent barrier..."""
