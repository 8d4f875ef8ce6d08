"""How `tests/fixtures/nllb_tiny` was made: a tiny M2M100 in the hub's layout, and its results.

    python tests/translation/make_nllb_fixture.py FOLDER

Where FOLDER has weights already, they are kept and only the results are made anew.

The model is trained for a moment on a toy language: a random one repeats one token, and beams,
`</s>` and penalties would go untested; a well-trained one would be sure of everything. Training
rounds differently with every processor and number of threads, so the fixture is kept, and this
makes another one as good. That the kept results are those of the kept weights is tested.
"""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import M2M100Config, M2M100ForConditionalGeneration

SEED, STEPS, MAX_LENGTH = 0, 350, 24
START, PAD, END = 2, 1, 2
WORDS = (4, 36)
"""The tokens that sentences are made of."""
FIRST_LANGUAGE, LANGUAGES = 206, 20
"""As in NLLB, languages stand near the end of the vocabulary."""
TARGET = FIRST_LANGUAGE + 7

CONFIG = M2M100Config(
    vocab_size=259,
    d_model=32,
    encoder_layers=2,
    decoder_layers=2,
    encoder_attention_heads=4,
    decoder_attention_heads=4,
    encoder_ffn_dim=64,
    decoder_ffn_dim=64,
    max_position_embeddings=64,
    activation_function="relu",
    scale_embedding=True,
    bos_token_id=0,
    pad_token_id=PAD,
    eos_token_id=END,
    decoder_start_token_id=START,
    dropout=0.1,
    attention_dropout=0.1,
    activation_dropout=0.0,
    encoder_layerdrop=0.0,
    decoder_layerdrop=0.0,
    tie_word_embeddings=True,
)

GENERATIONS: dict[str, dict[str, Any]] = {
    "greedy": {"num_beams": 1},
    "greedy_ngram3": {"num_beams": 1, "no_repeat_ngram_size": 3},
    "beam4": {"num_beams": 4},
    "beam4_es": {"num_beams": 4, "early_stopping": True},
    "beam4_never": {"num_beams": 4, "early_stopping": "never"},
    "beam4_lp0": {"num_beams": 4, "length_penalty": 0.0},
    "beam4_lp2": {"num_beams": 4, "length_penalty": 2.0},
    "beam3_ngram2": {"num_beams": 3, "no_repeat_ngram_size": 2},
    "beam4_rep1.3": {"num_beams": 4, "repetition_penalty": 1.3},
    "beam3_ret3": {"num_beams": 3, "num_return_sequences": 3},
}


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    if (folder / "model.safetensors").exists():
        model = M2M100ForConditionalGeneration.from_pretrained(folder).eval()
    else:
        torch.manual_seed(SEED)
        model = M2M100ForConditionalGeneration(CONFIG).eval()
        randomise(model)
        train(model)
        model.save_pretrained(folder)
        state = {name: tensor.detach() for name, tensor in model.state_dict().items()}
        torch.save(state, folder / "pytorch_model.bin")
    found = results(model)
    if unsteady := sorted(unsteady_choices(model, found)):
        raise SystemExit(f"rounding may turn a choice of {unsteady}: take other GENERATIONS")
    np.savez(folder / "oracle.npz", **found)


def unsteady_choices(
    model: M2M100ForConditionalGeneration, found: dict[str, np.ndarray]
) -> set[str]:
    """The names among `GENERATIONS` that another processor's rounding may end otherwise.

    Two beams may come so near that one without AVX-512 prefers the other. What two dozen models
    a millionth aside choose, all processors do.
    """
    unsteady = set()
    generator = torch.Generator().manual_seed(SEED)
    for _ in range(24):
        other = copy.deepcopy(model).double()
        with torch.no_grad():
            for parameter in other.parameters():
                noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.mul_(1 + 1e-6 * noise)
        theirs = results(other)
        for name in GENERATIONS:
            if not np.array_equal(found[f"gen::{name}"], theirs[f"gen::{name}"]):
                unsteady.add(name)
    return unsteady


def randomise(model: M2M100ForConditionalGeneration) -> None:
    """Make every tensor nontrivial: norms are no identity and biases no zero."""
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim == 2:
                parameter.copy_(noise * parameter.shape[1] ** -0.5)
            else:
                parameter.copy_(noise * 0.1 + name.endswith("norm.weight"))


def train(model: M2M100ForConditionalGeneration) -> None:
    """A few hundred steps, stopped while the model is still unsure."""
    random = np.random.default_rng(SEED)
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(STEPS):
        sources, labels = sentences(random, 64)
        loss = model(input_ids=sources, attention_mask=sources != PAD, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def sentences(random: np.random.Generator, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Sources and labels of a toy language pair.

    A translation is its source, moved on by one word into every other language, with words dropped
    or doubled at random.
    """
    first, last = WORDS
    sources, labels = np.full((count, 14), PAD), np.full((count, 14), -100)
    for source, label in zip(sources, labels, strict=True):
        length, language = random.integers(1, 12), random.integers(0, LANGUAGES)
        words = random.integers(first, last, length)
        spoken = FIRST_LANGUAGE + random.integers(0, LANGUAGES)
        source[: length + 2] = [spoken, *words, END]
        moved = (words - first + language % 2) % (last - first) + first
        target = np.repeat(moved, random.choice([0, 1, 2], length, p=[0.2, 0.5, 0.3]))[:12]
        label[: len(target) + 2] = [FIRST_LANGUAGE + language, *target, END]
    return torch.from_numpy(sources), torch.from_numpy(labels)


def results(model: M2M100ForConditionalGeneration) -> dict[str, np.ndarray]:
    """What transformers computes: states, logits, and translations by each of `GENERATIONS`.

    Returns:
        input_ids, attention_mask and decoder_input_ids; enc_hidden_i and dec_hidden_i, from the
        embeddings (0) to the normalised last states; encoder_out and logits; positions_table;
        forced_bos; `gen::<name>` and, of beams, `gen::<name>::scores`; gencfg, in JSON.
    """
    random = np.random.default_rng(SEED)
    lengths = [9, 5, 2, 12]
    input_ids = np.full((len(lengths), max(lengths) + 2), PAD)
    for i, (row, length) in enumerate(zip(input_ids, lengths, strict=True)):
        row[: length + 2] = [FIRST_LANGUAGE + i, *random.integers(*WORDS, length), END]
    words = random.integers(*WORDS, (len(lengths), 6))
    targets = np.column_stack([np.full((len(lengths), 2), [START, TARGET]), words])
    attention_mask = (input_ids != PAD).astype(np.int64)

    ids, mask = torch.from_numpy(input_ids), torch.from_numpy(attention_mask)
    found = {
        "input_ids": input_ids,
        "attention_mask": attention_mask,
        "decoder_input_ids": targets,
        "forced_bos": np.int64(TARGET),
    }
    with torch.inference_mode():
        out = model(
            input_ids=ids,
            attention_mask=mask,
            decoder_input_ids=torch.from_numpy(targets),
            output_hidden_states=True,
        )
        found["encoder_out"] = out.encoder_last_hidden_state.numpy()
        found["logits"] = out.logits.numpy()
        for i, state in enumerate(out.encoder_hidden_states):
            found[f"enc_hidden_{i}"] = state.numpy()
        for i, state in enumerate(out.decoder_hidden_states):
            found[f"dec_hidden_{i}"] = state.numpy()
        found["positions_table"] = model.model.encoder.embed_positions.weights[:64].numpy()
        for name, options in GENERATIONS.items():
            generated = model.generate(
                ids,
                attention_mask=mask,
                forced_bos_token_id=TARGET,
                max_length=MAX_LENGTH,
                do_sample=False,
                return_dict_in_generate=True,
                output_scores=True,
                **options,
            )
            found[f"gen::{name}"] = generated.sequences.numpy()
            if options["num_beams"] > 1:
                found[f"gen::{name}::scores"] = generated.sequences_scores.numpy()
    about = {"max_length": MAX_LENGTH, "gens": GENERATIONS, "size": "tiny", "seed": SEED}
    versions = {"transformers": transformers.__version__, "torch": torch.__version__}
    return found | {"gencfg": np.array(json.dumps(about | versions))}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
