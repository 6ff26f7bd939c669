"""What hypothesis makes entries and filters of: small pools, so that data and filters meet."""

import json
from typing import Any

from hypothesis import strategies as st

from dualstore.filters import MAX_NESTING
from dualstore.values import MAX_DEPTH

INT64 = st.integers(-(2**63), 2**63 - 1) | st.sampled_from(
    [0, 1, -1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, 2**63 - 2, -(2**63), -(2**63) + 1]
)
FLOATS = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(
    [-0.0, 0.0, 5e-324, -5e-324, 1.7976931348623157e308, 2.0**53, 2.0**63, 0.1 + 0.2, 1e16, 1e-7]
)
KEYS = st.text(max_size=12).map(lambda key: key.replace("\0", "")) | st.sampled_from(
    ["", ".", "a.b", "$set", "$", "_id", "__proto__", "ß", "İ", "\U0001f600", "\uffff", "a..b"]
)
SCALARS = st.none() | st.booleans() | INT64 | FLOATS | st.text(max_size=20)
JSON_VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
IDS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=24).filter(
    lambda text: not text.isspace()
)
TEXTS = st.text(max_size=40)


def nested(value: Any, depth: int) -> dict[str, Any]:
    """`value` inside as many dicts and lists, in turn; the outermost is a dict."""
    for level in range(depth - 1, -1, -1):
        value = [value] if level % 2 else {"k": value}
    assert isinstance(value, dict)
    return value


METADATA = st.dictionaries(KEYS, JSON_VALUES, max_size=5) | st.builds(
    nested, SCALARS, st.integers(1, MAX_DEPTH)
)


def spelled(value: Any) -> str:
    """Equal for values that are the same bit for bit: 1, 1.0 and True differ, and so do zeros."""
    return json.dumps(value, sort_keys=True)


# Data and filters that meet

PREFIX = "long " * 51 + "x"  # 256 characters, as many as an attribute keeps
POOL_KEYS = ["a", "b", "a.b", "", "$a", "a.", ".a", "b.a", "ß", "session_id"]
POOL_PATHS = [*POOL_KEYS, "a.a", "a.a.b", "a.b.a", "b.", "$a.a", "..", "c", "a.0"]
POOL_STRINGS = [
    "",
    "a",
    "A",
    "ab",
    "b",
    "a\0",
    "a\0b",
    "\0",
    "true",
    "1",
    "straße",
    "STRASSE",
    "İstanbul",
    "i̇stanbul",
    "ſet",
    "SET",
    "ﬁ",
    "\ue000",
    "\uffff",
    "\U0001f600",
    "%_*",
    PREFIX[:255],
    PREFIX,
    PREFIX + "a",
    PREFIX + "b",
]
POOL_NUMBERS = [
    *(0, 1, -1, 2, 10, 2**53, 2**53 + 1, 2**63 - 1, 2**63 - 2, -(2**63), -(2**63) + 1),
    *(0.0, -0.0, 1.0, 1.5, -1.5, 5e-324, -5e-324, 1e308, 2.0**53, 2.0**63, 9.2e18, 0.1),
]
POOL_SCALARS = st.sampled_from([*POOL_STRINGS, *POOL_NUMBERS, True, False, None])
POOL_VALUES = st.recursive(
    POOL_SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(POOL_KEYS), inner, max_size=2)
    ),
    max_leaves=5,
)
POOL_METADATA = st.dictionaries(st.sampled_from(POOL_KEYS), POOL_VALUES, max_size=4)
POOL_TIMES = [-1, 0, 1, 1000, 1001, 253_402_300_799_999]
POOL_IDS = ["a", "b", "A", "ab", "$a", "ſ", "straße", "\ue000", "\U0001f600", PREFIX + "i"]
POOL_ORIGINS = ["local", "opencode", "other"]

_NEEDLES = ["", "a", "A", "ss", "ß", "i̇", "s", "S", "fi", "\0", "%", "x", PREFIX]
_TIME_OPERANDS = [*POOL_TIMES, 0.5, -0.0, 1e300, -1e300, "1970-01-01T00:00:01"]
_ORDERS = ["$gt", "$gte", "$lt", "$lte"]
_OPERATORS = ["$eq", "$ne", "$in", "$nin", "$exists", *_ORDERS]


def _operands(field: str) -> list[Any]:
    """What the field may be compared with; null is only asked for, never ordered."""
    match field:
        case "id":
            return [*POOL_IDS, 1]
        case "text":
            return [*POOL_STRINGS, 1]
        case "origin":
            return [*POOL_ORIGINS, 1]
        case "timestamp":
            return _TIME_OPERANDS
        case _:
            return [*POOL_STRINGS, *POOL_NUMBERS, True, False]


@st.composite
def _operators(draw: st.DrawFn, field: str) -> dict[str, Any]:
    ordered = st.sampled_from(_operands(field))
    equal = ordered | st.none()
    allowed = _OPERATORS if field == "timestamp" else [*_OPERATORS, "$contains"]
    chosen = draw(st.lists(st.sampled_from(allowed), min_size=1, max_size=2, unique=True))
    operands = {
        "$in": st.lists(equal, max_size=3),
        "$nin": st.lists(equal, max_size=3),
        "$exists": st.booleans(),
        "$contains": st.sampled_from(_NEEDLES),
    } | dict.fromkeys(_ORDERS, ordered)
    return {operator: draw(operands.get(operator, equal)) for operator in chosen}


@st.composite
def _leaves(draw: st.DrawFn) -> dict[str, Any]:
    paths = [f"metadata.{path}" for path in POOL_PATHS]
    field = draw(st.sampled_from([*paths, "id", "text", "origin", "timestamp"]))
    form = draw(st.sampled_from(["bare", "operators", "not"]))
    if form == "bare":
        return {field: draw(st.sampled_from(_operands(field)) | st.none())}
    condition = draw(_operators(field))
    return {field: condition if form == "operators" else {"$not": condition}}


_TREES = st.recursive(
    _leaves() | st.just({}),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"$and": parts}),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"$or": parts}),
        inner.map(lambda part: {"$not": part}),
        st.tuples(_leaves(), inner).map(lambda pair: {**pair[0], **pair[1]}),
    ),
    max_leaves=5,
)


@st.composite
def filters(draw: st.DrawFn) -> dict[str, Any]:
    """Any filter the grammar can make, about what `items` holds."""
    return draw(_TREES)


@st.composite
def items(draw: st.DrawFn) -> dict[str, Any]:
    """What a filter can ask about an entry, but its id."""
    return {
        "text": draw(st.sampled_from(POOL_STRINGS)),
        "timestamp": draw(st.sampled_from(POOL_TIMES)),
        "metadata": draw(POOL_METADATA),
        "origin": draw(st.sampled_from(POOL_ORIGINS)),
    }


def deep_filter(part: dict[str, Any], nesting: int = MAX_NESTING) -> dict[str, Any]:
    """`part` inside as many `$not`."""
    for _ in range(nesting):
        part = {"$not": part}
    return part
