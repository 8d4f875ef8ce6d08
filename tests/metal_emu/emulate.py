"""Let `mx.fast.metal_kernel` make kernels that run here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import mlx.core as mx
import numpy as np

from .compiler import Mode, check_strictly, compile_unit
from .execute import SCHEDULES, Buffer, Dispatch, Schedule, Statistics, run
from .trace import KernelCall, trace
from .translate import executable_unit, strict_unit

_NUMPY = {
    mx.bool_: np.bool_,
    mx.int8: np.int8,
    mx.int16: np.int16,
    mx.int32: np.int32,
    mx.int64: np.int64,
    mx.uint8: np.uint8,
    mx.uint16: np.uint16,
    mx.uint32: np.uint32,
    mx.uint64: np.uint64,
    mx.float16: np.float16,
    mx.bfloat16: np.uint16,  # its bits: NumPy has no such type
    mx.float32: np.float32,
}


@dataclass(frozen=True)
class Executed:
    """A dispatch that the emulator ran."""

    call: KernelCall
    warnings: str
    """The C++ compiler's."""
    statistics: Statistics | None


@dataclass
class Emulator:
    """Runs kernels in one way, and keeps account of them."""

    mode: Mode = "plain"
    schedule: Schedule = SCHEDULES[0]
    executed: list[Executed] = field(default_factory=list)

    def metal_kernel(self, *args: Any, **kwargs: Any) -> Any:
        """Stands in for `mx.fast.metal_kernel`, which it calls for all that MLX checks."""
        kernel = _metal_kernel(*args, **kwargs)

        def call(
            *,
            inputs: Sequence[Any],
            output_shapes: Sequence[Sequence[int]],
            output_dtypes: Sequence[mx.Dtype],
            init_value: float | None = None,
            stream: Any = None,
            **rest: Any,
        ) -> list[mx.array]:
            arrays = [x if isinstance(x, mx.array) else mx.array(x) for x in inputs]
            call = trace(
                kernel, arrays, output_shapes=output_shapes, output_dtypes=output_dtypes, **rest
            )
            outputs = [
                _output(shape, dtype, init_value, self.schedule.poison)
                for shape, dtype in zip(output_shapes, output_dtypes, strict=True)
            ]
            self.execute(call, arrays, outputs)
            return [
                _to_mlx(array, dtype) for array, dtype in zip(outputs, output_dtypes, strict=True)
            ]

        return call

    def execute(
        self, call: KernelCall, inputs: Sequence[mx.array], outputs: Sequence[np.ndarray[Any, Any]]
    ) -> None:
        """Run a traced call, writing to `outputs`."""
        binary = compile_unit(executable_unit(call.source, call.name), self.mode)
        buffers = [
            buffer
            for x, info in zip(inputs, call.inputs, strict=True)
            for buffer in _input_buffers(x, info, call.row_contiguous)
        ]
        buffers += [Buffer(array.reshape(-1), True) for array in outputs]
        statistics = run(binary, Dispatch(call.grid, call.threadgroup, self.schedule), buffers)
        self.executed.append(Executed(call, binary.warnings, statistics))


def check_types(call: KernelCall) -> None:
    """Check a traced call's types with real address spaces.

    Raises:
        CompileError: with what clang said.
    """
    check_strictly(strict_unit(call.source, call.name))


@contextlib.contextmanager
def emulated(mode: Mode = "plain", schedule: Schedule = SCHEDULES[0]) -> Iterator[Emulator]:
    """Within the block, kernels that `mx.fast.metal_kernel` makes run on the emulator.

    They run when they are called, not when their results are evaluated, and in one thread only:
    MLX knows for the whole process whether it is tracing.
    """
    emulator = Emulator(mode, schedule)
    with mock.patch.object(mx.fast, "metal_kernel", emulator.metal_kernel):
        yield emulator


_metal_kernel = mx.fast.metal_kernel


def _input_buffers(x: mx.array, info: Any, row_contiguous: bool) -> Iterator[Buffer]:
    array = _to_numpy(x)
    if row_contiguous:
        array = np.ascontiguousarray(array).reshape(x.shape)
    strides = [stride // array.itemsize for stride in array.strides]
    yield Buffer(_memory(array, strides))
    if x.ndim:
        if info.shape:
            yield Buffer(np.array(x.shape, np.int32))
        if info.strides:
            yield Buffer(np.array(strides, np.int64))
        if info.ndim:
            yield Buffer(np.array([x.ndim], np.int32))


def _memory(array: np.ndarray[Any, Any], strides: Sequence[int]) -> np.ndarray[Any, Any]:
    """The memory from a view's first element to its last, flat, for the kernel alone.

    What lies between its elements and is none of them, such as the free slots of a cache, becomes
    NaN: a kernel that reads it gives itself away.
    """
    span = 1 + sum((size - 1) * stride for size, stride in zip(array.shape, strides, strict=True))
    flat = np.empty(span if array.size else 0, array.dtype)
    flat.view(np.uint8)[:] = 0xFF
    view = np.lib.stride_tricks.as_strided(flat, array.shape, array.strides)
    view[...] = array
    return flat


def _output(
    shape: Sequence[int], dtype: mx.Dtype, init_value: float | None, poison: int
) -> np.ndarray[Any, Any]:
    array: np.ndarray[Any, Any] = np.empty(tuple(shape), _NUMPY[dtype])
    if init_value is None:
        array.reshape(-1).view(np.uint8)[:] = poison
    else:
        array[...] = _to_numpy(mx.array(init_value, dtype))
    return array


def _to_numpy(x: mx.array) -> np.ndarray[Any, Any]:
    """A view, which shows the strides that MLX has."""
    bits = x.view(mx.uint16) if x.dtype == mx.bfloat16 else x
    mx.eval(bits)
    return np.asarray(bits)


def _to_mlx(array: np.ndarray[Any, Any], dtype: mx.Dtype) -> mx.array:
    result = mx.array(array)
    return result.view(mx.bfloat16) if dtype == mx.bfloat16 else result
