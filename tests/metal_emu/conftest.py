"""What the emulator's own tests share: kernels of a few lines, written in the tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import pytest
from support import needs_emulator


@pytest.fixture(autouse=True)
def _compilers() -> None:
    needs_emulator()


class SmallKernel:
    """A kernel that writes to one output, `out`."""

    def __init__(self, body: str, header: str = "", row_contiguous: bool = False):
        self.body, self.header, self.row_contiguous = body, header, row_contiguous

    def __call__(
        self,
        *inputs: Any,
        shape: Sequence[int] = (64,),
        dtype: mx.Dtype = mx.float32,
        threads: int | tuple[int, int, int] = 64,
        threadgroup: int | tuple[int, int, int] = 64,
        template: Sequence[tuple[str, Any]] | None = None,
        init_value: float | None = None,
    ) -> mx.array:
        """Run it over inputs that its body knows as a, b, c."""
        kernel: Any = mx.fast.metal_kernel(
            name="small",
            input_names=list("abc"[: len(inputs)]),
            output_names=["out"],
            source=self.body,
            header=self.header,
            ensure_row_contiguous=self.row_contiguous,
        )
        (out,) = kernel(
            inputs=list(inputs),
            output_shapes=[tuple(shape)],
            output_dtypes=[dtype],
            grid=(threads, 1, 1) if isinstance(threads, int) else threads,
            threadgroup=(threadgroup, 1, 1) if isinstance(threadgroup, int) else threadgroup,
            template=template,
            init_value=init_value,
        )
        return out


@pytest.fixture
def small() -> type[SmallKernel]:
    return SmallKernel
