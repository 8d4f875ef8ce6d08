"""Bugs in the kernels of the vocoders."""

from __future__ import annotations

from .bug import BARRIER, RACE, READ, WRITE, Bug

_INSTANCE_NORM = [
    ("instance_norm.h", BARRIER, "", RACE),
    ("instance_norm.h", "centred = kept[i] - mean", "centred = kept[i]", {}),
    ("instance_norm.h", "is_channel && row < count", "row <= count", {**READ, "case": 2}),
    ("instance_moments.metal", "sums, squares, lane", "sums, sums, lane", RACE),
    ("instance_moments.metal", "begin * x_strides[1]", "begin", {}),
    ("instance_moments.metal", "means[block *", "means[block / parts *", RACE),
    ("instance_norm_parts.metal", "+ apart * apart", "", {}),
    ("instance_norm_parts.metal", "rows * float(own_means", "float(own_means", {}),
    ("instance_norm_parts.metal", "begin + GROUPS * ROWS, length", "begin, length", {}),
    ("instance_norm_parts.metal", "(row * length + t)", "(row * length + t + 1)", WRITE),
    ("instance_norm.metal", "if (t < length)", "", {**WRITE, "case": 2}),
    ("instance_norm.metal", "channel * gamma_strides[2]", "lane * gamma_strides[2]", {}),
]

VOCODER = [
    *(Bug("instance_norm", file, right, wrong, **how)
      for file, right, wrong, how in _INSTANCE_NORM),
]  # fmt: skip
