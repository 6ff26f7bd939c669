"""What all actions check of their arguments before anybody is asked."""

from dualstore.documents.doors import check_limit, check_skip
from dualstore.errors import InvalidInputError, shown

__all__ = [
    "check_count",
    "check_flag",
    "check_id",
    "check_limit",
    "check_optional_id",
    "check_skip",
]


def check_id(value: object, name: str) -> str:
    """`value`, when it is a text with something in it."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidInputError(f"{name} must be a text that names something, not {shown(value)}")
    return value


def check_count(limit: object) -> int | None:
    """As `check_limit`; None for no limit."""
    return None if limit is None else check_limit(limit)


def check_optional_id(value: object, name: str) -> str | None:
    """As `check_id`; None for any."""
    return None if value is None else check_id(value, name)


def check_flag(value: object, name: str) -> bool | None:
    """True, False, or None for either."""
    if value is not None and type(value) is not bool:
        raise InvalidInputError(f"{name} must be true, false or nothing, not {shown(value)}")
    return value
