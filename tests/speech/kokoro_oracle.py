"""The `kokoro` package's torch model as an oracle, stage by stage.

Its package `__init__` imports a phonemizer, so the model's modules are imported past it.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from typing import Any

import numpy as np

ONNX_DURATION_TOLERANCE = 1


def import_kokoro() -> types.ModuleType:
    """The module `kokoro.model`, of the installed package or an ImportError."""
    if "kokoro" not in sys.modules:
        spec = importlib.util.find_spec("kokoro")
        if spec is None or spec.submodule_search_locations is None:
            raise ImportError("the kokoro package is not installed")
        package = types.ModuleType("kokoro")
        package.__path__ = list(spec.submodule_search_locations)
        sys.modules["kokoro"] = package
    return importlib.import_module("kokoro.model")


def build(config: dict[str, Any], weights: dict[str, np.ndarray] | None, tmp_path, *, norm=False):
    """A `KModel` in evaluation mode.

    Args:
        config: as config.json.
        weights: folded weights by the reference's names; None leaves the random ones.
        tmp_path: for the empty checkpoint that the constructor insists on reading.
        norm: keep torch's weight norm, which gives NaN for a filter of zeros.
    """
    import torch

    module = import_kokoro()
    if not norm:
        for name in ("kokoro.istftnet", "kokoro.modules"):
            sys.modules[name].weight_norm = lambda conv: conv
    else:
        from torch.nn.utils import weight_norm

        for name in ("kokoro.istftnet", "kokoro.modules"):
            sys.modules[name].weight_norm = weight_norm
    empty = tmp_path / "empty.pth"
    torch.save({}, empty)
    model = module.KModel(repo_id="hexgrad/Kokoro-82M", config=config, model=str(empty)).eval()
    if weights is not None:
        state = {name: torch.tensor(array) for name, array in weights.items()}
        missing, unexpected = model.load_state_dict(state, strict=False)
        # Instance norms have no parameters in the published weights, the pooler none in the export.
        unexplained = [n for n in missing if ".norm." not in n and ".pooler." not in n]
        assert not unexplained, unexplained
        assert not unexpected, unexpected
    return model


def stages(model, input_ids: np.ndarray, style: np.ndarray, excitation, speed: float = 1.0):
    """Every intermediate of `KModel.forward_with_tokens`, channels last, as NumPy arrays.

    Args:
        excitation: None, or a function from the number of samples to the harmonic source
            (samples,), which replaces the model's own random one.
    """
    import torch

    out: dict[str, np.ndarray] = {}
    hooks = []

    def keep(name, module, turn):
        def hook(_module, _inputs, output):
            output = output[0] if isinstance(output, tuple) else output
            array = output.detach().numpy()
            out[name] = array.swapaxes(1, 2) if turn else array

        hooks.append(module.register_forward_hook(hook))

    keep("bert", model.bert, False)
    keep("bert_proj", model.bert_encoder, False)
    keep("features", model.predictor.text_encoder, False)
    keep("text", model.text_encoder, True)
    keep("frame_lstm", model.predictor.shared, False)
    keep("encode", model.decoder.encode, True)
    for i, block in enumerate(model.decoder.decode):
        keep(f"decode.{i}", block, True)
    generator = model.decoder.generator
    for i in range(generator.num_upsamples):
        keep(f"source_conv.{i}", generator.noise_convs[i], True)
        keep(f"source_block.{i}", generator.noise_res[i], True)
        keep(f"up.{i}", generator.ups[i], True)
    for i, block in enumerate(generator.resblocks):
        keep(f"block.{i}", block, True)
    keep("conv_post", generator.conv_post, True)

    original = generator.m_source.forward

    def source(f0):
        out["f0_upsampled"] = f0.numpy()[..., 0]
        if excitation is None:
            merged, noise, voiced = original(f0)
        else:
            merged = torch.tensor(excitation(f0.shape[1]), dtype=torch.float32)[None, :, None]
            noise = voiced = None
        out["excitation"] = merged.numpy()[..., 0]
        return merged, noise, voiced

    curves = model.predictor.F0Ntrain

    def keep_curves(x, s):
        f0, energy = curves(x, s)
        out["f0"], out["energy"] = f0.numpy(), energy.numpy()
        return f0, energy

    generator.m_source.forward = source
    model.predictor.F0Ntrain = keep_curves
    try:
        with torch.no_grad():
            audio, durations = model.forward_with_tokens(
                torch.tensor(input_ids), torch.tensor(style), speed
            )
    finally:
        del generator.m_source.forward, model.predictor.F0Ntrain
        for hook in hooks:
            hook.remove()
    out["samples"], out["durations"] = audio.numpy(), durations.numpy()
    return out


def residual(ours, reference) -> float:
    """|ours − reference| / |reference|, over all values."""
    ours, reference = np.asarray(ours, np.float64), np.asarray(reference, np.float64)
    assert ours.shape == reference.shape, (ours.shape, reference.shape)
    return float(np.linalg.norm(ours - reference) / np.linalg.norm(reference))
