"""distilled-600M in its true size, with random weights: logits, greedy tokens and memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten
from support import figure, package
from translation.nllb_models import (
    random_model,
    random_sources,
    reference,
    run_reference,
    torch_ids,
)

from mlx_speak.translation.nllb_model import NLLBConfig

DISTILLED_600M = NLLBConfig(
    vocab_size=256206,
    d_model=1024,
    encoder_layers=12,
    decoder_layers=12,
    encoder_attention_heads=16,
    decoder_attention_heads=16,
    encoder_ffn_dim=4096,
    decoder_ffn_dim=4096,
)
JAPANESE, STEPS = 256079, 32

TRANSLATE = r"""
import json, re, resource, sys
from pathlib import Path
import mlx_speak, mlx.core as mx
from mlx_speak.translation.nllb_model import load_model

def megabytes():
    # The most so far. On Linux ru_maxrss would begin with the parent's.
    status = Path("/proc/self/status")
    peak = status.exists() and 1024 * int(re.search(r"VmHWM:\s*(\d+)", status.read_text())[1])
    peak = peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"resident": peak / 1e6, "arrays": mx.get_peak_memory() / 1e6}

folder, source, forced, steps = sys.argv[1], *map(json.loads, sys.argv[2:])
start = megabytes()["resident"]
model = load_model(folder)
load = megabytes()
mx.reset_peak_memory()
memory = model.remember(model.encode(mx.array([source])))
caches, tokens = model.initial_caches(1), mx.array([[2, forced]])
found = []
for _ in range(steps):
    hidden, caches = model.decode(tokens, memory, caches)
    tokens = model.logits(hidden[:, -1:]).argmax(-1)
    found.append(tokens.item())
print(json.dumps([start, load, megabytes(), found]))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for gigabytes, which pytest's own would keep for three runs."""
    with TemporaryDirectory() as path:
        yield Path(path)


@pytest.mark.slow
@pytest.mark.oracle
def test_true_size(folder: Path) -> None:
    """distilled-600M with random weights: logits, greedy tokens, and the memory it takes."""
    model = random_model(DISTILLED_600M)
    parameters = tree_flatten(model.parameters())
    weights = sum(parameter.nbytes for _, parameter in parameters) / 1e6
    config = {"model_type": "nllb", **vars(DISTILLED_600M)}
    (folder / "config.json").write_text(json.dumps(config))
    mx.save_safetensors(str(folder / "model.safetensors"), dict(parameters))

    torch, theirs = package("torch"), reference(model)
    input_ids, attention_mask = random_sources(DISTILLED_600M, [32], seed=5)
    with torch.inference_mode():
        generated = theirs.generate(
            torch_ids(input_ids),
            attention_mask=torch_ids(attention_mask),
            forced_bos_token_id=JAPANESE,
            max_length=STEPS + 2,
            num_beams=1,
            do_sample=False,
        )[0].tolist()
    assert len(generated) == STEPS + 2
    assert len(set(generated)) > STEPS / 2, "a sequence that hardly varies proves little"

    encoded, expected = run_reference(theirs, input_ids, mx.array([generated[:8]]), attention_mask)
    logits = model(input_ids, mx.array([generated[:8]]))
    off = float(abs(logits - mx.array(expected)).max())
    figure(f"distilled-600M shape, random: logits within {off:.1e} of transformers'")
    # Sums of 1,024 to 4,096 products through 24 layers; the study measured 1.3e-5.
    assert off <= 1e-4
    assert float(abs(model.encode(input_ids) - mx.array(encoded)).max()) <= 1e-4
    del theirs, model, parameters, logits, encoded, expected

    said = subprocess.run(
        [sys.executable, "-c", TRANSLATE, str(folder)]
        + [json.dumps(x) for x in (input_ids[0].tolist(), JAPANESE, STEPS)],
        capture_output=True,
        text=True,
        check=True,
    )
    start, load, use, found = json.loads(said.stdout)
    assert found == generated[2:]

    figure(
        f"distilled-600M shape, float32, {weights:.0f} MB of weights: resident at most "
        f"{load['resident']:.0f} MB at load, {use['resident']:.0f} MB in use; of that MLX's arrays "
        f"{load['arrays']:.0f} and {use['arrays']:.0f} MB"
    )
    # Loading makes no second copy of any weight, nor computes those that the constructor draws;
    # in use, states and caches are a few megabytes. The rest is what libraries' pages vary by.
    assert load["arrays"] < weights + 30
    assert use["arrays"] < weights + 60
    assert use["resident"] < start + weights + 150
