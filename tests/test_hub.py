"""A name becomes a folder, a folder a model; every failure says what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx_speak.convert.folder import save_model
from nllb_checkpoint import LAYOUTS, write_checkpoint
from translation.nllb_folder import write_folder

from mlx_speak import convert as convert_module
from mlx_speak import hub
from mlx_speak.errors import ModelFormatError, ModelNotFoundError, UnknownLanguageError
from mlx_speak.languages import Language
from mlx_speak.model_folder import read_config
from mlx_speak.translation.nllb import load

SNAPSHOT = "0123456789abcdef0123456789abcdef01234567"


def write_model(folder: Path, model_type: str = "bergamot") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save_model(folder, {"model_type": model_type}, {"w": np.zeros(1, np.float32)})
    return folder


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models that only tell which folder they were loaded from."""
    for model_type, where in hub.MODULES.items():
        module = types.ModuleType(f"mlx_speak.{where}")
        module.load = lambda folder, kind=model_type: f"{kind} from {folder}"  # type: ignore
        module.load_model = lambda folder, lazy, kind=model_type: f"bare {kind} from {folder}"  # type: ignore
        monkeypatch.setitem(sys.modules, module.__name__, module)


class Hub:
    """The hub as `snapshot_download` shows it: repositories that are folders here."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path):
        import huggingface_hub

        self.folder = folder
        self.asked: list[tuple[str, str | None, tuple[str, ...]]] = []
        self.converted: list[Path] = []
        monkeypatch.setattr(huggingface_hub, "snapshot_download", self.snapshot_download)

        def convert(source: Path, destination: Path, **_: object) -> Path:
            self.converted.append(source)
            return write_model(destination, "kokoro")

        monkeypatch.setattr(convert_module, "convert", convert)

    def add(self, repository: str) -> Path:
        folder = self.folder / repository / SNAPSHOT
        folder.mkdir(parents=True)
        return folder

    def snapshot_download(self, repository: str, revision=None, allow_patterns=()) -> str:
        self.asked.append((repository, revision, tuple(allow_patterns)))
        folder = self.folder / repository / SNAPSHOT
        if not folder.is_dir():
            raise ConnectionError("Name or service not known\nand more")
        return str(folder)


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: Path) -> Hub:
    return Hub(monkeypatch, tmp_path / "hub")


def test_an_alias_is_the_folder_that_packages_built(home: Path, modules: None) -> None:
    folder = write_model(home / "models" / "bergamot-en-pt")
    assert hub.resolve("bergamot-en-pt") == folder
    assert hub.load_translator("bergamot-en-pt") == f"bergamot from {folder}"
    voice = write_model(home / "models" / "kokoro", "kokoro")
    assert hub.load_voice("kokoro") == f"kokoro from {voice}"
    assert hub.load_model(voice) == f"bare kokoro from {voice}"


def test_a_folder_is_taken_as_it_is(tmp_path: Path, modules: None) -> None:
    folder = write_model(tmp_path / "mine")
    assert hub.load_translator(folder) == f"bergamot from {folder}"
    assert hub.load_translator(str(folder)) == f"bergamot from {folder}"


def test_a_voice_is_no_translator(tmp_path: Path, modules: None) -> None:
    voice = write_model(tmp_path / "voice", "kokoro")
    with pytest.raises(ModelFormatError, match=r"is a kokoro model: use load_voice"):
        hub.load_translator(voice)
    translator = write_model(tmp_path / "translator")
    with pytest.raises(ModelFormatError, match=r"is a bergamot model: use load_translator"):
        hub.load_voice(translator)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "has no config.json"),
        ("", "damaged"),
        ("{", "damaged"),
        ("\xff", "damaged"),
        ("[]", "not a JSON object"),
        ("{}", "of type None"),
        ('{"model_type": ["kokoro"]}', "of type"),
        ('{"model_type": "llama"}', "'llama'; known are bergamot, kokoro"),
    ],
)
def test_a_damaged_folder(tmp_path: Path, config: str | None, message: str) -> None:
    if config is not None:
        (tmp_path / "config.json").write_bytes(config.encode("latin-1"))
    with pytest.raises(ModelFormatError, match=message):
        hub.load_model(tmp_path)
    with pytest.raises(ModelFormatError, match=message) as caught:
        hub.load_voice(tmp_path)
    assert "As an original checkpoint, " in str(caught.value)
    assert "Supported: Kokoro" in str(caught.value)


def test_a_folder_without_weights_is_not_loaded(tmp_path: Path) -> None:
    (write_model(tmp_path / "model") / "model.safetensors").unlink()
    with pytest.raises(ModelFormatError, match=r"has no model\.safetensors\. As an"):
        hub.load_translator(tmp_path / "model")


@pytest.mark.parametrize("name", ["bergamot-en-pt", "bergamot-pt-en"])
def test_without_packages_the_command_is_named(home: Path, name: str) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        hub.load_translator(name)
    assert f"python -m mlx_speak.convert packages --only {name}" in str(caught.value)


@pytest.mark.parametrize(
    "name", ["nowhere", "/no/where", "a/b/c", "", "bergamot-en-ja", Path("a/b")]
)
def test_a_name_that_is_nothing(home: Path, name: str) -> None:
    with pytest.raises(ModelNotFoundError, match=r"no model .*kokoro.*existing folder.*hub"):
        hub.load_translator(name)
    with pytest.raises(ModelNotFoundError, match="no model folder"):
        hub.load_model(name or "nothing")


@pytest.mark.parametrize("name", ["xtts", "coqui/XTTS-v2"])
def test_xtts_comes_from_the_hub_without_what_only_training_needs(
    remote: Hub, home: Path, modules: None, name: str
) -> None:
    (remote.add("coqui/XTTS-v2") / "config.json").write_text('{"model": "xtts"}')
    hub.resolve(name)
    assert [source.parent.name for source in remote.converted] == ["XTTS-v2"]
    asked = {pattern for _, _, patterns in remote.asked for pattern in patterns}
    assert {"config.json", "vocab.json", "speakers_xtts.pth", "model.pth"} <= asked
    assert not any("*" in pattern for pattern in asked)


def test_xtts_without_a_network(remote: Hub, home: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"'xtts' is not here yet.*coqui/XTTS-v2"):
        hub.load_voice("xtts")


def test_kokoro_comes_from_the_hub_where_packages_were_not_built(
    remote: Hub, home: Path, modules: None
) -> None:
    source = remote.add("hexgrad/Kokoro-82M")
    (source / "config.json").write_text('{"istftnet": {}, "plbert": {}}')
    folder = home / "models" / "hexgrad--Kokoro-82M"
    for _ in range(2):
        assert hub.load_voice("kokoro") == f"kokoro from {folder}"
    assert remote.asked == [
        ("hexgrad/Kokoro-82M", hub.KOKORO.revision, hub.KOKORO.files),
        ("hexgrad/Kokoro-82M", SNAPSHOT, ("kokoro-v1_0.pth",)),
    ]
    assert remote.converted == [source]


def test_a_converted_repository_is_used_where_it_lies(remote: Hub, modules: None) -> None:
    folder = write_model(remote.add("someone/translator"))
    assert hub.load_translator("someone/translator") == f"bergamot from {folder}"
    assert remote.asked[0] == ("someone/translator", None, ("config.json",))
    assert remote.asked[1][:2] == ("someone/translator", SNAPSHOT)
    assert remote.converted == []


def test_a_repository_of_another_kind_is_not_downloaded(remote: Hub) -> None:
    (remote.add("meta/llama") / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(ModelFormatError, match=r"'llama'.*cannot read.*Supported: Kokoro"):
        hub.load_voice("meta/llama")
    assert [files for _, _, files in remote.asked] == [("config.json",)]


def test_a_repository_that_cannot_be_reached(remote: Hub) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        hub.load_voice("nobody/nothing")
    assert "'nobody/nothing'" in str(caught.value)
    assert "ConnectionError: Name or service not known" in str(caught.value)
    with pytest.raises(ModelNotFoundError, match=r"convert packages --only kokoro"):
        hub.load_voice("kokoro")


def test_offline_is_respected(home: Path) -> None:
    """The real client, which reads the variable when it is imported."""
    script = "import mlx_speak; mlx_speak.load_voice('kokoro')"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(home / "hf")}
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=60
    )
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith("mlx_speak.errors.ModelNotFoundError: 'kokoro' is not here yet")
    assert "python -m mlx_speak.convert packages --only kokoro" in last


@pytest.mark.parametrize("bits", [0, 3, 16, "8"])
def test_bits_that_do_not_exist(home: Path, bits: int) -> None:
    with pytest.raises(ModelFormatError, match="bits must be None, 8 or 4"):
        hub.load_translator("bergamot-en-pt", bits=bits)


def test_bits_are_quantised_once_and_again_when_the_model_has_changed(
    remote: Hub, home: Path, modules: None
) -> None:
    base = write_model(home / "models" / "bergamot-en-pt")
    for _ in range(2):
        folder = hub.resolve("bergamot-en-pt", bits=8)
        assert folder == home / "models" / "bergamot-en-pt-8bit"
    assert remote.converted == [base]
    os.utime(base / "model.safetensors", (0, 0))
    assert hub.resolve("bergamot-en-pt", bits=8) == folder
    assert remote.converted == [base, base]


def test_folders_of_one_name_are_told_apart(remote: Hub, home: Path, tmp_path: Path) -> None:
    sources = [write_model(tmp_path / x / "model") for x in "ab"]
    folders = [hub.resolve(source, bits=8) for source in sources]
    assert remote.converted == sources
    assert len(set(folders)) == 2
    assert [hub.resolve(str(source), bits=8) for source in sources] == folders
    assert remote.converted == sources


def test_what_has_these_bits_already_is_left_alone(remote: Hub, tmp_path: Path) -> None:
    config = {"model_type": "bergamot", "quantization": {"bits": 8, "group_size": 64}}
    (write_model(tmp_path / "model") / "config.json").write_text(json.dumps(config))
    assert hub.resolve(tmp_path / "model", bits=8) == tmp_path / "model"
    assert remote.converted == []


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_original_checkpoint_is_converted_on_first_use(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture, layout: str
) -> None:
    source = write_checkpoint(tmp_path / "mine", layout)
    translator = hub.load_translator(source)
    said = capsys.readouterr().err
    assert f"converting {source} for the first use; kept in {home / 'models'}" in said
    assert "nllb: licence: " in said
    expected = load(write_folder(tmp_path / "expected"))
    words = ("The quick brown fox jumps.", "en", "pt")
    assert translator.translate(*words).tokens == expected.translate(*words).tokens != []
    built = hub.resolve(source)
    before = built.stat().st_ino
    hub.load_translator(str(source))
    assert capsys.readouterr().err == ""
    assert hub.resolve(source).stat().st_ino == before

    write_checkpoint(source, layout, shards=2)
    (source / layout).unlink()
    assert hub.resolve(source) == built
    assert built.stat().st_ino != before
    assert "converting" in capsys.readouterr().err


def test_bits_of_an_original_checkpoint(home: Path, tmp_path: Path) -> None:
    """32 numbers to a row of the fixture are fewer than a group, so its config alone shows it."""
    source = write_checkpoint(tmp_path / "mine")
    folder = hub.resolve(source, bits=8)
    assert read_config(folder)["quantization"]["bits"] == 8
    assert [path.name for path in (home / "models").iterdir()] == [folder.name]


def test_a_damaged_checkpoint_leaves_nothing(home: Path, tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "mine", weights={"model.shared.weight": mx.zeros(3)})
    with pytest.raises(ModelFormatError, match="has the shape"):
        hub.load_translator(source)
    assert list((home / "models").iterdir()) == []


def hub_cache(folder: Path, repository: str, commit: str) -> Path:
    """An empty snapshot of a repository in the layout of the hub's own cache."""
    root = folder / f"models--{repository.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text(SNAPSHOT)  # newer than the commit that is asked for
    return root / "snapshots" / commit


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_notebook_translates_from_a_name_on_the_hub(
    home: Path, tmp_path: Path, layout: str
) -> None:
    """Offline, out of the hub's cache, by the real client; and then without that cache."""
    repository = hub.ALIASES["nllb"]
    write_checkpoint(hub_cache(tmp_path / "hub", repository.id, repository.revision), layout)
    script = (
        "import mlx_speak as ms; "
        "t = ms.load_translator({name!r}, bits={bits}); "
        "print(t.translate('The quick brown fox.', source='en', target='pt').tokens)"
    )

    def run(name: str, bits: int | None, cache: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", script.format(name=name, bits=bits)],
            capture_output=True,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(cache)},
            timeout=60,
        )

    first = run("facebook/nllb-200-distilled-600M", None, tmp_path / "hub")
    assert first.stdout.startswith("["), first.stderr
    assert "licence: CC-BY-NC-4.0 (non-commercial use only)" in first.stderr
    again = run("nllb", None, tmp_path / "empty")
    assert (again.stdout, again.stderr) == (first.stdout, "")
    config = read_config(home / "models" / "facebook--nllb-200-distilled-600M")
    assert config["source"].endswith(f"facebook/nllb-200-distilled-600M/tree/{repository.revision}")
    eight = run("nllb-600m", 8, tmp_path / "empty")
    assert eight.stdout.startswith("["), eight.stderr
    missing = run("nllb-1.3b", None, tmp_path / "empty")
    last = missing.stderr.strip().splitlines()[-1]
    assert "'nllb-1.3b' is not here yet, and could not get" in last
    assert "or give a folder that holds its files" in last


def test_weights_are_not_downloaded_in_two_formats(remote: Hub) -> None:
    source = write_checkpoint(remote.add("some/nllb"))
    hub.download(hub.Repository("some/nllb"))
    assert [files for _, _, files in remote.asked][1:] == [("*.safetensors",)]
    remote.asked.clear()
    (source / "model.safetensors").unlink()
    hub.download(hub.Repository("some/nllb"))
    tried = [files for _, _, files in remote.asked][1:]
    assert tried == [("*.safetensors",), ("*.pth",), ("pytorch_model*.bin",)]
    assert {revision for _, revision, _ in remote.asked[1:]} == {SNAPSHOT}


def test_the_translator_of_two_languages() -> None:
    assert hub.default_translator("en", "pt-BR") == "bergamot-en-pt"
    assert hub.default_translator(Language.parse("por_Latn"), "en-GB") == "bergamot-pt-en"
    assert hub.default_translator("en", "ja") == "nllb"
    assert hub.default_translator("ban", "quy_Latn") == "nllb"
    with pytest.raises(UnknownLanguageError):
        hub.default_translator("en", "klingon")


def test_quantised_weights_on_a_cpu_are_told_of(tmp_path, home, caplog) -> None:
    write_folder(tmp_path / "tiny")
    hub.load_translator(tmp_path / "tiny")
    assert not caplog.records
    before = mx.default_device()
    mx.set_default_device(mx.cpu)
    try:
        hub.load_translator(tmp_path / "tiny", bits=8)
    finally:
        mx.set_default_device(before)
    assert "slower" in caplog.text


def test_the_default_voice_speaks_the_language() -> None:
    assert [hub.default_voice(tag) for tag in ("pt-BR", "ja", "en-GB")] == ["kokoro"] * 3
    assert hub.default_voice("de") == "say"
    with pytest.raises(UnknownLanguageError, match="klingon"):
        hub.default_voice("klingon")


def test_the_voice_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlx_speak.speech import system

    monkeypatch.setattr(system, "load", lambda: "the system's voice")
    assert hub.load_voice("say") == "the system's voice"


@pytest.mark.packages
@pytest.mark.usefixtures("models")
@pytest.mark.parametrize("bits", [None, 8])
def test_a_translator_is_ready_to_use(bits: int | None) -> None:
    translator = hub.load_translator("bergamot-en-pt", bits=bits)
    assert translator.translate("Good morning.", source="en", target="pt").text == "Bom dia."


@pytest.mark.packages
@pytest.mark.usefixtures("models")
def test_a_voice_is_ready_to_use() -> None:
    voice = hub.load_voice("kokoro")
    assert {"pf_dora", "jf_alpha", "af_heart"} <= {str(speaker) for speaker in voice.speakers}
