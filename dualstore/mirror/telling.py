"""What the JSON of a remote says in words. Nothing in it is sure to be there. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from dualstore.errors import EntryError, shown
from dualstore.remote.base import Thing
from dualstore.values import to_ms

LONGEST: Final = 2_000
"""Characters of the texts that tell what an event or the end of a task was about."""
_INPUT: Final = 200
_LONG: Final = 500


def found(thing: Any, *path: str) -> Any:
    """What is there; None where something on the way is missing or no object."""
    for key in path:
        thing = thing.get(key) if isinstance(thing, dict) else None
    return thing


def text_at(thing: Any, *path: str) -> str | None:
    """The text there, if there is one with anything in it."""
    value = found(thing, *path)
    return value if isinstance(value, str) and value.strip() else None


def ms_at(thing: Any, *path: str) -> int | None:
    """The time there, if a number that can be one is."""
    value = found(thing, *path)
    if type(value) not in (int, float):
        return None
    try:
        return to_ms(value)
    except EntryError:
        return None


def known(**values: Any) -> dict[str, Any]:
    """Without what is None."""
    return {key: value for key, value in values.items() if value is not None}


def lines(texts: Iterable[str | None]) -> str:
    """Each once, the blank ones left out."""
    return "\n".join(dict.fromkeys(text.strip() for text in texts if text and text.strip()))


def error_text(error: Any) -> str | None:
    """What an error says, else its name."""
    return cut(text_at(error, "data", "message") or text_at(error, "name"), LONGEST)


def cut(text: str | None, most: int) -> str | None:
    return text and text[:most]


def message_text(info: Thing, parts: Sequence[Thing]) -> str:
    """What machines put beside a text (whole files, mostly) counts only where it is all."""
    by_kind: dict[str, list[Thing]] = {}
    for part in parts:
        kind = found(part, "type")
        if isinstance(kind, str):
            by_kind.setdefault(kind, []).append(part)
    told = (
        line
        for kind, tell in _TELLING.items()
        for part in by_kind.get(kind, ())
        for line in tell(part)
    )
    return lines([*told, error_text(found(info, "error"))]) or lines(
        cut(text_at(part, "text"), LONGEST)
        for part in by_kind.get("text", ())
        if not found(part, "ignored")
    )


def _text_part(part: Thing) -> list[str | None]:
    return [] if is_aside(part) else [text_at(part, "text")]


def is_aside(part: Thing) -> bool:
    """Neither the user nor the assistant said it."""
    return bool(found(part, "ignored") or found(part, "synthetic"))


def _subtask_part(part: Thing) -> list[str | None]:
    return [text_at(part, "description"), cut(text_at(part, "prompt"), _LONG)]


def _file_part(part: Thing) -> list[str | None]:
    return [cut(text_at(part, "filename"), _LONG)]


def _patch_part(part: Thing) -> list[str | None]:
    files = found(part, "files")
    return [file for file in files if isinstance(file, str)] if isinstance(files, list) else []


def _tool_part(part: Thing) -> list[str | None]:
    state = found(part, "state")
    return [
        text_at(part, "tool"),
        cut(text_at(state, "title"), _LONG),
        *_inputs(found(state, "input")),
        cut(text_at(state, "output"), _LONG),
        cut(text_at(state, "error"), _LONG),
    ]


def _inputs(given: Any) -> list[str | None]:
    values = given.values() if isinstance(given, dict) else ()
    return [
        value[:_INPUT] if isinstance(value, str) else shown(value)
        for value in values
        if type(value) in (str, int, float)
    ]


def _retry_part(part: Thing) -> list[str | None]:
    return [error_text(found(part, "error"))]


def _reasoning_part(part: Thing) -> list[str | None]:
    return [cut(text_at(part, "text"), _LONG)]


_TELLING: Final[Mapping[str, Callable[[Thing], list[str | None]]]] = {
    "text": _text_part,
    "subtask": _subtask_part,
    "file": _file_part,
    "patch": _patch_part,
    "tool": _tool_part,
    "retry": _retry_part,
    # Few remember what they hardly saw, but its beginning says why a step was taken, often in the
    # only words of that message: so it comes last, and short.
    "reasoning": _reasoning_part,
}
