"""All settings in one class. Nothing else in this library reads the environment."""

import os
import sys
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from dualstore.errors import InvalidNameError, SettingsError
from dualstore.family import family_name

_DOCUMENTS: Final = ("sqlite:///", "mongodb://", "mongodb+srv://")
_VECTORS: Final = ("chroma:///", "chroma+embedded:///", "http://", "https://")
_EMBEDDERS: Final = ("ollama:", "openai:")


def data_folder() -> Path:
    """Where this user's data belongs on this system."""
    home = Path.home()
    match sys.platform:
        case "win32":
            base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
        case "darwin":
            base = home / "Library" / "Application Support"
        case _:
            base = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return base / "dualstore"


class Settings(BaseSettings):
    """Given by keyword, else by `DUALSTORE_*` in the environment, else as written here.

    Raises `SettingsError` that names the setting and never shows a secret.
    """

    model_config = SettingsConfigDict(
        env_prefix="DUALSTORE_",
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
    )

    documents: str = Field(
        default_factory=lambda: f"sqlite:///{data_folder() / 'documents.sqlite'}", repr=False
    )
    """`sqlite:///relative`, `sqlite:////absolute` or `mongodb://...`; may hold a password."""
    vectors: str = Field(
        default_factory=lambda: f"chroma:///{data_folder() / 'vectors'}", repr=False
    )
    """`chroma:///folder`, `chroma+embedded:///folder` or `http://host:port`."""
    embedder: str = "static"
    """`static`, `ollama:model` or `openai:model`."""
    embedder_url: str = Field(default="", repr=False)
    """Where the embedder is served; empty for its usual address."""
    embedder_key: SecretStr = SecretStr("")
    remote: str = Field(default="", repr=False)
    """The client API that is asked for what isn't here: `http://...`; empty for none."""
    remote_user: str = ""
    remote_password: SecretStr = SecretStr("")
    agent_name: str = "default"
    """Families of different agents never meet."""
    consistency: Literal["eventual", "strict"] = "eventual"
    """`strict` writes return when the vector is in, too."""
    strict_timeout: float = Field(default=10.0, gt=0, le=600)
    """Seconds that a strict write waits for its vector."""
    index_lease: float = Field(default=60.0, gt=0, le=3600)
    """Seconds after which others take over what a process that died was indexing."""
    tombstone_days: int = Field(default=365, ge=1)
    """How long it is remembered that something was deleted."""
    remote_timeout: float = Field(default=10.0, gt=0, le=600)
    """Seconds after which a read is answered without the remote."""
    fresh_running: float = Field(default=5.0, ge=0)
    """Seconds that what is known of a session counts as fresh while it may be running."""
    fresh_finished: float = Field(default=86_400.0, ge=0)
    """The same for one without any news for ten minutes."""
    fresh_lists: float = Field(default=10.0, ge=0)
    """The same for which sessions and events there are."""
    stale: float = Field(default=60.0, ge=0)
    """Seconds after that in which it is still answered, while the remote is asked behind it."""
    absent: float = Field(default=30.0, ge=0)
    """Seconds that it is remembered that the remote doesn't have something."""
    on_remote_delete: Literal["keep", "drop"] = "keep"
    """What becomes of the copy of something that is gone at the remote."""
    read_log: bool = True
    """Whether conversations are read through their summaries; if not, from entry 1."""
    documents_timeout: float = Field(default=10.0, gt=0, le=600)
    """Seconds after which MongoDB counts as unavailable."""
    busy_timeout: float = Field(default=30.0, gt=0, le=600)
    """Seconds that a write to an SQLite file waits for other processes."""
    synchronous: Literal["normal", "full"] = "normal"
    """SQLite: `full` survives a power cut too, and makes single writes about three times slower."""

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise SettingsError(_explained(error)) from None

    @field_validator("documents")
    @classmethod
    def _check_documents(cls, value: str) -> str:
        return _starting_with(value, _DOCUMENTS)

    @field_validator("vectors")
    @classmethod
    def _check_vectors(cls, value: str) -> str:
        return _starting_with(value, _VECTORS)

    @field_validator("embedder")
    @classmethod
    def _check_embedder(cls, value: str) -> str:
        if value != "static" and not any(
            value.startswith(kind) and len(value) > len(kind) for kind in _EMBEDDERS
        ):
            raise ValueError("must be static, ollama:MODEL or openai:MODEL")
        return value

    @field_validator("remote", "embedder_url")
    @classmethod
    def _check_http(cls, value: str) -> str:
        return value and _starting_with(value, ("http://", "https://"))

    @field_validator("agent_name")
    @classmethod
    def _check_agent(cls, value: str) -> str:
        try:
            family_name(value, "any")
        except InvalidNameError as error:
            raise ValueError(str(error)) from None
        return value

    def sqlite_path(self) -> Path | None:
        """The file that `documents` names; None when it names a server."""
        scheme = _DOCUMENTS[0]
        return Path(self.documents[len(scheme) :]) if self.documents.startswith(scheme) else None


def _starting_with(value: str, schemes: tuple[str, ...]) -> str:
    if not any(value.startswith(scheme) and len(value) > len(scheme) for scheme in schemes):
        raise ValueError(f"must be an address that starts with {', '.join(schemes)}")
    return value


def _explained(error: ValidationError) -> str:
    """One sentence per wrong setting, without the value: it may be a secret."""
    return "; ".join(
        f"{'.'.join(map(str, each['loc'])) or 'settings'} "
        f"(DUALSTORE_{'_'.join(map(str, each['loc'])).upper()}): "
        f"{each['msg'].removeprefix('Value error, ')}"
        for each in error.errors()
    )
