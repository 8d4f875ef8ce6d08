"""The examples, run as a reader runs them, on the packaged models; each is short."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from audio.jack import jack_server
from support import needs
from xtts_models import recording, xtts_folder

import mlx_speak
from mlx_speak.audio import Audio

__all__ = ["xtts_folder"]

EXAMPLES = Path(__file__).parents[1] / "examples"
TEXT = "The tests pass. The report is on your desk."
BOOK = """# The beginning

It was a dark night. Nobody was there.

# The end

All is well.
"""

pytestmark = pytest.mark.packages


def run(script: str, *arguments: object, data: bytes = b"", **options) -> str:
    """What an example prints."""
    command = [sys.executable, str(EXAMPLES / script), *map(str, arguments)]
    done = subprocess.run(command, input=data, capture_output=True, timeout=300, **options)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def is_audible(path: Path) -> bool:
    return float(np.sqrt(np.mean(np.square(Audio.load(path).samples)))) > 0.01


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_it_is_read_in_a_minute(path: Path) -> None:
    longest = 45 if path.name == "corpus.py" else 40
    assert len(path.read_text(encoding="utf-8").splitlines()) <= longest


def test_pipe_reads_a_file_aloud_untranslated(models, tmp_path: Path) -> None:
    text, path = tmp_path / "note.txt", tmp_path / "a.wav"
    text.write_text(TEXT)
    said = run("pipe.py", text, "--to", "en", "--output", path)
    assert "The tests pass. → The tests pass." in said
    assert is_audible(path)


def test_pipe_translates_what_is_piped_in(models, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    said = run("pipe.py", "--to", "pt", "--output", path, data=TEXT.encode())
    assert "→ Os testes passam." in said
    assert is_audible(path)


def test_audiobook_makes_a_file_of_each_chapter(models, tmp_path: Path) -> None:
    book, folder = tmp_path / "book.md", tmp_path / "book"
    book.write_text(BOOK)
    run("audiobook.py", book, folder, "--to", "pt", "--voice", "say")
    names = ["01 The beginning.wav", "02 The end.wav"]
    assert sorted(path.name for path in folder.iterdir()) == names
    first, second = (Audio.load(folder / name) for name in names)
    assert first.seconds > second.seconds > 0.5


def test_clone_speaks_a_paragraph_as_the_speaker_of_a_recording(
    xtts_folder: Path, home: Path, tmp_path: Path
) -> None:
    """With random weights, into a file and to the dummy driver of a sound server."""
    voice, path = recording(tmp_path / "me.wav", 6.0), tmp_path / "speech.wav"
    paragraph = b"The build has ended. Nothing failed, and all is well. What shall I do next?"
    needs(shutil.which("jackd"), "jackd2 is not installed")
    with jack_server(f"mlx-speak-clone-{os.getpid()}") as environment:
        said = run(
            *("clone.py", voice, "--model", xtts_folder, "--output", path, "speakers"),
            data=paragraph,
            cwd=tmp_path,
            env={**os.environ, **environment},
        )
    assert "What shall I do next?" in said
    assert "3 sentences" in said
    assert is_audible(path)
    assert (tmp_path / "me.safetensors").is_file()
    assert len(list((home / "speakers").iterdir())) == 1


@pytest.mark.parametrize("kind", ["srt", "vtt"])
def test_subtitles_last_as_long_as_the_speech(models, tmp_path: Path, kind: str) -> None:
    text, speech, shown = (tmp_path / name for name in ("a.txt", "a.wav", f"a.{kind}"))
    long = (
        "If nobody objects, then I will send it to all of them today, with a letter that says why"
    )
    text.write_text(f"{TEXT} {long}, and with all the names of those who were there.")
    run("subtitles.py", text, speech, shown, "--voice", "say")
    subtitles = shown.read_text(encoding="utf-8")
    assert subtitles.startswith("WEBVTT") == (kind == "vtt")
    times = re.findall(r"(\d\d):(\d\d):(\d\d[.,]\d{3})", subtitles)
    seconds = [60 * int(m) + float(s.replace(",", ".")) for _, m, s in times]
    assert seconds == sorted(seconds)
    assert seconds[0] == 0
    assert seconds[-1] == pytest.approx(Audio.load(speech).seconds, abs=0.05)
    assert "Os testes passam." in subtitles
    assert subtitles.count(" --> ") >= 4, "a long sentence is shown in parts"


def test_watch_log_says_the_lines_that_matter(models, tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_text("ERROR an old one\n")
    command = [sys.executable, str(EXAMPLES / "watch_log.py"), str(log), "ERROR", "--voice", "say"]
    process = subprocess.Popen(
        [*command, "--output", "null", "--seconds", "3"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "watching\n"
    time.sleep(0.3)
    with log.open("a") as file:
        file.write("INFO all is well\nERROR the disk is full\n")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert said == "[heard] ERROR the disk is full\n"


def test_notebook_prints_and_speaks_what_is_written(models, monkeypatch, capsys) -> None:
    """In this process, as in a notebook's; its sound card is one that nobody hears."""
    voice = mlx_speak.load_voice("say")
    monkeypatch.setattr(mlx_speak, "load_voice", lambda name: voice)
    make = mlx_speak.Pipeline
    silent = {"output": "silent"}
    monkeypatch.setattr(mlx_speak, "Pipeline", lambda *a, **options: make(*a, **options | silent))
    path = EXAMPLES / "notebook_assistant.py"
    spec = importlib.util.spec_from_file_location("notebook_assistant", path)
    cell = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cell)
    with cell.pipe as pipe:
        cell.speak(iter(["The tests ", "pass. The report ", "is here."]))
        assert capsys.readouterr().out == "The tests pass. The report is here."
        deadline = time.monotonic() + 20
        while pipe.stats().heard < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert pipe.stats().heard == 2


def test_own_voice_whistles_what_a_glossary_says(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    said = run("own_voice.py", path, data=b"The tests pass. The end.")
    assert said == "The tests pass. → os testes pass.\nThe end. → os end.\n"
    assert is_audible(path)
    assert Audio.load(path).seconds == pytest.approx(0.1 * len("ostestespassosend"))


@pytest.fixture
def corpus(models, tmp_path: Path) -> Path:
    path = tmp_path / "in.txt"
    lines = (f"The test number {n} passes, and the report is on your desk." for n in range(60))
    path.write_text("\n".join([*lines, "", "The end."]) + "\n", encoding="utf-8")
    return path


def launch(backend: str, count: int, *arguments: object) -> subprocess.Popen:
    """`mlx.launch`, or MPI's own launcher, with its processes in a group of their own."""
    launcher, environment = [Path(sys.executable).with_name("mlx.launch")], dict(os.environ)
    launcher += ["-n", count, "--backend", "ring", "--"]
    if backend == "mpi":  # `mlx.launch` gives mpirun options that Debian's is too old for
        needs(shutil.which("mpirun") is not None, "mpirun")
        launcher = ["mpirun", "--oversubscribe", "-n", count]
        environment |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        environment.setdefault("MLX_MPI_LIBNAME", "libmpi.so.40")
    command = [*launcher, sys.executable, EXAMPLES / "corpus.py", *arguments]
    return subprocess.Popen(
        [str(part) for part in command],
        env=environment,
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )


def parts_done(folder: Path) -> list[int]:
    lines = [line for path in folder.glob("*.jsonl") for line in path.read_text().splitlines(True)]
    return [json.loads(line)[0] for line in lines if line.endswith("\n")]


@pytest.mark.parametrize("backend", ["ring", "mpi"])
def test_corpus_is_translated_by_many_one_of_them_killed(
    corpus: Path, tmp_path: Path, backend: str
) -> None:
    """The run after it goes on, with another number of processes; no line is done twice."""
    output, parts = tmp_path / "out.txt", tmp_path / "out.txt.parts"
    process = launch(backend, 3, corpus, output)
    deadline = time.monotonic() + 120
    while len(parts_done(parts)) < 8 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    _, victim = min(parts.glob("*.jsonl")).stem.split("-")  # its name ends with the process's id
    os.kill(int(victim), signal.SIGKILL)
    process.wait(timeout=120)
    before = parts_done(parts)
    assert 8 <= len(before) < 62, "it was killed amid the work"
    assert not output.exists()
    assert launch(backend, 2, corpus, output).wait(timeout=120) == 0
    assert sorted(parts_done(parts)) == list(range(62))
    written = output.read_text(encoding="utf-8").splitlines()
    assert written[7] == "O número de teste 7 passa e o relatório está na sua mesa."
    assert (len(written), written[60], written[61]) == (62, "", "O fim.")


def test_claude_hook_speaks_the_last_answer(tmp_path: Path) -> None:
    """The command is one that keeps what it gets."""
    session, heard, command = (tmp_path / name for name in ("a.jsonl", "heard", "mlx-speak"))
    say = [{"type": "text", "text": "All is done."}]
    use = [{"type": "text", "text": "I look."}, {"type": "tool_use", "name": "Bash"}]
    records = [
        {"type": "user", "message": {"content": "Please do it."}},
        {"type": "assistant", "message": {"content": use}},
        {"type": "user", "message": {"content": [{"type": "tool_result"}]}},
        {"type": "assistant", "message": {"content": say}},
        {"type": "system"},
    ]
    session.write_text("".join(json.dumps(record) + "\n" for record in records))
    command.write_text(
        f'#!/bin/sh\n{{ echo "$@"; cat; }} > {heard}.part; mv {heard}.part {heard}\n'
    )
    command.chmod(0o755)
    path = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    hook = json.dumps({"hook_event_name": "Stop", "transcript_path": str(session)}).encode()
    run("claude_hook.py", "--to", "pt", data=hook, env={**os.environ, **path})
    deadline = time.monotonic() + 10
    while not heard.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert heard.read_text().strip() == "--keep --quiet --to pt\nAll is done."
    settings = json.loads((EXAMPLES / "claude_settings.json").read_text())
    assert "claude_hook.py" in settings["hooks"]["Stop"][0]["hooks"][0]["command"]
