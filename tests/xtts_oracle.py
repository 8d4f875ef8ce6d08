"""An XTTS of random weights in coqui's layout, and what coqui-tts makes of it.

    $(python tests/coqui.py) tests/xtts_oracle.py FOLDER [--size tiny|true] [--seed 0]

Writes config.json, model.pth and, unless `--weights-only`, oracle.npz. No weight is left as it was
initialised, for zeros and ones would hide mistakes. Text is token ids, so no vocabulary is needed.
"""

from __future__ import annotations

import argparse
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)

import torch  # noqa: E402
import TTS.tts.models.xtts as coqui  # noqa: E402
from transformers import LogitsProcessor, LogitsProcessorList  # noqa: E402
from TTS.encoder.models.resnet import ResNetSpeakerEncoder  # noqa: E402
from TTS.tts.configs.xtts_config import XttsArgs, XttsConfig  # noqa: E402
from TTS.tts.layers.xtts.hifigan_decoder import HifiDecoder  # noqa: E402

SIZES: dict[str, dict[str, int]] = {
    "tiny": {
        "gpt_max_audio_tokens": 45,
        "gpt_max_text_tokens": 40,
        "gpt_layers": 3,
        "gpt_n_model_channels": 96,
        "gpt_n_heads": 3,
        "gpt_number_text_tokens": 300,
        "gpt_num_audio_tokens": 130,
        "gpt_start_audio_token": 128,
        "gpt_stop_audio_token": 129,
        "decoder_input_dim": 96,
        "d_vector_dim": 40,
    },
    "true": {
        "gpt_max_audio_tokens": 605,
        "gpt_max_text_tokens": 402,
        "gpt_layers": 30,
        "gpt_n_model_channels": 1024,
        "gpt_n_heads": 16,
        "gpt_number_text_tokens": 6681,
        "gpt_num_audio_tokens": 1026,
        "gpt_start_audio_token": 1024,
        "gpt_stop_audio_token": 1025,
    },
}
SETTINGS = {"temperature": 0.75, "repetition_penalty": 5.0, "length_penalty": 1.0, "top_p": 0.85}


def build(size: str) -> tuple[coqui.Xtts, XttsConfig]:
    """The reference, its weights as its code initialises them."""
    arguments = XttsArgs(
        gpt_max_prompt_tokens=70,
        gpt_use_perceiver_resampler=True,
        gpt_code_stride_len=1024,
        gpt_start_text_token=261,
        gpt_stop_text_token=0,
        **SIZES[size],
    )
    config = XttsConfig(model_args=arguments, gpt_cond_len=30, gpt_cond_chunk_len=4, max_ref_len=30)
    model = coqui.Xtts(config)
    if size == "tiny":
        dims = arguments.d_vector_dim
        decoder = HifiDecoder(
            decoder_input_dim=arguments.decoder_input_dim,
            d_vector_dim=dims,
            upsample_initial_channel_decoder=48,
        )
        decoder.speaker_encoder = ResNetSpeakerEncoder(
            input_dim=64,
            proj_dim=dims,
            layers=[2, 1, 2, 1],
            num_filters=[8, 8, 16, 24],
            log_input=True,
            use_torch_spec=True,
            audio_config=decoder.speaker_encoder_audio_config,
        )
        model.hifigan_decoder = decoder
    return model, config


def randomize(model: coqui.Xtts, seed: int) -> None:
    """Draw every parameter and every statistic of a batch norm."""
    generator = torch.Generator().manual_seed(seed)

    def normal(tensor: torch.Tensor, deviation: float, mean: float = 0.0) -> None:
        tensor.copy_(torch.empty(tensor.shape).normal_(mean, deviation, generator=generator))

    with torch.no_grad():
        for name, tensor in sorted(model.named_parameters()):
            kind = name.rpartition(".")[2]
            if tensor.numel() == 0:
                continue
            if kind == "original0":
                normal(tensor, 0.07, 0.7)
            elif kind == "original1":
                normal(tensor, 1.0)
            elif tensor.ndim == 1:
                is_scale = kind in ("weight", "gamma")
                normal(tensor, 0.1 if is_scale else 0.05, float(is_scale))
            elif "embedding" in name or name.endswith("perceiver.latents"):
                normal(tensor, 0.5 if "mel_embedding" in name else 0.1)
            elif name.startswith("gpt.gpt.h."):  # (in, out)
                normal(tensor, tensor.shape[0] ** -0.5)
            else:
                normal(tensor, tensor[0].numel() ** -0.5)
        for name, tensor in sorted(model.named_buffers()):
            if name.endswith("running_mean"):
                normal(tensor, 0.1)
            if name.endswith("running_var"):
                tensor.copy_(torch.empty(tensor.shape).uniform_(0.6, 1.2, generator=generator))
        model.mel_stats.copy_(torch.empty(80).uniform_(0.8, 1.6, generator=generator))
        model.gpt.mel_head.weight.mul_(3.0)
        model.gpt.mel_head.bias[model.gpt.stop_audio_token] -= 2.4  # not to stop at once


def recording(seconds: float, rate: int) -> np.ndarray:
    """(n,) float32, a vowel of sorts whose pitch and loudness move."""
    times = np.arange(int(seconds * rate)) / rate
    wave = sum(
        np.sin(2 * np.pi * (120 * k + 8 * np.sin(6 * np.pi * times)) * times) / k
        for k in range(1, 10)
    )
    wave = wave * (0.5 + 0.5 * np.sin(4 * np.pi * times))
    noise = np.random.default_rng(5).standard_normal(len(times))
    return (0.3 * wave / np.abs(wave).max() + 0.01 * noise).astype(np.float32)


class Tap(LogitsProcessor):
    """Keeps the scores that pass between the other processors."""

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.seen.append(scores.clone())
        return scores


def results(model: coqui.Xtts, text_ids: list[int], limit: int | None) -> dict[str, np.ndarray]:
    """Every stage of the reference, by the names that the parity test asks for."""
    gpt, decoder = model.gpt, model.hifigan_decoder
    if limit:
        gpt.max_gen_mel_tokens = limit
    model.tokenizer.encode = lambda text, lang: text_ids
    source = recording(5.1, 24000)
    heard = coqui.torchaudio.functional.resample(torch.from_numpy(source)[None], 24000, 22050)
    coqui.load_audio = lambda path, rate: heard.clip(-1, 1)
    low = coqui.torchaudio.functional.resample(heard, 22050, 16000)
    o: dict[str, Any] = {"ref_24k": source, "ref_22k": heard, "ref_16k": low}
    o["cond_mel_chunk0"] = coqui.wav_to_mel_cloning(
        heard[:, : 22050 * 4],
        mel_norms=model.mel_stats,
        n_fft=2048,
        hop_length=256,
        win_length=1024,
        power=2,
        normalized=False,
        sample_rate=22050,
        f_min=0,
        f_max=8000,
        n_mels=80,
    )
    o["spk_mel"] = decoder.speaker_encoder.torch_spec(low.clone())
    latents, speaker = model.get_conditioning_latents(
        "", max_ref_length=30, gpt_cond_len=30, gpt_cond_chunk_len=4
    )
    o["gpt_cond_latent"], o["speaker_embedding"] = latents, speaker

    text = torch.IntTensor(text_ids)[None]
    o["text_ids"] = text
    codes = torch.from_numpy(np.random.default_rng(7).integers(0, gpt.start_audio_token, (1, 20)))
    o["tf_codes"] = codes
    lengths = (torch.tensor([text.shape[-1]]), torch.tensor([20 * gpt.code_stride_len]))
    o["tf_latents"] = gpt(
        text, lengths[0], codes, lengths[1], cond_latents=latents, return_latent=True
    )
    o["tf_logits"] = gpt.mel_head(o["tf_latents"])

    before, after = Tap(), Tap()
    own = gpt.gpt_inference._get_logits_processor
    gpt.gpt_inference._get_logits_processor = lambda *a, **k: LogitsProcessorList(
        [before, *own(*a, **k), after]
    )
    spoken = model.inference("a", "en", latents, speaker, top_k=1, do_sample=True, **SETTINGS)
    o["greedy_wav"], o["greedy_latents"] = spoken["wav"], spoken["gpt_latents"]
    o["speed1.3_wav"] = model.inference(
        "a", "en", latents, speaker, top_k=1, do_sample=True, speed=1.3, **SETTINGS
    )["wav"]
    options = {"do_sample": True, "num_beams": 1, "num_return_sequences": 1, **SETTINGS}
    o["greedy_codes"] = gpt.generate(latents, text, top_k=1, **options)
    before.seen.clear()
    after.seen.clear()
    o["sample_codes"] = gpt.generate(latents, text, top_k=50, **options)
    o["sample_logits"], o["sample_scores"] = torch.cat(before.seen), torch.cat(after.seen)
    stream = model.inference_stream(
        "a", "en", latents, speaker, stream_chunk_size=8, overlap_wav_len=1024, top_k=1, **SETTINGS
    )
    chunks = [chunk.clone() for chunk in stream]
    o["stream8_lens"] = np.array([len(chunk) for chunk in chunks])
    o["stream8_wav"] = torch.cat(chunks)
    return {name: np.asarray(value) for name, value in o.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", choices=SIZES, default="tiny")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="of codes")
    parser.add_argument("--weights-only", action="store_true")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(options.seed)
    model, config = build(options.size)
    randomize(model, options.seed)
    torch.save({"model": model.state_dict()}, options.folder / "model.pth")
    config.save_json(options.folder / "config.json")
    if options.weights_only:
        return
    model.eval()
    text_ids = np.random.default_rng(options.seed).integers(1, 260, 14).tolist()
    with torch.inference_mode():
        np.savez(options.folder / "oracle.npz", **results(model, text_ids, options.limit))


if __name__ == "__main__":
    main()
