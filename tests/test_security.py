"""What comes from elsewhere is data: nothing of it is run, obeyed or trusted."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import stat
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from mlx_speak.convert import packages
from support import package

from mlx_speak import hub
from mlx_speak.home import home as cache
from mlx_speak.keep import private_folder
from mlx_speak.player import Track
from mlx_speak.status import Status
from mlx_speak.text import SentenceReader, TextEvent, read_stream
from mlx_speak.utterance import Times, Utterance

ROOT = Path(__file__).parents[1]
SOURCES = [
    path
    for folder in ("mlx_speak", "convert", "kernels", "examples")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
FORBIDDEN = {
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "torch.load", "marshal.loads"),
    *("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"),
    *("yaml.load", "yaml.unsafe_load", "tempfile.mktemp", "dill.load", "joblib.load"),
    *("eval", "exec", "__import__"),
}


def calls(tree: ast.AST) -> list[tuple[str, ast.Call]]:
    return [(ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_unpickles_evaluates_or_asks_a_shell(path: Path) -> None:
    for name, call in calls(ast.parse(path.read_text(encoding="utf-8"))):
        assert name not in FORBIDDEN, f"line {call.lineno}: {name}"
        shell = [word.value for word in call.keywords if word.arg == "shell"]
        assert not shell, f"line {call.lineno}: {name} with a shell"
        pickles = [ast.unparse(w.value) for w in call.keywords if w.arg == "allow_pickle"]
        assert pickles in ([], ["False"]), f"line {call.lineno}: NumPy would unpickle"


def test_what_is_downloaded_is_pinned() -> None:
    """Of the hub by commit, which is a hash of all its files; of packages by SHA-256."""
    repositories = [repository for repository in hub.ALIASES.values() if repository]
    assert len(repositories) >= 6
    for repository in repositories:
        assert re.fullmatch(r"[0-9a-f]{40}", repository.revision or ""), repository.id
        assert hub.repository(repository.id) == repository
    fetched = [value for value in vars(packages).values() if isinstance(value, packages.Package)]
    assert len(fetched) >= 3
    for one in (*fetched, *packages.KOKORO_PARTS):
        assert re.fullmatch(r"[0-9a-f]{64}", one.sha256), one.name


def test_cache_and_socket_are_the_users_alone(home: Path) -> None:
    for folder in (cache(), cache("models"), cache("packages", "a"), private_folder()):
        while folder != home.parent:
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
            folder = folder.parent


def test_no_dependency_reports_home(tmp_path: Path) -> None:
    """onnxruntime, which guesses how unknown English words sound, would keep an id in the cache."""
    package("onnxruntime")
    script = "from mlx_speak.speech.phonemes import phonemize; print(phonemize('Blorptic.', 'en'))"
    clean = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    places = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / ".cache")}
    done = subprocess.run(
        [sys.executable, "-c", script], env=clean | places, capture_output=True, text=True
    )
    assert "blˈɔɹptɪk" in done.stdout, done.stderr
    assert not [path for path in tmp_path.rglob("*") if path.name in ("Microsoft", "deviceid")]


ATTACKS = [
    "\x1b[31mred\x1b[0m",
    "\x1b]0;a title\x07",
    "\x1b]52;c;ZXZpbA==\x07",
    "\x1b]8;;https://x.y\x1b\\link\x1b]8;;\x1b\\",
    "\x9b2J\x9d0;t\x9c",
    "\x1bP1$r\x1b\\",
    "a\rb\x08c\x07d\x00e\x7ff",
    "\u202egnp.exe\u202c \u2066x\u2069",
    "&#27;[2J &#x1b;]0;t&#7; &#155;2J",
    "`\x1b[2J` **\x1b[2J** [\x1b[2J](\x1b[2J)",
    "\x1b",
]


def is_inert(text: str) -> bool:
    """Nothing in it that a terminal would obey."""
    return not any(
        (unicodedata.category(c) in ("Cc", "Cf", "Cs") and c != "\n") or c == "\ufffd" for c in text
    )


def as_streams(attack: str) -> list[tuple[str, bytes]]:
    delta = {"type": "content_block_delta", "index": 0}
    claude = {"type": "stream_event", "event": delta | {"delta": {"type": "text_delta"}}}
    claude["event"]["delta"]["text"] = f"Say {attack} now."
    codex = {"type": "item.completed", "item": {"id": "1", "type": "agent_message"}}
    codex["item"]["text"] = f"Say {attack} now."
    openai = {"choices": [{"index": 0, "delta": {"content": f"Say {attack} now."}}]}
    failed = {"type": "turn.failed", "error": {"message": f"Say {attack} now."}}
    return [
        ("text", f"Say {attack} now.".encode()),
        *[
            (name, json.dumps(record).encode() + b"\n")
            for name, record in (("claude", claude), ("codex", codex), ("openai", openai))
        ],
        ("codex", json.dumps(failed).encode() + b"\n"),
    ]


@pytest.mark.parametrize("attack", ATTACKS, ids=repr)
def test_no_stream_commands_the_terminal(attack: str) -> None:
    for format, data in as_streams(attack):
        reader = SentenceReader()
        found = [s for event in read_stream(data, format) for s in reader.feed(event)]
        for sentence in found + reader.close():
            assert is_inert(sentence.text), format


@pytest.mark.parametrize("attack", ATTACKS, ids=repr)
def test_neither_models_nor_errors_command_the_terminal(attack: str) -> None:
    """Should a translation, a warning or an exception hold what the text did not."""
    screen = io.StringIO()
    status = Status(file=screen)
    utterance = Utterance(0, f"a {attack}", Times(0.0, 0.0), Track())
    utterance.text = utterance.warning = f"b {attack}"
    utterance.error = ValueError(f"c {attack}")
    status.show(utterance)
    status.note(attack)
    status.error(attack)
    shown = screen.getvalue()
    assert "a " in shown
    assert all(c not in shown for c in "\x1b\x9b\x9d\x07\x08\r\x00\x7f\u202e\u2066")


def test_a_sentence_is_never_markup_of_the_display() -> None:
    screen = io.StringIO()
    utterance = Utterance(0, "[red]so[/red] [link=x]y[/link]", Times(0.0, 0.0), Track())
    Status(file=screen).show(utterance)
    assert "[red]so[/red] [link=x]y[/link]" in screen.getvalue()


def test_an_event_of_ones_own_is_cleaned_before_it_is_shown() -> None:
    """`TextEvent`s need not come from `read_stream`."""
    screen = io.StringIO()
    reader = SentenceReader()
    (sentence,) = reader.feed(TextEvent("Say \x1b[2J now.")) + reader.close()
    Status(file=screen).show(Utterance(0, sentence.text, Times(0.0, 0.0), Track()))
    assert "\x1b" not in screen.getvalue()
