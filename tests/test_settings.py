from pathlib import Path
from typing import Any

import pytest

from dualstore import Settings, SettingsError


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    for name in Settings.model_fields:
        monkeypatch.delenv(f"DUALSTORE_{name.upper()}", raising=False)


@pytest.mark.skipif("sys.platform != 'linux'", reason="data folders differ by system")
def test_the_default_is_a_file_in_the_users_data_folder(tmp_path: Path) -> None:
    assert Settings().sqlite_path() == tmp_path / "dualstore" / "documents.sqlite"
    assert Settings().vectors == f"chroma:///{tmp_path}/dualstore/vectors"


@pytest.mark.parametrize(
    ("platform", "variable", "expected"),
    [
        ("win32", "LOCALAPPDATA", "local/dualstore"),
        ("linux", "XDG_DATA_HOME", "local/dualstore"),
        ("darwin", "HOME", "local/Library/Application Support/dualstore"),
    ],
)
def test_each_system_has_its_own_data_folder(
    platform: str, variable: str, expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setenv(variable, str(tmp_path / "local"))
    assert Settings().sqlite_path() == tmp_path / expected / "documents.sqlite"


def test_the_environment_is_read_and_keywords_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALSTORE_AGENT_NAME", "from-env")
    monkeypatch.setenv("DUALSTORE_CONSISTENCY", "strict")
    settings = Settings(agent_name="given")
    assert (settings.agent_name, settings.consistency) == ("given", "strict")


def test_an_empty_variable_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALSTORE_DOCUMENTS", "")
    assert Settings().documents.startswith("sqlite:///")


def test_sqlite_addresses_have_sqlalchemys_slashes() -> None:
    assert Settings(documents="sqlite:////srv/a.db").sqlite_path() == Path("/srv/a.db")
    assert Settings(documents="sqlite:///a/b.db").sqlite_path() == Path("a/b.db")
    assert Settings(documents="mongodb://h/db").sqlite_path() is None


@pytest.mark.parametrize(
    "given",
    [
        {"documents": "postgres://u:geheim@h"},
        {"documents": "sqlite:///"},
        {"documents": ""},
        {"vectors": "geheim"},
        {"embedder": "ollama:"},
        {"embedder_url": "ftp://geheim"},
        {"remote": "geheim"},
        {"agent_name": "a_b"},
        {"consistency": "sometimes"},
        {"busy_timeout": 0},
        {"documents_timeout": "soon"},
        {"synchronous": "off"},
        {"no_such_setting": 1},
    ],
)
def test_a_wrong_setting_is_named_and_its_value_is_not_shown(given: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(**given)
    (name,) = given
    assert str(caught.value).startswith(f"{name} (DUALSTORE_{name.upper()}): ")
    assert "geheim" not in str(caught.value)


def test_secrets_are_not_in_what_is_printed() -> None:
    settings = Settings(
        remote_password="geheim", embedder_key="geheim", documents="mongodb://u:geheim@h/db"
    )
    assert "geheim" not in repr(settings)
    assert settings.remote_password.get_secret_value() == "geheim"


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().agent_name = "other"
