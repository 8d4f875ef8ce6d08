"""XTTS v2 from coqui's checkpoints: parameters by our names, in MLX's axes.

Weight norm and batch norm are folded: a batch norm behind a convolution goes into its weights,
the others become one scale and shift a channel.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from mlx_speak.errors import ModelFormatError

from .parameters import convolution_axes, fold_weight_norm, stage_blocks
from .safetensors_file import widen

Weights = dict[str, np.ndarray]

_BATCH_NORM_EPS = 1e-5
_WEIGHT_NORM = "parametrizations.weight.original0", "parametrizations.weight.original1"

_UNUSED = re.compile(
    r"gpt\.text_head\.|gpt\.gpt_inference\.|gpt\.gpt\.w[tp]e\.|dvae\.|torch_mel_|"
    r".*num_batches_tracked$|.*\.torch_spec\.|gpt\.gpt\.h\.\d+\.attn\.(masked_)?bias$"
)
"""What a checkpoint may hold besides: the training's, and what is computed here."""

_RENAMES = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^gpt\.conditioning_encoder\.", "conditioner.encoder."),
        (r"^(conditioner\.encoder)\.attn\.(\d+)\.norm\.", r"\1.blocks.\2.norm."),
        (
            r"^(conditioner\.encoder)\.attn\.(\d+)\.qkv\.",
            r"\1.blocks.\2.attention.query_key_value.",
        ),
        (r"^(conditioner\.encoder)\.attn\.(\d+)\.proj_out\.", r"\1.blocks.\2.attention.output."),
        (r"^gpt\.conditioning_perceiver\.norm\.gamma$", "conditioner.resampler.norm.weight"),
        (r"^gpt\.conditioning_perceiver\.", "conditioner.resampler."),
        (r"\.layers\.(\d+)\.0\.to_q\.", r".layers.\1.attention.query."),
        (r"\.layers\.(\d+)\.0\.to_kv\.", r".layers.\1.attention.key_value."),
        (r"\.layers\.(\d+)\.0\.to_out\.", r".layers.\1.attention.output."),
        (r"\.layers\.(\d+)\.1\.0\.", r".layers.\1.feed_forward.up."),
        (r"\.layers\.(\d+)\.1\.2\.", r".layers.\1.feed_forward.down."),
        (r"^gpt\.gpt\.h\.(\d+)\.ln_1\.", r"gpt.layers.\1.attention_norm."),
        (r"^gpt\.gpt\.h\.(\d+)\.attn\.c_attn\.", r"gpt.layers.\1.attention.query_key_value."),
        (r"^gpt\.gpt\.h\.(\d+)\.attn\.c_proj\.", r"gpt.layers.\1.attention.output."),
        (r"^gpt\.gpt\.h\.(\d+)\.ln_2\.", r"gpt.layers.\1.feed_forward_norm."),
        (r"^gpt\.gpt\.h\.(\d+)\.mlp\.c_fc\.", r"gpt.layers.\1.feed_forward.up."),
        (r"^gpt\.gpt\.h\.(\d+)\.mlp\.c_proj\.", r"gpt.layers.\1.feed_forward.down."),
        (r"^gpt\.gpt\.ln_f\.", "gpt.norm."),
        (r"^gpt\.mel_embedding\.", "gpt.audio_embedding."),
        (r"^gpt\.mel_pos_embedding\.emb\.", "gpt.audio_positions."),
        (r"^gpt\.text_pos_embedding\.emb\.", "gpt.text_positions."),
        (r"^gpt\.mel_head\.", "gpt.head."),
        (r"^hifigan_decoder\.speaker_encoder\.", "speaker_encoder."),
        (r"^hifigan_decoder\.waveform_decoder\.", "decoder."),
        (r"^decoder\.cond_layer\.", "decoder.condition."),
        (r"^decoder\.conds\.(\d+)\.", r"decoder.stages.\1.condition."),
        (r"^decoder\.ups\.(\d+)\.", r"decoder.stages.\1.up."),
        (r"\.convs1\.", ".dilated."),
        (r"\.convs2\.", ".plain."),
        (r"^speaker_encoder\.conv1\.", "speaker_encoder.conv."),
        (r"^speaker_encoder\.bn1\.", "speaker_encoder.norm."),
        (r"^speaker_encoder\.layer(\d+)\.(\d+)\.", r"speaker_encoder.layers.\1.\2."),
        (r"\.bn1\.", ".norm."),
        (r"\.se\.fc\.0\.", ".squeeze."),
        (r"\.se\.fc\.2\.", ".excite."),
        (r"\.downsample\.0\.", ".shortcut."),
        (r"^speaker_encoder\.attention\.0\.", "speaker_encoder.attention_in."),
        (r"^speaker_encoder\.attention\.2\.", "speaker_encoder.attention_norm."),
        (r"^speaker_encoder\.attention\.3\.", "speaker_encoder.attention_out."),
        (r"^speaker_encoder\.fc\.", "speaker_encoder.embedding."),
    )
]


def parameters(torch_state: Mapping[str, np.ndarray], heads: int) -> Weights:
    """The parameters of `XTTS` from coqui's state dict, in float32.

    Args:
        torch_state: by coqui's names, with the prefix `xtts.` of fine-tunes or without; what a
            trainer left beside them is passed over.
        heads: `gpt_n_heads`, which the conditioning encoder has too.

    Raises:
        ModelFormatError: a weight norm or batch norm is not whole.
    """
    state = {
        name.removeprefix("xtts."): np.asarray(widen(array), np.float32)
        for name, array in torch_state.items()
        if not _UNUSED.match(name.removeprefix("xtts."))
    }
    try:
        state = _fold_batch_norm(fold_weight_norm(state, *_WEIGHT_NORM))
    except KeyError as error:
        raise ModelFormatError(f"not an XTTS checkpoint: it lacks {error}") from error
    blocks = _count(state, r"hifigan_decoder\.waveform_decoder\.resblocks\.(\d+)\.")
    stages = _count(state, r"hifigan_decoder\.waveform_decoder\.ups\.(\d+)\.")
    weights: Weights = {}
    for name, array in state.items():
        if re.search(r"conditioning_encoder\.attn\.\d+\.qkv\.", name):
            array = _split_heads_last(array, heads)
        if ".se.fc." in name:
            array = _never_empty(array)
        weights[_renamed(name, blocks // max(stages, 1))] = _mlx_axes(name, array)
    return weights


def dimensions(torch_state: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What coqui's config.json leaves to its code, for ours: from the shapes of a state dict.

    Raises:
        ModelFormatError: it is not XTTS's.
    """
    state = {name.removeprefix("xtts."): array for name, array in torch_state.items()}
    encoder = "hifigan_decoder.speaker_encoder"
    try:
        return {
            "gpt_number_text_tokens": state["gpt.text_embedding.weight"].shape[0],
            "upsample_initial_channel": state[
                "hifigan_decoder.waveform_decoder.conv_pre.weight"
            ].shape[0],
            "speaker_num_filters": [
                state[f"{encoder}.layer{i}.0.conv1.weight"].shape[0] for i in range(1, 5)
            ],
            "speaker_layers": [
                _count(state, rf"{encoder}\.layer{i}\.(\d+)\.") for i in range(1, 5)
            ],
        }
    except KeyError as error:
        raise ModelFormatError(f"not an XTTS checkpoint: it lacks {error}") from error


def _count(state: Mapping[str, np.ndarray], pattern: str) -> int:
    numbers = [int(match[1]) for name in state if (match := re.match(pattern, name))]
    return max(numbers, default=-1) + 1


_NORMALISED = re.compile(r"(.*)\.(?:bn2|downsample\.1)\.running_var$")


def _fold_batch_norm(state: Weights) -> Weights:
    """Batch norms as a scale and a shift, those right behind a convolution within it."""
    folded = {name: array for name, array in state.items() if ".running_" not in name}
    for name in [name for name in state if name.endswith(".running_var")]:
        stem = name.removesuffix(".running_var")
        variance = state[name].astype(np.float64) + _BATCH_NORM_EPS
        scale = state[f"{stem}.weight"] / np.sqrt(variance)
        shift = state[f"{stem}.bias"] - state[f"{stem}.running_mean"] * scale
        if match := _NORMALISED.match(name):
            conv = f"{match[1]}.{'conv2' if stem.endswith('bn2') else 'downsample.0'}"
            weight = state[f"{conv}.weight"] * scale[:, None, None, None]
            del folded[f"{stem}.weight"], folded[f"{stem}.bias"]
            stem, scale = conv, weight
        folded[f"{stem}.weight"] = scale.astype(np.float32)
        folded[f"{stem}.bias"] = shift.astype(np.float32)
    return folded


def _split_heads_last(array: np.ndarray, heads: int) -> np.ndarray:
    """Rows in the order (head, q|k|v, channel) → (q|k|v, head, channel)."""
    split = array.reshape(heads, 3, -1, *array.shape[1:]).swapaxes(0, 1)
    return np.ascontiguousarray(split).reshape(array.shape)


def _never_empty(array: np.ndarray) -> np.ndarray:
    """Fewer than eight channels are squeezed to none, which one of zeros equals."""
    if array.size:
        return array
    return np.zeros([max(length, 1) for length in array.shape], np.float32)


def _renamed(name: str, blocks_per_stage: int) -> str:
    name = stage_blocks(name, "hifigan_decoder.waveform_decoder", blocks_per_stage)
    for pattern, replacement in _RENAMES:
        name = pattern.sub(replacement, name)
    if match := re.match(r"speaker_encoder\.layers\.(\d+)\.(.*)", name):
        name = f"speaker_encoder.layers.{int(match[1]) - 1}.{match[2]}"  # counted from one
    return name


_POINTWISE = re.compile(
    r".*(\.init|\.qkv|\.proj_out|\.cond_layer|\.conds\.\d+|\.attention\.[03])\."
)


def _mlx_axes(name: str, array: np.ndarray) -> np.ndarray:
    if array.ndim == 4:  # (out, in, bands, frames) → (out, frames, bands, in)
        return np.ascontiguousarray(array.transpose(0, 3, 2, 1))
    if name.startswith("gpt.gpt.h.") and array.ndim == 2:  # (in, out)
        return np.ascontiguousarray(array.T)
    if array.ndim != 3:
        return array
    if _POINTWISE.match(name):
        return array[:, :, 0]
    return convolution_axes(array, transposed=".ups." in name)
