"""The notebooks, run from top to bottom as a reader runs them, on the packaged models."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support import package

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"

pytestmark = pytest.mark.packages


def test_there_are_notebooks() -> None:
    assert len(list(NOTEBOOKS.glob("*.ipynb"))) == 5


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_no_output_is_committed(path: Path) -> None:
    notebook = package("nbformat").read(path, as_version=4)
    package("nbformat").validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs"), "clear all outputs before you commit"
        assert cell.get("execution_count") is None


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_it_runs_from_top_to_bottom(models: dict[str, Path], tmp_path: Path, path: Path) -> None:
    """In an empty folder, beside `style.py`; every plot is drawn."""
    notebook = package("nbformat").read(path, as_version=4)
    shutil.copy(NOTEBOOKS / "style.py", tmp_path)
    client = package("nbclient").NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    )
    client.execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    shown = [output for cell in code for output in cell.outputs]
    warnings = [o.text for o in shown if o.get("name") == "stderr"]
    assert not warnings
    drawn = sum("image/png" in output.get("data", {}) for output in shown)
    promised = sum("plt.show()" in cell.source or "waterfall()" in cell.source for cell in code)
    assert drawn == promised >= 2
