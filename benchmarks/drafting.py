"""What drafts and vocabulary restriction save: passes, bytes and time.

    python benchmarks/drafting.py [--pair en-pt] [--sentences 220] [--costs] [--json results.json]

Drafts run on Bergamot: each sentence is translated plainly, and with the translation of its
beginning for a draft, in turns. Restriction is counted on Bergamot's whole table of 32,000 tokens,
standing in for NLLB's, whose weights no package ships: how often it misses depends on the language
and its vocabulary, which is built of wordfreq's words (Speer 2022, PyPI `wordfreq`); what that
means in bytes is reckoned with the sizes of NLLB-200-distilled-600M. --costs times the passes and
products that the limits in drafting.py are chosen by, on that model with random weights (3 GB).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from mlx_speak import blas, load_translator  # before mlx.core, on Linux, for its BLAS

# isort: split
import mlx.core as mx
import nllb_weights
import numpy as np
from texts import real_sentences
from workers import Worker, machine, use_own_processor

from mlx_speak.languages import Language
from mlx_speak.translation.bergamot import BergamotDecoder, BergamotTranslator
from mlx_speak.translation.drafting import Report, verified_greedy
from mlx_speak.translation.nllb_model import NLLB, NLLBConfig

WITHHELD = (0, 1, 2, 3, 5)
"""Words at the end of a sentence that the draft does not know."""
WORDS = (1_000, 5_000, 20_000, 100_000)
"""Most frequent words that a vocabulary is built of."""
MISS_RATES = (0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
PUNCTUATION = " ".join(f"{c} a{c}" for c in ".,;:!?()[]\"'-–—“”‘’«»/%&*+=<>…0123456789$€£")
"""Each after a space and after a letter, which are different tokens."""

DISTILLED_600M = NLLBConfig.from_dict(nllb_weights.SHAPES["distilled-600M"].config())
# Parameters that a pass, a guess over 20,000 rows and a check read; biases and norms aside.
_DIMS = DISTILLED_600M.d_model
PASS = DISTILLED_600M.decoder_layers * (6 * _DIMS + 2 * DISTILLED_600M.decoder_ffn_dim) * _DIMS
GUESS, CHECK = 20_000 * _DIMS, DISTILLED_600M.vocab_size * _DIMS


def share_of_bytes(report: Report, steps: int) -> float:
    """Of what greedy decoding over the whole table reads in so many steps."""
    read = report.passes * PASS + report.guesses * GUESS + report.checks * CHECK
    return read / (steps * (PASS + CHECK))


def add(total: Report, report: Report) -> None:
    for field in fields(Report):
        setattr(total, field.name, getattr(total, field.name) + getattr(report, field.name))


def drafts(translator: BergamotTranslator, sentences: list[str], withheld: int) -> dict[str, Any]:
    """Translate sentences with drafts that lack so many words, and without, in turns."""
    pair = translator.pair(None, None)
    long = [sentence for sentence in sentences if len(sentence.split()) > withheld]
    offered = [" ".join(s.split()[:-withheld]) if withheld else s for s in long]
    translated = translator.translate_sentences(offered, *pair)
    total, steps, kept, different = Report(), 0, [], 0
    plain_seconds, draft_seconds = [], []
    for sentence, draft in zip(long, translated, strict=True):
        start = time.perf_counter()
        *_, expected = translator.stream_sentence(sentence, *pair)
        plain_seconds.append(time.perf_counter() - start)
        start = time.perf_counter()
        *_, tokens = translator.stream_sentence(sentence, *pair, draft)
        draft_seconds.append(time.perf_counter() - start)
        report = Report()
        *_, again = translator.verify(encode(translator, sentence), draft, report)
        different += tokens != expected or again != expected
        same = np.cumprod([a == b for a, b in zip(draft, expected, strict=False)])
        kept.append(float(same.sum()) / max(len(expected), 1))
        steps += len(expected) + 1
        add(total, report)
    return {
        "withheld_words": withheld,
        "sentences": len(long),
        "different": different,
        "kept_before_first_miss": statistics.mean(kept),
        "steps": steps / len(long),
        "passes": total.passes / len(long),
        "times_fewer": steps / total.passes,
        "ties": total.ties,
        "plain_ms_p50": 1e3 * statistics.median(plain_seconds),
        "draft_ms_p50": 1e3 * statistics.median(draft_seconds),
        "ms_ratio_p50": statistics.median(
            d / p for d, p in zip(draft_seconds, plain_seconds, strict=True)
        ),
    }


class Restricted(BergamotDecoder):
    """Bergamot over its whole table, of which some rows guess."""

    def __init__(self, translator: BergamotTranslator, encoded: list[int], ids: set[int]):
        model = translator.model
        everything = mx.arange(model.config.target_vocab_size)
        bias = model.output_bias[None]
        super().__init__(model, model.encode(mx.array([encoded])), everything, bias)
        self.restricted = True
        self._ids = mx.array(sorted(ids), mx.int32)
        self._rows = model.target_embedding(self._ids).T
        self._row_bias = bias[:, self._ids]

    def guess(self, hidden: mx.array) -> mx.array:
        return self._ids[mx.argmax(mx.addmm(self._row_bias, hidden, self._rows), axis=-1)]


def restriction(
    translator: BergamotTranslator, sentences: list[str], words: list[str]
) -> list[dict[str, Any]]:
    """Decode over vocabularies of more and more words, and the source's own tokens."""
    config = translator.model.config
    assert config.shared_embeddings, "the tokenizer reads only what the target is written in"
    read = translator.tokenizer.encode
    limits = {"eos_token_id": config.eos_token_id, "vocab_size": config.target_vocab_size}
    encoded = [encode(translator, sentence) for sentence in sentences]
    rows = []
    for count in WORDS:
        texts = [*words[:count], *(word.capitalize() for word in words[:count]), PUNCTUATION]
        ids = {token for text in texts for token in read(text)} | {config.eos_token_id}
        total, steps = Report(), 0
        for tokens in encoded:
            report = Report()
            decoder = Restricted(translator, tokens, ids | set(tokens))
            limit = int(config.max_length_factor * len(tokens))
            *_, found = verified_greedy(decoder, limit=limit, report=report, **limits)
            steps += min(len(found) + 1, limit)
            add(total, report)
        rows.append(
            {
                "words": count,
                "vocabulary": len(ids),
                "steps": steps,
                "passes": total.passes,
                "checks": total.checks,
                "misses": total.misses,
                "misses_per_token": total.misses / steps,
                "share_of_bytes": share_of_bytes(total, steps),
            }
        )
    return rows


class Coin:
    """A decoder whose next token is its place, and whose guess is wrong at a given rate."""

    restricted = True

    def __init__(self, rate: float, seed: int):
        self._wrong = np.random.default_rng(seed).random(1000) < rate
        self._length = 0

    def run(self, tokens: mx.array) -> mx.array:
        first, self._length = self._length, self._length + tokens.size + (self._length == 0)
        return mx.arange(first, self._length)[:, None]

    def cut(self, length: int) -> None:
        self._length = length

    def guess(self, hidden: mx.array) -> mx.array:
        places = np.array(hidden)[:, 0]
        return mx.array(np.where(self._wrong[places], 0, 1 + places).astype(np.int32))

    def best(self, hidden: mx.array) -> tuple[mx.array, mx.array]:
        return 1 + hidden[:, 0], mx.ones(len(hidden), mx.bool_)


def miss_rates() -> list[dict[str, float]]:
    """The share of bytes that restriction reads if guesses miss at random."""
    lengths = np.random.default_rng(0).choice((8, 12, 18, 25, 33, 45), 300).tolist()
    rows = []
    for rate in MISS_RATES:
        total = Report()
        for seed, length in enumerate(lengths):
            coin, report = Coin(rate, seed), Report()
            options = {"eos_token_id": -1, "vocab_size": 1 << 20, "limit": length}
            *_, tokens = verified_greedy(coin, report=report, **options)
            assert tokens == list(range(1, length + 1))
            add(total, report)
        rows.append({"miss_rate": rate, "share_of_bytes": share_of_bytes(total, sum(lengths))})
    return rows


def costs() -> list[dict[str, float]]:
    """Milliseconds of one pass, and of one product with either table, by rows; best of five."""
    model = NLLB(DISTILLED_600M)
    mx.eval(model.decoder.parameters(), model.embedding.parameters())
    few = model.embedding.weight[:20_000] * 1
    memory = model.remember(mx.random.normal((1, 32, _DIMS)))
    _, caches = model.decode(mx.full((1, 16), 7), memory, model.initial_caches(1))
    mx.eval(few, memory.keys_values, [cache.keys_values for cache in caches])
    rows = []
    for count in (1, 2, 4, 8, 16, 32):
        hidden = mx.random.normal((count, _DIMS))
        ids = mx.full((1, count), 7)
        mx.eval(hidden, ids)
        rows.append(
            {
                "rows": count,
                "pass_ms": _best(lambda ids=ids: model.decode(ids, memory, caches)[0]),
                "guess_ms": _best(lambda hidden=hidden: mx.argmax(hidden @ few.T, -1)),
                "check_ms": _best(lambda hidden=hidden: mx.argmax(model.logits(hidden), -1)),
            }
        )
    return rows


def _best(function: Callable[[], mx.array]) -> float:
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        mx.eval(function())
        seconds.append(time.perf_counter() - start)
    return 1e3 * min(seconds)


def encode(translator: BergamotTranslator, sentence: str) -> list[int]:
    return [*translator.tokenizer.encode(sentence), translator.model.config.eos_token_id]


def frequent_words(language: str) -> list[str]:
    """wordfreq's words of a language, the most frequent first (CC BY-SA 4.0)."""
    from mlx_speak.convert import corpora

    return list(corpora.words(corpora.WORDFREQ.fetch(), Language.parse(language)))


def both(pair: str, count: int) -> dict[str, Any]:
    """Everything about one pair of languages."""
    from mlx_speak.convert import packages

    name = f"bergamot-{pair}"
    translator = load_translator(packages.build(only=[name])[name])
    sentences = real_sentences(translator.pair(None, None)[0], count)
    translator.warm_up()
    return {
        "drafts": [drafts(translator, sentences, withheld) for withheld in WITHHELD],
        "restriction": restriction(translator, sentences, frequent_words(pair[3:])),
    }


def make() -> tuple[Callable[..., Any], str]:
    """The process that measures, as `Worker` wants it."""
    experiments: dict[str, Callable[..., Any]] = {
        "pair": both,
        "miss_rates": miss_rates,
        "costs": costs,
    }
    about = f"{mx.default_device()}, {blas.describe()}"
    return lambda name, *arguments: experiments[name](*arguments), about


def show(title: str, rows: list[dict[str, Any]]) -> None:
    print(f"\n{title}")
    print("  " + "".join(f"{name:>24}" for name in rows[0]))
    for row in rows:
        print("  " + "".join(f"{value:24.3f}".replace(".000", "    ") for value in row.values()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pair", action="append", choices=["en-pt", "pt-en"])
    parser.add_argument("--sentences", type=int, default=220, help="at most so many")
    parser.add_argument("--costs", action="store_true", help="time NLLB's passes and products too")
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    options = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    dropped = use_own_processor()
    measure = Worker(make)
    here = machine() | {"about": measure.about, "dropped": str(dropped or "nothing")}
    print("  ".join(f"{key}: {value}" for key, value in here.items()))
    everything: dict[str, Any] = {"machine": here, "pairs": {}}
    for pair in options.pair or ["en-pt", "pt-en"]:
        found = everything["pairs"][pair] = measure("pair", pair, options.sentences)
        show(f"{pair}: drafts", found["drafts"])
        show(f"{pair}: restriction, bytes as NLLB-600M would read them", found["restriction"])
    everything["miss_rates"] = measure("miss_rates")
    show("restriction at random misses, sentences of 8 to 45 tokens", everything["miss_rates"])
    if options.costs:
        everything["costs"] = measure("costs")
        show("NLLB-200-distilled-600M, float32, random weights", everything["costs"])
    measure.close()
    if options.json:
        options.json.write_text(json.dumps(everything, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
