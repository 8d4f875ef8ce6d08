"""Arrays in MLX's affine quantisation."""

from __future__ import annotations

from dataclasses import dataclass

import mlx.core as mx

from .dispatch import expect_shape


@dataclass(frozen=True)
class QuantizedArray:
    """Numbers of 4 or 8 bits, with a scale and an offset for every `group_size` of them.

    Raises:
        ValueError: the shapes do not belong together.
    """

    packed: mx.array
    """(..., length · bits / 32), uint32."""
    scales: mx.array
    """(..., length / group_size)."""
    offsets: mx.array
    """As `scales`; MLX calls them biases."""
    group_size: int
    bits: int

    def __post_init__(self) -> None:
        packed = (*self.shape[:-1], self.shape[-1] * self.bits // 32)
        expect_shape("packed", self.packed, packed)
        expect_shape("offsets", self.offsets, self.scales.shape)

    @classmethod
    def of(cls, array: mx.array, *, group_size: int = 64, bits: int = 8) -> QuantizedArray:
        """Quantise (..., length), of which `group_size` is a divisor."""
        return cls(*mx.quantize(array, group_size, bits), group_size, bits)

    def dequantized(self) -> mx.array:
        """(..., length), in the dtype of the scales."""
        return mx.dequantize(
            self.packed, self.scales, self.offsets, group_size=self.group_size, bits=self.bits
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """(..., length)."""
        return (*self.scales.shape[:-1], self.scales.shape[-1] * self.group_size)

    @property
    def arrays(self) -> tuple[mx.array, mx.array, mx.array]:
        """What a kernel takes."""
        return self.packed, self.scales, self.offsets

    @property
    def constants(self) -> dict[str, int]:
        """What a kernel is compiled for."""
        return {"GROUP_SIZE": self.group_size, "BITS": self.bits}

    def fits(self, dtype: mx.Dtype) -> bool:
        """Whether the kernels take it beside arrays of a dtype."""
        return (
            self.bits in (4, 8)
            and self.packed.dtype == mx.uint32
            and self.scales.dtype == self.offsets.dtype == dtype
        )
