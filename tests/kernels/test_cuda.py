"""The same bodies as CUDA kernels: compiled as MLX would put them together, where there is nvcc.

No GPU is needed for that, and none of it is run: what this shows is that the bodies keep to what
both languages have in common.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import kernel_cases as cases
import mlx.core as mx
import pytest
from mlx_speak.kernels import dispatch

from mlx_speak import kernels
from mlx_speak.home import home

TYPES = {
    mx.float32: "float",
    mx.float16: "__half",
    mx.bfloat16: "__nv_bfloat16",
    mx.bool_: "bool",
    mx.uint32: "uint32_t",
    mx.int32: "int32_t",
}
# What mlx/backend/cuda/device/utils.cuh brings, of that which the kernels' signatures need.
DEFAULT_HEADER = """
#include <cooperative_groups.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda/std/array>
#include <cstdint>
namespace mlx::core::cu {
using Shape = cuda::std::array<int32_t, 10>;
using Strides = cuda::std::array<int64_t, 10>;
}
"""


class Recorder:
    """Stands in for `mx.fast.cuda_kernel`, which an MLX without CUDA refuses: it writes down the
    text that MLX would compile (build_kernel in mlx/backend/cuda/custom_kernel.cpp)."""

    def __init__(self) -> None:
        self.headers: dict[str, None] = {}
        self.functions: dict[str, str] = {}

    def cuda_kernel(self, *, name, input_names, output_names, source, header, **options):
        self.headers[header] = None

        def call(*, inputs, template, output_shapes, output_dtypes, **rest):
            parameters = []
            for parameter, x in zip(input_names, inputs, strict=True):
                parameters.append(f"const {TYPES[x.dtype]}* {parameter}")
                for suffix, kind in (("shape", "Shape"), ("strides", "Strides")):
                    if f"{parameter}_{suffix}" in source:
                        parameters.append(f"const __grid_constant__ {kind} {parameter}_{suffix}")
            for parameter, dtype in zip(output_names, output_dtypes, strict=True):
                parameters.append(f"{TYPES[dtype]}* {parameter}")
            constants = []
            for constant, value in template:
                if isinstance(value, mx.Dtype):
                    constants.append(f"using {constant} = {TYPES[value]};")
                else:
                    kind = "bool" if isinstance(value, bool) else "int"
                    constants.append(f"constexpr {kind} {constant} = {str(value).lower()};")
            text = f"({', '.join(parameters)}) {{\n{' '.join(constants)}\n{source}\n}}\n"
            number = hashlib.sha256(text.encode()).hexdigest()[:8]
            self.functions[f"{name}_{number}"] = text
            return [
                mx.zeros(shape, dtype)
                for shape, dtype in zip(output_shapes, output_dtypes, strict=True)
            ]

        return call

    def unit(self) -> str:
        """All kernels recorded, for one run of the compiler."""
        bodies = [kernel for operation in kernels.OPERATIONS for kernel in operation.kernels]
        assert self.headers.keys() == {body.header("cuda") for body in bodies}
        # Each file once, as several bodies share some.
        names = dict.fromkeys(["cuda.h", *(name for body in bodies for name in body.headers)])
        functions = (f"__global__ void {name}{text}" for name, text in self.functions.items())
        return "\n".join(
            [
                DEFAULT_HEADER,
                *map(dispatch.read, names),
                "namespace mlx::core::cu {",
                *functions,
                "}\n",
            ]
        )


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(dispatch, "gpu", lambda: "cuda")
    monkeypatch.setattr(mx.fast, "cuda_kernel", recorder.cuda_kernel)
    with kernels.use("cuda"):
        for name, case in cases.LENGTHS.items():
            calls = [*cases.SMALL[name], *(case(70, dtype) for dtype in cases.DTYPES)]
            for call in calls:
                call.operation(*call.arguments, **call.options)
    return recorder


def compile_unit(text: str) -> str:
    """What nvcc makes of it, PTX; kept by its content, as it takes half a minute."""
    nvcc = shutil.which("nvcc")
    if nvcc is None:  # CI has none either: no failure there
        pytest.skip("nvcc, to compile the kernels as CUDA")
    version = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True)
    key = hashlib.sha256((version.stdout + text).encode()).hexdigest()[:24]
    target = home("metal_emu") / f"{key}.ptx"
    if not target.exists():
        source = target.with_suffix(".cu")
        source.write_text(text)
        temporary = target.with_suffix(".tmp")
        command = [nvcc, "-std=c++20", "-arch=sm_80", "-ptx", "-Werror", "all-warnings"]
        done = subprocess.run(
            [*command, str(source), "-o", str(temporary)], capture_output=True, text=True
        )
        assert not done.returncode, done.stderr[-4000:]
        temporary.replace(target)
    return Path(target).read_text()


def test_the_bodies_are_cuda_kernels(recorder: Recorder) -> None:
    assert len(recorder.functions) >= 5 * len(cases.DTYPES) - 2  # argmax's second stage has one
    ptx = compile_unit(recorder.unit())
    for name in recorder.functions:
        assert name in ptx
    assert ptx.count("bar.sync") >= len(recorder.functions)
    assert "shfl.sync" in ptx


def test_a_body_that_is_metal_alone_is_noticed(recorder: Recorder) -> None:
    wrong = recorder.unit().replace("simd_sum(score)", "simd_prefix_inclusive_sum(score)")
    if shutil.which("nvcc") is None:
        pytest.skip("nvcc, to compile the kernels as CUDA")
    with pytest.raises(AssertionError, match="simd_prefix_inclusive_sum"):
        compile_unit(wrong)
