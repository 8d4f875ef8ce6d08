"""Compiles, type-checks and runs Metal kernels of `mx.fast.metal_kernel` without a GPU.

MLX writes the kernel itself: the call is traced, and the exact Metal text it would give to Apple's
compiler (`trace`) becomes a unit of C++ (`translate`), compiled with the headers in `include/`,
which are a Metal standard library for ordinary compilers. `runtime/` executes it: a fiber for each
GPU thread, SIMD groups of 32 that meet at their collectives, threadgroups that meet at barriers, in
several orders. Under AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer, whose idea
of a thread is a fiber here, it finds accesses out of bounds and data races. A second compiler
(`check_types`) reads the same text with real address spaces.

    with metal_emu.emulated(mode="thread") as emulator:
        y = something_that_calls_a_metal_kernel(x)

Not covered: simdgroup_matrix, textures, quad groups, indirect buffers, function constants.
"""

from .compiler import Mode, clang, cxx
from .emulate import Emulator, Executed, check_types, emulated
from .errors import CompileError, KernelError, TranslationError
from .execute import SCHEDULES, Schedule, Statistics
from .trace import KernelCall, trace

__all__ = [
    "SCHEDULES",
    "CompileError",
    "Emulator",
    "Executed",
    "KernelCall",
    "KernelError",
    "Mode",
    "Schedule",
    "Statistics",
    "TranslationError",
    "check_types",
    "clang",
    "cxx",
    "emulated",
    "trace",
]
