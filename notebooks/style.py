"""How the notebooks' plots look."""

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

BLUE, YELLOW, GREEN, RED, GREY = "#5b8ff9", "#f6bd16", "#5ad8a6", "#e8684a", "#c9c9c9"

plt.rcParams.update(
    {
        "figure.figsize": (10, 3.6),
        "figure.dpi": 110,
        "figure.constrained_layout.use": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.prop_cycle": plt.cycler(color=[BLUE, YELLOW, GREEN, RED]),
        "axes.titlelocation": "left",
        "font.size": 10,
        "image.cmap": "Blues",
    }
)


def bars(axes: Axes, names: list[str], values: list[float], label: str, color: str = BLUE) -> None:
    """Horizontal bars with their values written beside them, the first on top."""
    drawn = axes.barh(names, values, color=color, height=0.6)
    axes.bar_label(
        drawn, [f" {value:,.0f}" if value >= 100 else f" {value:.3g}" for value in values]
    )
    axes.invert_yaxis()
    axes.set_xlabel(label)
    axes.tick_params(axis="y", length=0)
