"""Bugs planted in the kernels, which the tests must notice: they prove the proof."""

from __future__ import annotations

import kernel_cases as cases
import metal_emu
import pytest
from kernel_bugs import BARRIER, RACE, READ, VOCODER, WRITE, Bug
from mlx_speak.kernels import dispatch

ATTENTION = [
    ("attention.h", BARRIER, "", RACE),
    ("attention.h", BARRIER, "", {**RACE, "occurrence": 1}),
    ("attention.h", BARRIER, "simdgroup_barrier(mem_flags::mem_threadgroup);", RACE),
    ("attention.h", BARRIER, f"if (group < 8) {{ {BARRIER} }}", {"says": "threadgroup_barrier"}),
    ("attention.h", "metal::max(top, highests[other])", "highests[other]", {}),
    ("attention.h", "sum[i] * kept", "sum[i]", {}),
    ("attention.h", "total * kept", "total", {}),
    ("attention.h", "if (lane == 0) {\n    totals", "if (total > 0.0f) {\n    totals", {}),
    ("attention.h", "score = simd_sum(score);", "if (query[0] > 0.0f) score = simd_sum(score);",
     {"says": "divergence"}),
    ("attention.h", "highests[group] = highest;", "highests[group + 1] = highest;", WRITE),
    ("attention.h", "metal::rsqrt(float(32 * ELEMENTS))", "1.0f", {}),
    ("attention.h", "d += GROUPS * 32", "d += 32", RACE),
]  # fmt: skip

PROJECTION = [
    ("reduction.h", BARRIER, "", RACE),
    ("projection.h", "add_up<GROUPS>(part, variances", "add_up<GROUPS>(part, means", RACE),
    (
        "projection.h",
        "const float centred = float(own[d * stride]) - mean[row]",
        "const float centred = float(own[d * stride])",
        {},
    ),
    ("projection.h", "d = group * 32 + lane; d < dims", "d = group * 32 + lane; d <= dims", READ),
    ("projection.h", "metal::max(x, 0.0f)", "x", {}),
    ("projection.h", "0.044715f * x * x * x", "0.044715f * x", {}),
    ("projection.h", "sum = simd_sum(sum);", "", {}),
    ("projection.h", "output * residual_stride", "output", {}),
]

BODIES = [
    ("first + i < outputs) {", "true) {", READ),
    ("out + int64_t(row) * outputs", "out", {}),
]

DENSE = [
    ("begin = lane * CHUNK", "begin = lane", {}),
    ("first + i < outputs && j", "j", READ),
    ("metal::min(CHUNK, rows.inputs - begin)", "CHUNK", READ),
    ("(begin + j) * stride", "begin + j + 1", {}),
]
QUANTIZED = [
    ("begin = lane * CHUNK", "begin = lane", {}),
    ("there ? weight[", "true ? weight[", READ),
    ("(1u << BITS) - 1u", "15u", {}),
    ("BITS * (j % PER_WORD)", "BITS * (PER_WORD - 1 - j % PER_WORD)", {}),
    ("begin / GROUP_SIZE", "0", {}),
    ("total += value", "total = value", {}),
]

BUGS = [
    *(Bug(operation, file, right, wrong, **how)
      for operation in ("decode_attention", "cross_attention")
      for file, right, wrong, how in ATTENTION),
    Bug("decode_attention", "decode_attention.metal", "slot < slots", "slot < length"),
    Bug("decode_attention", "decode_attention.metal", "fresh <= t)", "fresh < t)"),
    Bug("decode_attention", "decode_attention.metal", "fresh <= t)", "true)"),
    Bug("decode_attention", "decode_attention.metal", "if (fresh < 0)", "if (fresh <= 0)"),
    Bug("decode_attention", "decode_attention.metal", "slot * mask_strides[3]", "slot"
        " * mask_strides[3] + 1"),
    Bug("decode_attention", "decode_attention.metal", "int slot = group;", "int slot = lane % 16;",
        says="divergence"),
    Bug("decode_attention", "decode_attention.metal", "slot < slots", "slot <= slots", **READ),
    Bug("decode_attention", "decode_attention.metal", "all_keys[size + at] = T(value",
        "all_keys[at] = T(value"),
    Bug("decode_attention", "decode_attention.metal", "extended + (sentence * heads + head)",
        "extended + sentence * heads", **RACE),
    Bug("decode_attention", "decode_attention.metal", "+ lane + 32 * i", "+ lane + 33 * i",
        **WRITE),
    Bug("decode_attention", "decode_attention.metal", "own_out + t * heads",
        "own_out + (t + 1) * heads", **WRITE),
    Bug("decode_attention", "decode_attention.metal", "tokens * heads + head)", "tokens * heads)",
        **RACE),
    *(Bug(operation, file, right, wrong, **how)
      for operation in ("cross_attention", "query_attention")
      for file, right, wrong, how in (
        ("cross_attention.h", "continue;", "", {}),
        ("cross_attention.h", "slot += GROUPS", "slot += GROUPS + 1", {}),
        ("cross_attention.h", "slot < source_length", "slot <= source_length", READ),
        ("cross_attention.h", "values + slot", "keys + slot", {}),
        ("cross_attention.h", "out + t * out_stride", "out", {}),
        (f"{operation}.metal", "mask + sentence * mask_strides[0]", "mask", {}),
    )),
    *(Bug("query_attention", "query_attention.metal", right, wrong, **how)
      for right, wrong, how in (
        (BARRIER, "", RACE),
        ("x + sentence * x_strides[0]", "x", {}),
        ("head * HEAD_DIM + begin", "begin", {}),
        ("begin += GROUPS * OUTPUTS", "begin += GROUPS * OUTPUTS + 1", {}),
        ("queries[t * HEAD_DIM + begin", "queries[begin", {}),
        ("BIAS ? sum +", "false ? sum +", {}),
        ("heads * HEAD_DIM, lane,\n    group", "HEAD_DIM, lane,\n    group", {}),
        ("float queries[QUERIES * HEAD_DIM]", "float queries[HEAD_DIM]",
         {"mode": "address", "says": "out of bounds"}),
    )),
    *(Bug("quantized_cross_attention", "quantized.h", right, wrong) for right, wrong in (
        ("BITS * (index % PER_WORD)", "0"),
        ("index / GROUP_SIZE", "0"),
        ("(1u << BITS) - 1u", "127u"),
        ("* float(code) +", "* float(code) -"),
    )),
    *(Bug("quantized_cross_attention", "quantized_cross_attention.metal", right, wrong, **how)
      for right, wrong, how in (
        ("own_key_offsets + slot * key_offsets_strides[2]", "own_key_offsets", {}),
        ("own_value_scales + slot", "own_key_scales + slot", {}),
        ("sentence * value_scales_strides[0]", "0", {}),
        ("continue;", "", {}),
        ("slot < source_length", "slot <= source_length", READ),
        ("own_out + t * heads", "own_out + (t + 4) * heads", WRITE),
    )),
    *(Bug("embedding", "embedding.metal", right, wrong, **how) for right, wrong, how in (
        ("weight + id * weight_strides[0]", "weight + token * weight_strides[0]", {}),
        ("id == BLANK ?", "false ?", {}),
        ("token * positions_strides[0]", "0", {}),
        ("number * scale[0]", "number", {}),
        ("offsets + id", "scales + id", {}),
        ("d < dims;", "d <= dims;", READ),
        ("out[token * dims + d]", "out[d]", RACE),
    )),
    Bug("embedding", "quantized.h", "index * stride", "index"),
    Bug("embedding", "quantized.h", "index / GROUP_SIZE", "0"),
    Bug("residual_layer_norm", "reduction.h", BARRIER, "", **RACE),
    Bug("residual_layer_norm", "reduction.h", "shared[group] =", "shared[group + 1] =", **WRITE),
    Bug("residual_layer_norm", "reduction.h", "if (lane == 0)", "if (lane == 0 && value != 0.0f)"
        " if (group > 0)"),
    Bug("residual_layer_norm", "residual_layer_norm.metal", "float(own_sum[d]);", "added;"),
    Bug("residual_layer_norm", "residual_layer_norm.metal", "parts_of_variance, lane",
        "parts_of_mean, lane", **RACE),
    Bug("residual_layer_norm", "residual_layer_norm.metal", "row * dims", "0", **RACE),
    Bug("residual_layer_norm", "residual_layer_norm.metal", "d < dims;", "d <= dims;", **READ),
    Bug("residual_layer_norm", "residual_layer_norm.metal", "variance + eps[0]",
        "variance - mean * mean"),
    Bug("residual_layer_norm", "residual_layer_norm.metal", "own_normed[d]", "own_normed[d + 1]",
        **WRITE),
    Bug("argmax", "argmax.h", BARRIER, "", **RACE),
    Bug("argmax", "argmax.h", BARRIER, f"if (group == 0) {{ {BARRIER} }}",
        says="already returned"),
    Bug("argmax", "argmax.h", "lane < uint(GROUPS)", "lane <= uint(GROUPS)", **READ),
    Bug("argmax", "argmax.h", "simd_min(best == highest ? at : NO_INDEX)",
        "simd_max(best == highest ? at : 0u)"),
    Bug("argmax", "argmax.h", "value > best", "value >= best"),
    Bug("argmax", "argmax.h", "values[group] = best", "values[0] = best", **RACE),
    Bug("argmax", "argmax_parts.metal", "begin + PART,", "begin + PART - 1,"),
    Bug("argmax", "argmax_parts.metal", "metal::min(begin + PART, int(logits_shape[1]))",
        "begin + PART", **READ),
    Bug("argmax", "argmax_parts.metal", "indices[row * parts + part]", "indices[part]", **RACE),
    Bug("argmax", "argmax_parts.metal", "-INFINITY", "0.0f"),
    Bug("argmax", "argmax_best.metal", "part < parts;", "part <= parts;", **READ),
    Bug("argmax", "argmax_best.metal", "out[row]", "out[0]", **RACE),
    *(Bug(operation, file, right, wrong, **how)
      for operation in ("projection", "quantized_projection")
      for file, right, wrong, how in PROJECTION),
    *(Bug(operation, f"{operation}.metal", right, wrong, **how)
      for operation in ("projection", "quantized_projection")
      for right, wrong, how in BODIES),
    *(Bug(operation, "products.h", right, wrong, **how)
      for operation, bugs in (("projection", DENSE), ("quantized_projection", QUANTIZED))
      for right, wrong, how in bugs),
    Bug("projection", "projection.metal", "row < rows && first", "first", **WRITE),
    Bug("quantized_projection", "quantized_projection.metal", "row < rows && first", "first",
        **READ),
    *(Bug("lstm", "lstm.metal", BARRIER, "", occurrence=i, **RACE) for i in range(3)),
    Bug("lstm", "lstm.metal", "length - 1 - step : step", "step : step"),
    Bug("lstm", "lstm.metal", "gates[HIDDEN + i]", "gates[2 * HIDDEN + i]"),
    Bug("lstm", "lstm.metal", "sum = simd_sum(sum);", ""),
    Bug("lstm", "lstm.metal", "i < HIDDEN; i += 32)", "i < HIDDEN - 1; i += 32)"),
    Bug("lstm", "lstm.metal", "gate < 4 * HIDDEN", "gate <= 4 * HIDDEN",
        mode="address", says="out of bounds"),
    Bug("lstm", "lstm.metal", "gate += GROUPS", "gate += GROUPS + 1"),
    Bug("lstm", "lstm.metal", "cells[i] = cell;", ""),
    Bug("lstm", "lstm.metal", "row * inputs_strides[0]", "0"),
    Bug("lstm", "lstm.metal", "direction * weights_strides[0]", "0"),
    Bug("lstm", "lstm.metal", "(row * length + t)", "t", **RACE),
    *VOCODER,
]  # fmt: skip


def plant(monkeypatch: pytest.MonkeyPatch, bug: Bug) -> None:
    """Have the kernels read the file with the bug in it."""
    read = dispatch.read

    def changed(name: str) -> str:
        text = read(name)
        if name != bug.file:
            return text
        parts = text.split(bug.right)
        assert len(parts) > bug.occurrence + 1, f"{bug.right!r} is no longer in {name}"
        at = bug.occurrence + 1
        return bug.right.join(parts[:at]) + bug.wrong + bug.right.join(parts[at:])

    monkeypatch.setattr(dispatch, "read", changed)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: f"{bug.operation}: {bug.wrong}")
def test_a_planted_bug_is_noticed(emulated, monkeypatch: pytest.MonkeyPatch, bug: Bug) -> None:
    plant(monkeypatch, bug)
    if bug.says:
        case = cases.SMALL[bug.operation][bug.case]
        with emulated(bug.mode), pytest.raises(metal_emu.KernelError, match=bug.says):
            case.operation(*case.arguments, **case.options)
        return

    def problem(case: cases.Case, schedule: metal_emu.Schedule) -> str | None:
        with emulated(schedule=schedule):
            return case.problem(case.operation)

    assert any(
        problem(case, schedule)
        for case in cases.SMALL[bug.operation]
        for schedule in metal_emu.SCHEDULES
    )


def test_every_operation_has_bugs_enough() -> None:
    for name in cases.SMALL:
        assert len([bug for bug in BUGS if bug.operation == name]) >= 5
