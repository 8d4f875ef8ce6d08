"""A translator and a voice of your own: python examples/own_voice.py whistle.wav < text.txt"""

import sys

import numpy as np

import mlx_speak as ms

GLOSSARY = {"the": "os", "tests": "testes", "pass": "passam"}


class Glossary:
    """A translator is whatever has these three methods; yours might ask a service."""

    def pair(self, source, target):
        return ms.Language.parse(source or "en"), ms.Language.parse(target or "pt")

    def stream_translate(self, text, source, target, *, draft=()):
        words = [GLOSSARY.get(word.lower(), word) for word in text.split()]
        yield ms.Translation(" ".join(words), [], 0.0, source, target, text)

    def warm_up(self, source, target): ...


class Whistle(ms.Voice):
    """A voice has a name, a rate, speakers and sound: here a note for each letter."""

    name, sample_rate, speakers = "whistle", 16_000, ()

    def check(self, language=None, speaker=None): ...

    def steps(self, text, language=None, speaker=None, speed=1.0):
        time = np.arange(int(0.1 / speed * self.sample_rate), dtype=np.float32) / self.sample_rate
        for letter in filter(str.isalpha, text.lower()):
            wave = 0.3 * np.sin(2765 * 2 ** ((ord(letter) - 97) / 12) * time)  # from 440 Hz on
            yield ms.Audio(wave, self.sample_rate).fade()


with ms.Pipeline(Glossary(), Whistle(), output=sys.argv[1]) as pipe:
    print(*[f"{one.source} → {one.text}" for one in pipe.run(ms.read_stream(sys.stdin))], sep="\n")
