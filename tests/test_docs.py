"""The documentation says what is there: names exist, examples run, links lead somewhere."""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from translation.nllb_folder import write_folder

import mlx_speak
from mlx_speak.audio import Audio

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


def texts_about(name: str, thing: Any) -> str:
    """What explains a name's arguments: its docstring, its fields', its class's, and those of what
    it overrides, is the reference of, or refers to."""
    if inspect.isclass(thing):
        ours = [kind for kind in inspect.getmro(thing) if kind.__module__.startswith("mlx_speak")]
        fields = r'^    (\w+)(?::.*| = .*)\n    """'
        listed = [re.findall(fields, inspect.getsource(kind), re.M) for kind in ours]
        return "\n".join([inspect.getdoc(thing) or "", *itertools.chain(*listed)])
    owner = found(name.rpartition(".")[0])
    places = inspect.getmro(owner) if inspect.isclass(owner) else (owner,)
    names = [thing.__name__, thing.__name__.removesuffix("_ops")]
    texts = [inspect.getdoc(getattr(place, n, None)) or "" for place in places for n in names]
    referred = {word.split(".")[-1] for text in texts for word in re.findall(r"`([\w.]+)`", text)}
    texts += [inspect.getdoc(getattr(owner, n, None)) or "" for n in referred]
    texts += [inspect.getdoc(place) or "" for place in places if inspect.isclass(place)]
    return "\n".join(texts)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_argument_and_error_is_explained(name: str) -> None:
    for full, thing in members(name):
        if not callable(thing) or (inspect.isclass(thing) and issubclass(thing, Exception)):
            continue
        texts = texts_about(full, thing)
        for argument, parameter in inspect.signature(thing).parameters.items():
            is_named = re.search(rf"\b{argument}\b", texts)
            open_ended = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            of_itself = argument in ("self", "cls") or argument.startswith("_")
            assert is_named or open_ended or of_itself, (full, argument)
        if inspect.isroutine(thing):
            tree = ast.parse(textwrap.dedent(inspect.getsource(thing)))
            for node in ast.walk(tree):
                if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                    error = ast.unparse(node.exc.func)
                    assert error in texts or not error[0].isupper(), (full, error)


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


def blocks(page: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.S)


def output_of(code: str, folder: Path) -> str:
    """What an example prints, with a text on its standard input."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        input="All is well.",
        capture_output=True,
        text=True,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.packages
def test_the_examples_of_readme_run(models: dict[str, Path], tmp_path: Path) -> None:
    """Heard by nobody."""
    first, second = blocks("README.md")
    output_of(first, tmp_path)
    sound = Audio.load(tmp_path / "passam.wav")
    assert sound.seconds > 0.5
    said = output_of(second.replace('output="speakers"', 'output="null"'), tmp_path)
    assert "Os testes passam." in said
    assert "All is well. →" in said


@pytest.mark.packages
def test_the_examples_of_the_pages_run(models: dict[str, Path], tmp_path: Path) -> None:
    """With models that are here in place of those of the hub; XTTS's is `examples/clone.py`."""
    (control,) = blocks("docs/command.md")
    prelude = """import mlx_speak as ms
translator, voice = ms.load_translator("bergamot-en-pt"), ms.load_voice("say")
"""
    assert "first sound" in output_of(prelude + control.replace('"pt",', '"pt", "null",'), tmp_path)

    (mlx_lm,) = blocks("docs/models.md")
    given = f"from pathlib import Path\nfolder = Path({str(models['kokoro'])!r})\n"
    assert "float32" in output_of(f"{given}{mlx_lm}print(model.bert_proj.weight.dtype)", tmp_path)

    (nllb,) = blocks("docs/nllb.md")
    name = '"facebook/nllb-200-distilled-600M", bits=8'
    assert name in nllb
    output_of(nllb.replace(name, repr(str(write_folder(tmp_path / "nllb")))), tmp_path)


def test_every_python_example_of_the_pages_is_python() -> None:
    for page in PAGES:
        for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S):
            compile(block, str(page), "exec")
