"""Kernels forced onto a Metal that is emulated."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import metal_emu
import mlx.core as mx
import pytest
from mlx_speak.kernels import dispatch
from support import needs_emulator

from mlx_speak import kernels

Emulated = Callable[..., AbstractContextManager[metal_emu.Emulator]]


@pytest.fixture
def emulated(monkeypatch: pytest.MonkeyPatch) -> Emulated:
    """`with emulated(mode, schedule) as emulator:`, in which every kernel that applies is run."""
    needs_emulator()
    monkeypatch.setattr(dispatch, "gpu", lambda: "metal")

    @contextlib.contextmanager
    def context(
        mode: metal_emu.Mode = "plain",
        schedule: metal_emu.Schedule = metal_emu.SCHEDULES[0],
    ) -> Iterator[metal_emu.Emulator]:
        mx.disable_compile()  # a compiled function takes a second to build on the CPU
        try:
            with metal_emu.emulated(mode, schedule) as emulator, kernels.use("metal"):
                yield emulator
        finally:
            mx.enable_compile()

    return context
