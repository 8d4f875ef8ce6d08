"""A checkpoint in the hub's layout, in CTranslate2's format: its tokens are named by their ids.

    python benchmarks/nllb_ctranslate2.py HUB_FOLDER VOCABULARY_JSON DESTINATION QUANTIZATION

CTranslate2's converter asks a tokenizer for the names of the tokens. The ids will do ("17"), and
no tokenizer has to be there. The vocabulary, a list of ids, becomes the folder's vocabulary map,
which is used only by who asks for it.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

from ctranslate2.converters import TransformersConverter
from nllb_weights import END, UNKNOWN


class Tokenizer:
    """What the converter asks of one."""

    num_madeup_words = 0

    def __init__(self, vocab_size: int):
        self._names = [str(i) for i in range(vocab_size)]
        self.special_tokens_map: dict[str, list[str]] = {}
        self.bos_token, self.eos_token = self._names[0], self._names[END]
        self.unk_token, self.unk_token_id = self._names[UNKNOWN], UNKNOWN

    def get_vocab(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self._names)}

    def convert_ids_to_tokens(self, token: int) -> str:
        return self._names[token]


class Converter(TransformersConverter):
    def load_tokenizer(self, _: object, name: str, **__: object) -> Tokenizer:
        config = json.loads(Path(name, "config.json").read_text(encoding="utf-8"))
        return Tokenizer(config["vocab_size"])


def main(hub: str, vocabulary: str, destination: str, quantization: str) -> None:
    ids = json.loads(Path(vocabulary).read_text(encoding="utf-8"))
    folder = Path(destination)
    with tempfile.TemporaryDirectory(dir=folder.parent) as own:
        # A line is a sequence of source tokens, a tab, and the target tokens that may come with
        # it; those of the empty sequence always may (CTranslate2, vocabulary_map.cc).
        vmap = Path(own, "vmap.txt")
        vmap.write_text("\t" + " ".join(map(str, ids)) + "\n")
        converted = Path(own, "converted")
        Converter(hub).convert(str(converted), vmap=str(vmap), quantization=quantization)
        shutil.rmtree(folder, ignore_errors=True)
        converted.rename(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
