"""Every kernel against float64: dtypes, edges of lengths, schedules, sanitizers, types."""

from __future__ import annotations

import kernel_cases as cases
import metal_emu
import mlx.core as mx
import pytest
from kernel_cases import Case
from support import needs

OPERATIONS = sorted(cases.SETS)
SMALL = [case for name in OPERATIONS for case in cases.SMALL[name]]


@pytest.mark.parametrize("schedule", metal_emu.SCHEDULES, ids=lambda s: f"{s.order}{s.seed}")
@pytest.mark.parametrize("name", OPERATIONS)
def test_kernels_compute_what_they_say(emulated, name: str, schedule: metal_emu.Schedule) -> None:
    for case in cases.SETS[name]():
        with emulated(schedule=schedule) as emulator:
            assert not case.problem(case.operation), case.name
        assert emulator.executed, f"{case.name} did not run on the kernel"
        assert not any(executed.warnings for executed in emulator.executed)


@pytest.mark.parametrize("name", OPERATIONS)
def test_references_compute_the_same(name: str) -> None:
    """In plain MLX, which is less exact than the kernels: it rounds the attention's weights to the
    dtype, and in fp32 its layer norm loses a digit to a mean of 3."""
    for case in cases.SETS[name]():
        arithmetic = {mx.float32: 1e-5, mx.float16: 2e-3, mx.bfloat16: 2e-2}[case.dtype]
        assert not case.problem(case.ops, arithmetic), case.name


@pytest.mark.parametrize("mode", ["address", "thread"])
@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_sanitizers_find_nothing(emulated, case: Case, mode: metal_emu.Mode) -> None:
    random = metal_emu.SCHEDULES[2]
    with emulated(mode, random):
        assert not case.problem(case.operation)


@pytest.mark.parametrize("name", OPERATIONS)
def test_types_are_metals(emulated, name: str) -> None:
    """One check for each text that MLX generates, small inputs in `constant` among them."""
    needs(metal_emu.clang(), "clang, to check the address spaces of Metal kernels")
    calls = {}
    for case in cases.SETS[name]():
        with emulated() as emulator:
            case.operation(*case.arguments, **case.options)
        calls.update({executed.call.source: executed.call for executed in emulator.executed})
    assert len(calls) >= len(cases.DTYPES)
    for call in calls.values():
        metal_emu.check_types(call)


@pytest.mark.parametrize("name", OPERATIONS)
def test_lengths_compile_nothing(emulated, name: str) -> None:
    """One text for all lengths, but for inputs under eight elements, which are `constant`."""
    texts = set()
    for length in (50, 51, 64, 200):
        call = cases.LENGTHS[name](length)
        with emulated() as emulator:
            call.operation(*call.arguments, **call.options)
        texts.add(tuple(executed.call.source for executed in emulator.executed))
        assert not any(executed.call.row_contiguous for executed in emulator.executed)
    assert len(texts) == 1
