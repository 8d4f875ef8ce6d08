"""One model, many threads: as a REPL, a notebook and a script use it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

import mlx_speak as ms

T = TypeVar("T")

pytestmark = pytest.mark.packages


def elsewhere(function: Callable[[], T]) -> T:
    """Call a function on a thread that ends with it."""
    results: list[T] = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join(timeout=300)
    return results[0]


def test_models_serve_every_thread_whichever_loaded_them(models: dict[str, Path]) -> None:
    """MLX's streams belong to threads, and so do arrays that are not evaluated yet."""
    translator = elsewhere(lambda: ms.load_translator(models["bergamot-en-pt"]))
    voice = elsewhere(lambda: ms.load_voice(models["kokoro"]))
    expected = "Os testes passam."
    assert elsewhere(lambda: translator.translate("The tests pass.").text) == expected
    assert translator.translate("The tests pass.").text == expected
    with ms.Pipeline(translator, voice, "en", "pt", output="null") as pipe:

        def hear() -> list[str]:
            return [utterance.text for utterance in pipe.run([ms.TextEvent("The tests pass.")])]

        assert elsewhere(hear) == [expected]
        assert hear() == [expected]
    assert elsewhere(lambda: voice.generate("Oi.", language="pt")).seconds > 0.2


def test_a_stream_begun_in_one_thread_ends_in_another(models: dict[str, Path]) -> None:
    """As where a notebook's cell is interrupted and the next goes on with its generator."""
    translator = ms.load_translator(models["bergamot-en-pt"])
    stream = translator.stream_translate("The tests pass, and the report is on your desk.")
    first = next(stream)
    *_, last = elsewhere(lambda: list(stream))
    assert not first.final
    assert last.text == translator.translate("The tests pass, and the report is on your desk.").text
