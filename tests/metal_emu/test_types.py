"""The strict check of types, and what of Metal's text is understood."""

from __future__ import annotations

import mlx.core as mx
import pytest
from support import needs

import metal_emu

BODY = """
    threadgroup float shared[64];
    uint i = thread_index_in_threadgroup;
    const device T* from = a + i;
    thread float kept = float(*from);
    shared[i] = kept;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    out[i] = T(metal::max(shared[63 - i], 0.0));
"""


def traced(body: str, dtype: mx.Dtype = mx.float32, header: str = "") -> metal_emu.KernelCall:
    kernel = mx.fast.metal_kernel(
        name="typed", input_names=["a"], output_names=["out"], source=body, header=header
    )
    return metal_emu.trace(
        kernel,
        [mx.zeros((64,), dtype)],
        template=[("T", dtype)],
        grid=(64, 1, 1),
        threadgroup=(64, 1, 1),
        output_shapes=[(64,)],
        output_dtypes=[dtype],
    )


@pytest.fixture(autouse=True)
def _clang() -> None:
    needs(metal_emu.clang(), "clang, to check the address spaces of Metal kernels")


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16])
def test_what_is_right_passes(dtype: mx.Dtype) -> None:
    metal_emu.check_types(traced(BODY, dtype))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        pytest.param("const device T*", "const thread T*", id="another address space"),
        pytest.param("const device T*", "const T*", id="no address space"),
        pytest.param("= a + i", "= shared + i", id="threadgroup memory as device memory"),
        pytest.param("const device T*", "device T*", id="an input that is not constant"),
        pytest.param("shared[i] = kept", "from[0] = kept", id="a write to an input"),
        pytest.param("thread float", "double", id="double"),
        pytest.param("metal::max(", "fmaxf(", id="the C library"),
        pytest.param(", 0.0)", ", 0)", id="max of a float and an integer"),
        pytest.param("0.0)", "metal::exp(1))", id="exp of an integer"),
        pytest.param("mem_flags::mem_threadgroup", "1", id="a barrier without flags"),
    ],
)
def test_what_is_wrong_does_not(right: str, wrong: str) -> None:
    assert right in BODY
    with pytest.raises(metal_emu.CompileError):
        metal_emu.check_types(traced(BODY.replace(right, wrong, 1)))


def test_bfloat_is_not_narrowed_to_unasked(small) -> None:
    spelled_out = small("bfloat16_t x = bfloat16_t(a[0]); out[0] = float(x);")
    implicit = small("bfloat16_t x = a[0]; out[0] = float(x);")
    with metal_emu.emulated():
        assert spelled_out(mx.array([1.5]), shape=(1,), threads=1).item() == 1.5
        with pytest.raises(metal_emu.CompileError, match="bfloat"):
            implicit(mx.array([1.5]), shape=(1,), threads=1)


def test_threadgroup_memory_has_no_initial_value() -> None:
    with pytest.raises(metal_emu.TranslationError, match="shared ="):
        metal_emu.check_types(traced("threadgroup float shared = 0; out[0] = a[0];"))


def test_an_attribute_that_is_not_known_is_named() -> None:
    with pytest.raises(metal_emu.TranslationError, match="quadgroup"):
        metal_emu.check_types(traced("out[thread_index_in_quadgroup] = a[0];"))


def test_errors_are_at_the_lines_of_the_body_and_the_header() -> None:
    header = "template <typename T>\nMETAL_FUNC T twice(T x) {\n  return x + undefined;\n}\n"
    with pytest.raises(metal_emu.CompileError, match=r"typed\w*\.header:\d+"):
        metal_emu.check_types(traced("out[0] = twice(a[0]);", header=header))
    with pytest.raises(metal_emu.CompileError, match=r"typed\w*\.metal:2:"):
        metal_emu.check_types(traced("int x = 0;\nout[0] = undefined;"))


def test_comments_and_literals(small) -> None:
    body = """
        // threadgroup float fake[10]; 1.5 [[attribute]]
        /* threadgroup float
           fake = 2; */
        threadgroup float left[4], right[2][2];
        left[0] = 1e-1; right[1][1] = .5; left[1] = 0x1e5; left[2] = 1.; left[3] = 2.5h;
        out[0] = left[0] + right[1][1]; out[1] = left[1]; out[2] = left[2] + left[3];
        out[3] = 1.0 / 3 + 0 * right[1][1];
    """
    with metal_emu.emulated() as emulator:
        out = small(body)(shape=(4,), threads=1, threadgroup=1)
    assert out.tolist() == pytest.approx([0.6, 485, 3.5, 1 / 3])
    statistics = emulator.executed[0].statistics
    assert statistics is not None
    assert statistics.threadgroup_memory == 32
