"""JSON of which nothing is known but that it nearly is what a remote gives."""

from typing import Any

from hypothesis import strategies as st

from tests.documents.strategies import SCALARS

_KEYS = st.sampled_from(
    "id info time created updated completed archived title agent description parentID role parts "
    "sessionID type text tool state status input output error name data message finish synthetic "
    "ignored files filename prompt part messageID start end".split()
)
_VALUES = SCALARS | st.sampled_from(
    [
        "ses_1",
        "msg_1",
        "user",
        "assistant",
        "text",
        "tool",
        "patch",
        "stop",
        "tool-calls",
        "busy",
        "idle",
        "\0",
        2**70,
        -1.5,
        float("inf"),
        float("nan"),
        1e300,
    ]
)
LOOSE = st.recursive(
    _VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=6),
    max_leaves=25,
)


def loosened(thing: Any) -> st.SearchStrategy[Any]:
    """The thing, here and there with something else in a place, or without it."""
    if isinstance(thing, dict):
        inner = st.fixed_dictionaries(
            {}, optional={key: loosened(value) for key, value in thing.items()}
        )
        whole = st.fixed_dictionaries({key: loosened(value) for key, value in thing.items()})
        return st.one_of(whole, whole, whole, inner, LOOSE)
    if isinstance(thing, list):
        return st.one_of(st.tuples(*map(loosened, thing)).map(list), LOOSE)
    return st.one_of(*[st.just(thing)] * 12, LOOSE)
