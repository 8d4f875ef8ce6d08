"""Bugs that the emulator must find, each beside the same kernel without it."""

from __future__ import annotations

from dataclasses import dataclass

import mlx.core as mx
import numpy as np
import pytest

import metal_emu

BARRIER = "threadgroup_barrier(mem_flags::mem_threadgroup);"
ROTATE = f"""
    threadgroup float shared[96];
    uint i = thread_index_in_threadgroup;
    uint at = threadgroup_position_in_grid.x * 96 + i;
    shared[i] = a[at];
    {BARRIER}
    out[at] = shared[(i + 40) % 96];
"""
# Between two barriers one thread writes and another one reads. Whoever comes first goes on to the
# second barrier, where nothing may make the other's access seem ordered after it.
BETWEEN = f"""
    threadgroup float shared[2];
    uint i = thread_index_in_threadgroup;
    if (i == 0) {{ shared[0] = 0; shared[1] = 0; }}
    {BARRIER}
    if (i == 1) {{ shared[0] = 1; }}
    if (i == 70) {{ shared[1] = 2; }}
    {BARRIER}
    out[threadgroup_position_in_grid.x * 96 + i] = shared[0] + shared[1] + 0 * a[0];
"""
LANES = """
    threadgroup float shared[96];
    uint i = thread_index_in_threadgroup;
    uint at = threadgroup_position_in_grid.x * 96 + i;
    shared[i] = a[at];
    simdgroup_barrier(mem_flags::mem_threadgroup);
    out[at] = shared[i ^ 1];
"""
# Every threadgroup passes a barrier after it has written; that orders nothing between two.
GROUPS = f"""
    threadgroup float shared[96];
    uint i = thread_index_in_threadgroup;
    shared[i] = a[i];
    {BARRIER}
    out[threadgroup_position_in_grid.x * 96 + i] = shared[95 - i];
    threadgroup_barrier(mem_flags::mem_device);
"""
LOCAL = "float x; if (a[0] < 1e9) { x = 2; } out[thread_position_in_grid.x] = x;"


@dataclass(frozen=True)
class Bug:
    """A change to a right kernel, and what finds it."""

    name: str
    kernel: str
    right: str
    wrong: str
    says: str
    mode: metal_emu.Mode = "plain"


BUGS = [
    Bug("missing barrier", ROTATE, BARRIER, "", "data race", "thread"),
    Bug("barrier that orders no memory", ROTATE, "mem_threadgroup", "mem_none", "data race",
        "thread"),
    Bug("barrier of a SIMD group", ROTATE, "threadgroup_barrier", "simdgroup_barrier",
        "data race", "thread"),
    Bug("race between two barriers", BETWEEN, "shared[1] = 2", "shared[0] = 2", "data race",
        "thread"),
    Bug("missing barrier of a SIMD group", LANES, "simdgroup_barrier(mem_flags::mem_threadgroup);",
        "", "data race", "thread"),
    Bug("SIMD-group function in its place", LANES,
        "simdgroup_barrier(mem_flags::mem_threadgroup);", "(void)simd_sum(1.0f);", "data race",
        "thread"),
    Bug("race between threadgroups", GROUPS, "threadgroup_position_in_grid.x * 96 + i", "i",
        "data race", "thread"),
    Bug("divergent barrier", ROTATE, BARRIER, f"if (i < 64) {{ {BARRIER} }}",
        "thread 0 waits, but thread 64 has already returned"),
    Bug("two barriers", ROTATE, BARRIER, f"if (i < 64) {{ {BARRIER} }}\nelse {{ {BARRIER} }}",
        "thread 0 waits at line 6, thread 64 at line 7"),
    Bug("return before a barrier", ROTATE, BARRIER, f"if (i == 95) return;\n{BARRIER}",
        "SIMD group|already returned"),
    Bug("divergent SIMD-group function", LANES, "shared[i ^ 1]",
        "i % 2 ? 1.0f : simd_sum(shared[i ^ 1]);\n(void)simd_max(a[at])",
        "divergence inside SIMD group 0"),
    Bug("read past an input", ROTATE, "a[at]", "a[at + 1]", "heap-buffer-overflow, READ",
        "address"),
    Bug("write past the output", ROTATE, "out[at]", "out[at + 1]", "heap-buffer-overflow, WRITE",
        "address"),
    Bug("threadgroup memory out of bounds", ROTATE, "shared[(i + 40) % 96]", "shared[i + 40]",
        "index 96 out of bounds", "address"),
    Bug("misaligned vector", ROTATE, "a[at]", "(*(const device float4*)(a + at / 2 + 1)).x",
        "misaligned", "address"),
    Bug("too much threadgroup memory", ROTATE, "shared[96]", "shared[8193]",
        "32784 bytes exceeds the limit of 32768"),
    Bug("uninitialised boolean", ROTATE, "= shared[", "= a[0] < 1e9 ? 0.0f : shared[0]; "
        "threadgroup bool never; if (never) { return; } float y = shared[", "not a valid value",
        "address"),
]  # fmt: skip


def run(small, source: str, **options) -> np.ndarray:
    x = mx.arange(192).astype(mx.float32)
    with metal_emu.emulated(**options):
        return np.array(small(source)(x, shape=(192,), threads=192, threadgroup=96))


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_the_bug_is_found(small, bug: Bug) -> None:
    assert bug.right in bug.kernel
    with pytest.raises(metal_emu.KernelError, match=bug.says):
        run(small, bug.kernel.replace(bug.right, bug.wrong, 1), mode=bug.mode)


@pytest.mark.parametrize("mode", ["plain", "address", "thread"])
@pytest.mark.parametrize(
    "kernel", [ROTATE, BETWEEN, LANES, GROUPS], ids=["rotate", "between", "lanes", "groups"]
)
def test_nothing_is_found_without_one(small, kernel: str, mode: metal_emu.Mode) -> None:
    results = [
        run(small, kernel, mode=mode, schedule=schedule) for schedule in metal_emu.SCHEDULES[:3]
    ]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def differ(small, source: str) -> bool:
    """Whether the schedules disagree on a kernel."""
    results = [run(small, source, schedule=schedule) for schedule in metal_emu.SCHEDULES]
    return any(not np.array_equal(result, results[0], equal_nan=True) for result in results[1:])


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        pytest.param(BARRIER, "", id="missing barrier"),
        pytest.param("shared[i] = a[at];", "if (i != 3) { shared[i] = a[at]; }", id="not written"),
        pytest.param("out[at] =", "if (i != 3) out[at] =", id="output not written"),
        pytest.param("out[at] =", "out[i] =", id="two threadgroups write one place"),
    ],
)
def test_schedules_disagree_where_a_kernel_is_wrong(small, right: str, wrong: str) -> None:
    assert not differ(small, ROTATE)
    assert differ(small, ROTATE.replace(right, wrong, 1))


def test_a_local_variable_that_is_never_set_holds_no_zero(small) -> None:
    assert (run(small, LOCAL) == 2).all()
    assert not (run(small, LOCAL.replace("< 1e9", "> 1e9")) == 0).any()


def test_the_compilers_warnings_are_kept(small) -> None:
    with metal_emu.emulated() as emulator:
        small("if (a[0] = 1) {}")  # is not called
        small("int i; if (a[0] == i) { out[0] = 1; }")
    assert emulator.executed == []
    with metal_emu.emulated(), pytest.raises(metal_emu.CompileError, match="uninitialized"):
        small("int i; out[0] = i + a[0];")(mx.zeros((64,)))
    with metal_emu.emulated() as emulator:
        small("if (a[0] < 0) if (a[1] < 0) out[0] = 1; else out[0] = 2;")(mx.zeros((64,)))
    assert "dangling-else" in emulator.executed[0].warnings


def test_too_many_threads(small) -> None:
    with metal_emu.emulated(), pytest.raises(metal_emu.KernelError, match="2048 threads"):
        small("out[0] = 1;")(threads=2048, threadgroup=2048)


def test_a_report_names_both_lines_of_a_race(small) -> None:
    with pytest.raises(metal_emu.KernelError, match=r"metal 5 and metal 7|metal 7 and metal 5"):
        run(small, ROTATE.replace(BARRIER, ""), mode="thread")
