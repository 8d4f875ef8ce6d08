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


def enliven(model) -> None:
    """Give a random model what training gives: gains, alphas and norms of all sizes, a pitch."""
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("weight_g"):
                parameter.mul_(torch.empty_like(parameter).uniform_(0.5, 1.5))
            elif ".alpha" in name:
                parameter.copy_(torch.empty_like(parameter).uniform_(0.2, 3))
            elif ".norm" in name and name.endswith(".norm.weight"):
                parameter.copy_(torch.empty_like(parameter).uniform_(0.8, 1.2))
            elif name.endswith((".norm.bias", "gamma", "beta")):
                parameter.add_(torch.empty_like(parameter).normal_(0, 0.1))
        model.predictor.F0_proj.weight.mul_(100)
        model.predictor.F0_proj.bias.fill_(60)
        model.predictor.duration_proj.linear_layer.bias.fill_(-2.5)


def save_as_published(model, path) -> None:
    """Write hexgrad's layout: five state dicts, their names led by the 'module.' of a wrapper."""
    import torch

    parts = ("bert", "bert_encoder", "predictor", "decoder", "text_encoder")
    torch.save(
        {
            part: {f"module.{k}": v for k, v in getattr(model, part).state_dict().items()}
            for part in parts
        },
        path,
    )


def stages(
    model, input_ids: np.ndarray, style: np.ndarray, excitation=None, speed: float = 1.0, raw=False
) -> dict[str, np.ndarray]:
    """Every intermediate of `KModel.forward_with_tokens`, channels last, as NumPy arrays.

    Args:
        excitation: None, or a function from the number of samples to the harmonic source
            (samples,), which replaces the model's own random one.
        raw: leave the sign of phases ±π to rounding. The first frame mirrors itself, so its
            spectrum is real, and the FFT's rounding decides between π and −π; without `raw` it
            is π.
    """
    import torch

    out: dict[str, np.ndarray] = {}
    hooks = []

    def keep(name, module, turn):
        def hook(_module, _inputs, output):
            output = output[0] if isinstance(output, tuple) else output
            array = output.detach().numpy().copy()  # the reference adds to some in place
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

    transform = generator.stft.transform

    def settled_transform(signal):
        magnitude, phase = transform(signal)
        if not raw:
            phase[..., 0] = torch.where(phase[..., 0].abs() > torch.pi / 2, torch.pi, 0.0)
        out["spectrum"] = torch.cat([magnitude, phase], dim=1).numpy().swapaxes(1, 2)
        return magnitude, phase

    curves = model.predictor.F0Ntrain

    def keep_curves(x, s):
        f0, energy = curves(x, s)
        out["f0"], out["energy"] = f0.numpy(), energy.numpy()
        return f0, energy

    generator.m_source.forward = source
    generator.stft.transform = settled_transform
    model.predictor.F0Ntrain = keep_curves
    try:
        with torch.no_grad():
            audio, durations = model.forward_with_tokens(
                torch.tensor(input_ids), torch.tensor(style), speed
            )
    finally:
        del generator.m_source.forward, generator.stft.transform, model.predictor.F0Ntrain
        for hook in hooks:
            hook.remove()
    out["samples"], out["durations"] = audio.numpy(), durations.numpy()
    return out


def exact_source(model, f0: np.ndarray) -> np.ndarray:
    """The reference's harmonic source in double precision, all voiced and without noise.

    Args:
        f0: (1, length) in hertz.

    Returns:
        (1, samples).
    """
    import torch

    source = model.decoder.generator.m_source
    generator = source.l_sin_gen
    upsampled = np.repeat(f0.astype(np.float64), int(generator.upsample_scale), axis=1)
    harmonics = torch.tensor(upsampled)[..., None] * torch.arange(1, generator.dim + 1)
    with torch.no_grad():
        sines = generator._f02sine(harmonics) * generator.sine_amp
        weight, bias = source.l_linear.weight.double(), source.l_linear.bias.double()
        return torch.tanh(sines @ weight[0] + bias).numpy()


def residual(ours, reference) -> float:
    """|ours − reference| / |reference|, over all values."""
    ours, reference = np.asarray(ours, np.float64), np.asarray(reference, np.float64)
    assert ours.shape == reference.shape, (ours.shape, reference.shape)
    return float(np.linalg.norm(ours - reference) / np.linalg.norm(reference))
