"""Pictures of what happened, drawn with matplotlib (the extra `plots`)."""

from __future__ import annotations

import io
from os import PathLike
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .errors import OutputError

if TYPE_CHECKING:
    from .stats import Record
    from .utterance import Times

STAGES = (
    ("until it was a sentence", "seen", "found", "#c9c9c9"),
    ("waiting", "found", "begun", "#eeeeee"),
    ("translation", "begun", "translated", "#5b8ff9"),
    ("first sound", "translated", "first_chunk", "#f6bd16"),
    ("its turn", "first_chunk", "heard", "#dddddd"),
    ("heard", "heard", "finished", "#5ad8a6"),
)
"""What lies between two stations of `Times`, and its colour."""

_COLORS = {name: color for name, _, _, color in STAGES}
_TITLE = 46  # characters of a sentence


class Picture(Figure):
    """A figure that shows itself in a notebook, whatever matplotlib is set up for there."""

    def _repr_png_(self) -> bytes:
        data = io.BytesIO()
        self.savefig(data, dpi=110)
        return data.getvalue()


def waterfall(records: list[Record], path: str | PathLike[str] | None = None) -> Picture:
    """Sentences from top to bottom, time from left to right.

    Args:
        records: of sentences that are over, in order.
        path: where to save the picture.

    Raises:
        OutputError: the picture cannot be written there.
    """
    shown = [record for record in records if record.times.finished is not None]
    figure = Picture(figsize=(11, 1.4 + 0.32 * max(len(shown), 1)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    start = min((record.times.seen for record in shown), default=0.0)
    for row, record in enumerate(shown):
        for name, begin, end in _stages(record.times):
            color = _COLORS[name]
            axes.barh(row, end - begin, left=begin - start, height=0.62, color=color)
        latency = record.times.latency
        if latency is not None and record.times.finished is not None:
            axes.text(
                record.times.finished - start, row, f" {latency * 1e3:.0f} ms", va="center", size=8
            )
    for name, _, _, color in STAGES:
        axes.barh(0, 0, color=color, label=name)
    axes.set_yticks(range(len(shown)), [_title(record) for record in shown], size=8)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlabel("seconds; beside each: last character to first sound")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.legend(
        ncols=len(STAGES), loc="lower left", bbox_to_anchor=(0, 1), frameon=False, fontsize=8
    )
    if path is not None:
        try:
            figure.savefig(path, dpi=144)
        except (OSError, ValueError) as error:
            raise OutputError(f"cannot write the picture {path}: {error}") from error
    return figure


def _stages(times: Times) -> list[tuple[str, float, float]]:
    """Each stage that took place, from when to when; one begins where the one before ended.

    The first sound may be made before the whole translation is there.
    """
    found = []
    last = times.seen
    for name, begin, end in ((name, b, e) for name, b, e, _ in STAGES):
        until = getattr(times, end)
        if until is None or getattr(times, begin) is None:
            continue
        if until > last:
            found.append((name, last, until))
            last = until
    return found


def _title(record: Record) -> str:
    text = record.text if len(record.text) <= _TITLE else record.text[: _TITLE - 1].rstrip() + "…"
    # matplotlib reads what stands between dollar signs as mathematics.
    return f"{record.index + 1}  {text}".replace("$", r"\$")
