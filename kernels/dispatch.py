"""Which of several ways an operation runs, and what makes its kernels run at all.

An operation of this room has a body in Metal, which is the body of a CUDA kernel too, and a
reference in plain MLX. By default the kernel is taken only on a backend where a benchmark has shown
that it wins, and only for the shapes it is made for.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, TypeVar, get_args

import mlx.core as mx

from mlx_speak.errors import SpeakError

Backend = Literal["metal", "cuda", "ops"]
Choice = Literal["auto", "metal", "cuda", "ops"]

DTYPES = (mx.float32, mx.float16, mx.bfloat16)
"""What the kernels compute on; all of them add up in fp32."""

_lock = threading.Lock()
_choice: Choice = "auto"


def read(name: str) -> str:
    """A file of this room, for the compiler."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


class BackendNotAvailableError(SpeakError, RuntimeError):
    """A backend was forced that MLX does not run on here."""


@dataclass(frozen=True)
class Kernel:
    """A body in `<name>.metal`, compiled once for each set of template arguments.

    Inputs reach it as they lie in memory, with their strides, and are never copied.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    headers: tuple[str, ...] = ()
    """Files of functions that the body calls."""

    def __call__(
        self,
        backend: Backend,
        inputs: Sequence[mx.array],
        *,
        template: Mapping[str, int | bool | mx.Dtype],
        grid: tuple[int, int, int],
        threadgroup: tuple[int, int, int],
        outputs: Sequence[tuple[Sequence[int], mx.Dtype]],
    ) -> list[mx.array]:
        """Dispatch it.

        Args:
            backend: "metal" or "cuda".
            inputs: in the order of `self.inputs`.
            template: constants that it is compiled for: never a length.
            grid: in threads.
            threadgroup: in threads.
            outputs: the shape and dtype of each.
        """
        factory = mx.fast.metal_kernel if backend == "metal" else mx.fast.cuda_kernel
        with _lock:
            kernel = _build(self, backend, factory)
        return kernel(
            inputs=list(inputs),
            template=list(template.items()),
            grid=grid,
            threadgroup=threadgroup,
            output_shapes=[tuple(shape) for shape, _ in outputs],
            output_dtypes=[dtype for _, dtype in outputs],
        )

    def source(self) -> str:
        """The body."""
        return read(f"{self.name}.metal")

    def header(self, backend: Backend) -> str:
        """What stands before the function that the body becomes."""
        prelude = ("cuda.h",) if backend == "cuda" else ()
        return "\n".join(map(read, (*prelude, *self.headers)))


# The factory is part of the key, as tests put another in the place of MLX's.
@functools.lru_cache(maxsize=256)
def _build(kernel: Kernel, backend: Backend, factory: Callable[..., Any]) -> Callable[..., Any]:
    return factory(
        name=f"mlx_speak_{kernel.name}",
        input_names=list(kernel.inputs),
        output_names=list(kernel.outputs),
        source=kernel.source(),
        header=kernel.header(backend),
        ensure_row_contiguous=False,
    )


@dataclass(frozen=True)
class Operation:
    """A public function of this room, and where its kernels earn their place."""

    name: str
    kernels: tuple[Kernel, ...]
    shapes: str
    """What the kernels are made for, in words; anything else runs in plain MLX."""
    wins: Mapping[Backend, str] = field(default_factory=dict)
    """Backends where a benchmark has shown that the kernels win, and which benchmark."""

    def backend(self, applies: bool) -> Backend:
        """What this call runs on.

        Args:
            applies: whether the kernels are made for its shapes and dtypes.
        """
        if not applies or _choice == "ops":
            return "ops"
        if _choice != "auto":
            return _choice
        here = gpu()
        return here if here and here in self.wins else "ops"

    def why(self) -> tuple[Backend, str]:
        """What a call that its kernels are made for runs on at present, and the reason."""
        backend, here = self.backend(True), gpu()
        if _choice != "auto":
            return backend, f'kernels.use("{_choice}") has forced it'
        if here is None:
            return backend, "MLX runs on the CPU here"
        if backend == here:
            return backend, self.wins[here]
        return backend, f"no benchmark has shown yet that the kernel wins on {here}"


def gpu() -> Backend | None:
    """The GPU backend that MLX runs on by default here, if it does."""
    if mx.default_device().type != mx.DeviceType.gpu:
        return None
    return "metal" if mx.metal.is_available() else "cuda"


def is_auto() -> bool:
    """Whether nothing has been forced by `use`."""
    return _choice == "auto"


class use:
    """Force what the operations of this room run on, at once and for the whole process.

        kernels.use("ops")
        with kernels.use("metal"):  # until the end of the block
            ...

    A forced kernel still makes way for plain MLX where it is not made for the shapes.

    Args:
        choice: "metal", "cuda", "ops" (plain MLX), or "auto": a kernel where it is known to win.

    Raises:
        BackendNotAvailableError: MLX does not run on that backend here.
        ValueError: there is no such choice.
    """

    def __init__(self, choice: Choice):
        global _choice
        if choice not in get_args(Choice):
            raise ValueError(f"{choice!r} is none of {', '.join(get_args(Choice))}")
        here = gpu()
        if choice in ("metal", "cuda") and choice != here:
            raise BackendNotAvailableError(
                f"kernels cannot run on {choice}: MLX runs on {here or 'the CPU'} here; "
                'use "auto" or "ops"'
            )
        self._before: Choice = _choice
        _choice = choice

    def __enter__(self) -> use:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        global _choice
        _choice = self._before


class Shaped(Protocol):
    """An array, or what stands for one."""

    @property
    def shape(self) -> tuple[int, ...]: ...


def expect_shape(name: str, array: Shaped, shape: Sequence[int]) -> None:
    """Raise a ValueError that names the array if it has another shape."""
    if tuple(array.shape) != tuple(shape):
        raise ValueError(f"{name} has the shape {tuple(array.shape)}: expected {tuple(shape)}")


Pointwise = TypeVar("Pointwise", bound=Callable[..., mx.array])


def fused_on_gpu(function: Pointwise) -> Pointwise:
    """Let a pointwise function of arrays be one kernel of MLX's on a GPU, as a decorator.

    On the CPU, where a compiled function takes a second to build for each layout of its arrays, it
    is left as it is.
    """
    compiled = mx.compile(function, shapeless=True)

    @functools.wraps(function)
    def call(*arrays: mx.array) -> mx.array:
        return (function if gpu() is None else compiled)(*arrays)

    return call  # type: ignore[return-value]


@functools.lru_cache(maxsize=64)
def scalar(value: float) -> mx.array:
    """A number for a kernel, (1,) fp32; made once, as it does not change."""
    return mx.array([value], mx.float32)
