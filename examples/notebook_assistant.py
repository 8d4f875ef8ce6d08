"""For a notebook: `%load examples/notebook_assistant.py`, and hear any assistant as it writes.

answer = client.chat.completions.create(model="…", messages=[…], stream=True)
speak(part.choices[0].delta.content or "" for part in answer)
"""

import threading
from collections.abc import Iterable, Iterator

import mlx_speak as ms

translator = ms.load_translator("bergamot-en-pt")  # None: spoken as it is written
voice = ms.load_voice("kokoro")
pipe = ms.Pipeline(translator, voice, "en", "pt", output="speakers", cut_turns=True)
pipe.warm_up()


def speak(parts: Iterable[str]) -> None:
    """Print and speak a text while it is written; returns when the text is complete."""
    pipe.stop()  # a new answer ends the old one
    written = threading.Event()

    def printed() -> Iterator[str]:
        try:
            for part in parts:
                print(part, end="", flush=True)
                yield part
        finally:
            written.set()

    run = pipe.run(ms.read_stream(printed(), "text"))
    threading.Thread(target=lambda: list(run), daemon=True).start()
    written.wait()
