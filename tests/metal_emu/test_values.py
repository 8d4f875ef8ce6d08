"""What kernels compute on the emulator, against NumPy."""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx
import numpy as np
import pytest

import metal_emu

INDEX = "thread_index_in_threadgroup"
LANE = "thread_index_in_simdgroup"


@pytest.mark.parametrize("schedule", metal_emu.SCHEDULES, ids=lambda s: f"{s.order}{s.seed}")
def test_simdgroup_functions(small, schedule) -> None:
    """Over 48 lanes: the second SIMD group is half full."""
    functions: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "simd_sum(x)": lambda x: np.full_like(x, x.sum()),
        "simd_max(x)": lambda x: np.full_like(x, x.max()),
        "simd_min(x)": lambda x: np.full_like(x, x.min()),
        "simd_product(x > 9 ? x : 1)": lambda x: np.full_like(x, np.where(x > 9, x, 1).prod()),
        "simd_any(x == 3)": lambda x: np.full_like(x, (x == 3).any()),
        "simd_all(x < 10)": lambda x: np.full_like(x, (x < 10).all()),
        "simd_prefix_inclusive_sum(x)": np.cumsum,
        "simd_prefix_exclusive_sum(x)": lambda x: np.cumsum(x) - x,
        "simd_broadcast(x, 5)": lambda x: np.full_like(x, x[5]),
        "simd_broadcast_first(x)": lambda x: np.full_like(x, x[0]),
        f"simd_shuffle_xor(x, 1) + 0 * {LANE}": lambda x: x.reshape(-1, 2)[:, ::-1].reshape(-1),
        # A lane whose source lies beyond the SIMD group keeps its own.
        "simd_shuffle_up(x, 2)": lambda x: np.concatenate([x[:2], x[:-2]]),
        f"simd_shuffle(x, (({LANE} + 1) & 15))": lambda x: x[(np.arange(len(x)) + 1) & 15],
    }
    x = np.random.default_rng(0).integers(0, 11, 48).astype(np.int32)
    lines = [f"out[{n} * 48 + i] = {call};" for n, call in enumerate(functions)]
    body = "\n".join([f"uint i = {INDEX}; int x = a[i];", *lines])
    with metal_emu.emulated(schedule=schedule):
        out = small(body)(
            mx.array(x), shape=(len(functions), 48), dtype=mx.int32, threads=48, threadgroup=48
        )
    for (call, expected), row in zip(functions.items(), np.array(out), strict=True):
        halves = [expected(x[:32]), expected(x[32:])]
        np.testing.assert_array_equal(row, np.concatenate(halves), err_msg=call)


def test_a_shuffle_down_from_absent_lanes_is_nan(small) -> None:
    body = f"uint i = {INDEX}; out[i] = simd_shuffle_down(a[i], 8);"
    x = mx.arange(48).astype(mx.float32)
    with metal_emu.emulated():
        out = np.array(small(body)(x, shape=(48,), threads=48, threadgroup=48))
    np.testing.assert_array_equal(out[:24], np.arange(8, 32))
    np.testing.assert_array_equal(out[24:32], np.arange(24, 32))
    np.testing.assert_array_equal(out[32:40], np.arange(40, 48))
    assert np.isnan(out[40:]).all()


def test_positions_of_a_grid_that_threadgroups_do_not_divide(small) -> None:
    body = """
        uint3 p = thread_position_in_grid;
        uint at = (p.z * 5 + p.y) * 7 + p.x;
        uint3 g = threadgroup_position_in_grid, t = thread_position_in_threadgroup;
        uint3 size = threads_per_threadgroup, n = threadgroups_per_grid;
        out[at] = g.x * 4 + t.x == p.x && g.y * 2 + t.y == p.y && g.z * 2 + t.z == p.z
            && size.x == metal::min(4u, 7u - g.x * 4) && n.x == 2 && n.y == 3 && n.z == 2
            && thread_index_in_threadgroup == t.x + size.x * (t.y + size.y * t.z)
            && thread_index_in_simdgroup == thread_index_in_threadgroup % 32
            && simdgroup_index_in_threadgroup == thread_index_in_threadgroup / 32 ? 1 : 0;
    """
    with metal_emu.emulated():
        out = small(body)(shape=(3, 5, 7), threads=(7, 5, 3), threadgroup=(4, 2, 2))
    assert (np.array(out) == 1).all()


@pytest.mark.parametrize("schedule", metal_emu.SCHEDULES, ids=lambda s: f"{s.order}{s.seed}")
def test_threadgroup_memory_and_barriers(small, schedule) -> None:
    """Each thread reads what one of another SIMD group wrote, twice over the same memory."""
    body = f"""
        threadgroup float shared[96];
        uint i = {INDEX};
        float x = a[threadgroup_position_in_grid.x * 96 + i];
        for (int turn = 0; turn < 2; ++turn) {{
          shared[i] = x;
          threadgroup_barrier(mem_flags::mem_threadgroup);
          x = shared[(i + 40) % 96] + 1.0;
          threadgroup_barrier(mem_flags::mem_threadgroup);
        }}
        out[threadgroup_position_in_grid.x * 96 + i] = x;
    """
    x = np.arange(288, dtype=np.float32)
    with metal_emu.emulated(schedule=schedule) as emulator:
        out = small(body)(mx.array(x), shape=(288,), threads=288, threadgroup=96)
    expected = np.concatenate([np.roll(part, -80) + 2 for part in x.reshape(3, 96)])
    np.testing.assert_array_equal(np.array(out), expected)
    assert emulator.executed[0].statistics == metal_emu.Statistics(3, 0, 12, 384)


def test_strided_inputs_reach_the_kernel_as_they_lie(small) -> None:
    body = """
        uint i = thread_position_in_grid.x;
        uint row = i / a_shape[1], column = i % a_shape[1];
        out[i] = a[row * a_strides[0] + column * a_strides[1]] + float(a_ndim) + b[0];
    """
    x = mx.arange(60).astype(mx.float32).reshape(6, 10)[1:5, 2:9].T
    with metal_emu.emulated():
        out = small(body)(x, mx.array([0.5]), shape=x.shape, threads=x.size)
        copied = small(body, row_contiguous=True)(x, mx.array([0.5]), shape=x.shape, threads=x.size)
    np.testing.assert_array_equal(np.array(out), np.array(x) + 2.5)
    np.testing.assert_array_equal(np.array(copied), np.array(x) + 2.5)


def test_what_lies_between_a_views_elements_is_nan(small) -> None:
    body = "uint i = thread_position_in_grid.x; out[i] = a[i];"
    cache = mx.zeros((2, 4, 8))
    with metal_emu.emulated():
        out = np.array(small(body)(cache[:, :3], shape=(56,), threads=56))
    np.testing.assert_array_equal(np.isnan(out), np.arange(56) // 8 == 3)


def test_scalars_and_single_numbers(small) -> None:
    body = "out[thread_position_in_grid.x] = a + b[0];"
    with metal_emu.emulated():
        out = small(body)(mx.array(2.0), mx.array([3.0]), shape=(4,), threads=4)
    np.testing.assert_array_equal(np.array(out), np.full(4, 5.0))


def test_initial_values_and_outputs_never_written(small) -> None:
    body = "if (thread_position_in_grid.x == 1) { out[1] = 7; }"
    for schedule in metal_emu.SCHEDULES:
        with metal_emu.emulated(schedule=schedule):
            out = np.array(small(body)(shape=(3,), threads=3, init_value=2))
            unset = np.array(small(body)(shape=(3,), threads=3))
        np.testing.assert_array_equal(out, [2, 7, 2])
        poison = np.frombuffer(bytes([schedule.poison] * 4), np.float32)
        np.testing.assert_array_equal(unset, np.array([poison[0], 7, poison[0]]))


def test_atomics(small) -> None:
    body = """
        threadgroup atomic_uint count;
        if (thread_index_in_threadgroup == 0) {
          atomic_store_explicit(&count, 0u, memory_order_relaxed);
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        atomic_fetch_add_explicit(&count, thread_index_in_threadgroup, memory_order_relaxed);
        threadgroup_barrier(mem_flags::mem_threadgroup);
        out[thread_index_in_threadgroup] = atomic_load_explicit(&count, memory_order_relaxed);
    """
    with metal_emu.emulated("thread"):
        out = small(body)(shape=(64,), dtype=mx.uint32)
    np.testing.assert_array_equal(np.array(out), np.full(64, 64 * 63 // 2))


def test_halves_are_numpys(small) -> None:
    """All 65536 of them, and the rounding of 65536 floats, ties and subnormals among them."""
    widen = "uint i = thread_position_in_grid.x; out[i] = float(a[i]);"
    narrow = "uint i = thread_position_in_grid.x; out[i] = half(a[i]);"
    every = np.arange(65536, dtype=np.uint16).view(np.float16)
    rng = np.random.default_rng(0)
    with np.errstate(all="ignore"):  # of infinities and NaN
        floats = every.astype(np.float32) + np.spacing(np.abs(every)).astype(np.float32) / 2
    floats[::3] = rng.normal(size=floats[::3].shape) * 10.0 ** rng.integers(-9, 6)
    with metal_emu.emulated():
        wide = small(widen)(mx.array(every), shape=(65536,), threads=65536)
        narrowed = small(narrow)(mx.array(floats), shape=(65536,), dtype=mx.float16, threads=65536)
    np.testing.assert_array_equal(np.array(wide), every.astype(np.float32))
    with np.errstate(over="ignore"):
        expected = floats.astype(np.float16)
    np.testing.assert_array_equal(np.array(narrowed), expected)


def test_bfloats_are_mlxs(small) -> None:
    body = "uint i = thread_position_in_grid.x; out[i] = bfloat16_t(a[i]);"
    bits = np.random.default_rng(0).integers(0, 2**32, 4096, dtype=np.uint32)
    bits[:1024] = bits[:1024] & 0xFFFF0000 | 0x8000  # exactly between two
    wide = bits.view(np.float32)
    floats = mx.array(wide[np.isfinite(wide)])
    with metal_emu.emulated():
        out = small(body)(floats, shape=floats.shape, dtype=mx.bfloat16, threads=floats.size)
    assert mx.array_equal(out.view(mx.uint16), floats.astype(mx.bfloat16).view(mx.uint16))


def test_arithmetic_of_halves_rounds_each_time(small) -> None:
    body = "uint i = thread_position_in_grid.x; out[i] = a[i] * b[i] + a[i];"
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=64).astype(np.float16) for _ in range(2))
    with metal_emu.emulated():
        out = small(body)(mx.array(a), mx.array(b), dtype=mx.float16)
    np.testing.assert_array_equal(np.array(out), a * b + a)


def test_templates(small) -> None:
    body = "out[thread_position_in_grid.x] = T(N) / T(2) + (ODD ? 1 : 0);"
    with metal_emu.emulated():
        for odd in (True, False):
            template = [("T", mx.float32), ("N", 5), ("ODD", odd)]
            out = small(body)(shape=(2,), threads=2, template=template)
            np.testing.assert_array_equal(np.array(out), np.full(2, 2.5 + odd))
