"""The documentation says what is there: names exist, examples run, links lead somewhere."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import mlx_speak

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
DOCUMENTED = [
    name
    for page in sorted(ROOT.glob("docs/api/*.md"))
    for name in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.M)
]


def found(name: str) -> Any:
    """What a name of the pages stands for; `kernels` and `convert` lie beside the package."""
    name = re.sub(r"^(kernels|convert)\b", r"mlx_speak.\1", name)
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            found = getattr(found, part)
        return found
    raise AssertionError(f"there is no {name}")


def members(name: str) -> list[tuple[str, Any]]:
    """A name and what is public below it."""
    thing = found(name)
    listed = [(name, thing)]
    if inspect.ismodule(thing):
        public = getattr(thing, "__all__", [n for n in vars(thing) if not n.startswith("_")])
        own = [(n, getattr(thing, n)) for n in public]
        listed += [(f"{name}.{n}", v) for n, v in own if inspect.isclass(v) or inspect.isroutine(v)]
    elif inspect.isclass(thing):
        for member, value in vars(thing).items():
            value = getattr(value, "__func__", value)
            is_one = inspect.isfunction(value) or isinstance(value, property)
            if not member.startswith("_") and is_one:
                listed.append((f"{name}.{member}", value))
    return listed


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_public_name_says_what_it_is(name: str) -> None:
    for full, thing in members(name):
        assert inspect.getdoc(thing), full


@pytest.mark.parametrize("name", [name for name in DOCUMENTED if name != "kernels"])
def test_arguments_are_those_of_the_signature(name: str) -> None:
    """Each on a line of its own, or the site's builder does not find it; of `kernels` it shows the
    page only."""
    for full, thing in members(name):
        text = inspect.getdoc(thing) or ""
        listed = re.search(r"^Args:\n((?:    .*\n|\n)+)", text + "\n", re.M)
        if listed and (inspect.isclass(thing) or inspect.isroutine(thing)):
            named = re.findall(r"^    ([^\s:][^:]*): ", listed[1], re.M)
            assert set(named) <= set(inspect.signature(thing).parameters), (full, named)


def test_all_that_is_exported_is_documented() -> None:
    things = [found(name) for name in DOCUMENTED]
    missing = [
        name
        for name in mlx_speak.__all__
        if not name.startswith("__")
        and getattr(mlx_speak, name) not in [*things, mlx_speak.convert]
    ]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    ours = "https://github.com/mlx-speak/mlx-speak/"
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if target.startswith(ours):
            path = re.sub(r"^(blob|tree)/main/", "", target.removeprefix(ours))
            assert (ROOT / path).exists(), target
        elif "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_test_that_the_pages_name_is_there() -> None:
    named = [
        (page.name, path, name)
        for page in PAGES
        for path, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text("utf-8"))
    ]
    assert len(named) > 20
    for page, path, name in named:
        text = (ROOT / path).read_text("utf-8")
        assert re.search(rf"^def {name}\(", text, re.M), f"{page}: {path}::{name}"


@pytest.mark.packages
def test_the_first_example_of_readme_runs(models: dict[str, Path], tmp_path: Path) -> None:
    """With its text on standard input, heard by nobody."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = [
        block
        for block in re.findall(r"```python\n(.*?)```", readme, re.S)
        if "bergamot-en-pt" in block and "ms.Pipeline" in block
    ]
    code = code.replace('output="speakers"', 'output="null"')
    done = subprocess.run(
        [sys.executable, "-c", code],
        input="All is well.",
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "Os testes passam." in done.stdout
    assert "All is well. →" in done.stdout


def test_every_python_example_of_the_pages_is_python() -> None:
    for page in PAGES:
        for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S):
            compile(block, str(page), "exec")
