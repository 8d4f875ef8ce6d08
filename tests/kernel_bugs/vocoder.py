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
    ("instance_norm_parts.metal", "(row * length + t)", "(row * length + t + 1)", WRITE),
    ("instance_norm.metal", "if (t < length)", "", {**WRITE, "case": 2}),
    ("instance_norm.metal", "channel * gamma_strides[2]", "lane * gamma_strides[2]", {}),
]

_CONV_TRANSPOSE1D = [
    ("conv_transpose1d.metal", BARRIER, "", RACE),
    (
        "conv_transpose1d.metal",
        "first = group * ROWS + TAPS - 1 - tap",
        "first = group * ROWS + tap",
        {},
    ),
    ("conv_transpose1d.metal", "depth < channels", "depth < DEPTH", {}),
    ("conv_transpose1d.metal", "k < kernel_size &&", "", {**READ, "case": 1}),
    ("conv_transpose1d.metal", "frame < length &&", "", READ),
    ("conv_transpose1d.metal", "t < frames", "t <= frames", WRITE),
    ("conv_transpose1d.metal", "(row * frames + t)", "t", RACE),
    ("conv_transpose1d.metal", "slope[0] * value", "0.0f", {}),
    (
        "conv_transpose1d.metal",
        "i / DEPTH % COLUMNS",
        "i / DEPTH",
        {"mode": "address", "says": "out of bounds"},
    ),
]

_ISTFT = [
    ("istft.metal", BARRIER, "", RACE),
    ("istft.metal", "frame < frames) {\n    along", "true) {\n    along", READ),
    (
        "istft.metal",
        "if (frame >= 0 && frame < frames) {\n      for",
        "if (frame >= 0) {\n      for",
        {},
    ),
    ("istft.metal", "at % HOP + overlap * HOP", "at % HOP + (OVERLAP - 1 - overlap) * HOP", {}),
    ("istft.metal", "sample >= samples", "sample > samples", WRITE),
    ("istft.metal", "out[row * samples + sample]", "out[sample]", RACE),
    ("istft.metal", "weight * weight", "weight", {}),
    ("istft.metal", "SPECTRA * (ROWS / 2); i", "HOPS * (ROWS / 2); i", {}),
]

_TOP_K = [
    ("top_k.h", BARRIER, "", RACE),
    ("top_k.h", BARRIER, "", {**RACE, "occurrence": 1}),
    ("top_k.h", "turn = 1 - turn;", "", RACE),
    ("top_k.h", "~bits : bits | 0x80000000u", "bits : bits | 0x80000000u", {}),
    ("top_k.h", "PART - 1 - position)", "position)", {}),
    ("top_k_parts.metal", "begin + position < length", "begin + position <= length", READ),
    ("top_k_parts.metal", "values[part * k[0]", "values[row * k[0]", RACE),
    ("top_k_parts.metal", "begin + position_of", "position_of", {}),
    ("top_k_best.metal", "position < candidates &&", "", READ),
    ("top_k_best.metal", "= own_indices[position_of<PART>(key)]", "= position_of<PART>(key)", {}),
    ("top_k_best.metal", "scores[row * k", "scores[row * k + 1", WRITE),
]

VOCODER = [
    *(Bug("instance_norm", file, right, wrong, **how)
      for file, right, wrong, how in _INSTANCE_NORM),
    *(Bug("conv_transpose1d", file, right, wrong, **how)
      for file, right, wrong, how in _CONV_TRANSPOSE1D),
    *(Bug("istft", file, right, wrong, **how) for file, right, wrong, how in _ISTFT),
    *(Bug("top_k", file, right, wrong, **how) for file, right, wrong, how in _TOP_K),
]  # fmt: skip
