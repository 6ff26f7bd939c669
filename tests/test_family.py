import json
from dataclasses import fields, replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualstore.errors import FamilyMismatchError, InvalidNameError
from dualstore.family import FamilySpec, family_name
from dualstore.values import from_json, to_json

AGENTS = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9-]{0,8}\Z")
NAMES = st.from_regex(r"\A[A-Za-z0-9]([A-Za-z0-9._-]{0,8}[A-Za-z0-9])?\Z")


@given(AGENTS, NAMES, AGENTS, NAMES)
def test_no_two_families_meet(agent: str, name: str, agent2: str, name2: str) -> None:
    same = family_name(agent, name) == family_name(agent2, name2)
    assert same == ((agent, name) == (agent2, name2))


@pytest.mark.parametrize(
    "agent", ["", "a_b", "-a", "a b", "ä", "a.b", "a\n", "a" * 101, None, 3, "a/b", "a\0"]
)
def test_an_agent_of_another_spelling_is_refused(agent: str) -> None:
    with pytest.raises(InvalidNameError, match="can't be an agent's name: 1 to 100 letters"):
        family_name(agent, "notes")


@pytest.mark.parametrize(
    "name", ["", "_a", "a_", ".a", "a.", "-", "a b", "ä", "a:b", "a\n", "a" * 101, None, "a$b"]
)
def test_a_family_of_another_spelling_is_refused(name: str) -> None:
    with pytest.raises(InvalidNameError, match="can't be a family's name: 1 to 100 letters"):
        family_name("default", name)


def test_names_of_one_character_and_of_a_hundred_are_fine() -> None:
    for agent, name in product(("a", "a-"), ("b", "b._-b", "b" * 100)):
        assert family_name(agent, name) == f"{agent}_{name}"


SPEC = FamilySpec("a_b", filter_fields=("role", "kind"), analyzer="1")
OTHERS = {
    "text_key": "content",
    "time_key": "when",
    "thread_key": None,
    "author_key": "speaker",
    "filter_fields": ("role",),
    "analyzer": "2",
    "images": True,
}


def test_a_family_opens_as_it_was_recorded() -> None:
    SPEC.check_recorded(from_json(to_json(SPEC.to_record(), "value")))
    SPEC.check_recorded(json.loads(json.dumps(SPEC.to_record())))


def test_every_field_but_the_name_is_tried_below() -> None:
    assert {field.name for field in fields(SPEC)} - {"name"} == set(OTHERS)


@pytest.mark.parametrize("field", OTHERS)
def test_every_difference_is_refused_naming_both_sides_and_the_way_out(field: str) -> None:
    other = replace(SPEC, **{field: OTHERS[field]})  # type: ignore[arg-type]
    with pytest.raises(FamilyMismatchError, match=rf"'a_b'.*{field} is .* there.*reindex") as seen:
        other.check_recorded(SPEC.to_record())
    assert str(seen.value).count(" there and ") == 1
    with pytest.raises(FamilyMismatchError, match=field):
        SPEC.check_recorded(other.to_record())


def test_a_record_that_names_an_embedder_is_of_an_older_release_and_opens() -> None:
    SPEC.check_recorded({**SPEC.to_record(), "embedder": "static-minilm-1-256"})


def test_a_spec_is_read_back_from_its_record_whatever_else_is_there() -> None:
    for spec in (SPEC, *(replace(SPEC, **{name: OTHERS[name]}) for name in OTHERS)):  # type: ignore[arg-type]
        recorded = from_json(to_json({**spec.to_record(), "embedder": "x"}, "value"))
        assert FamilySpec.from_record(recorded) == spec
        assert spec.differing(recorded) == set()
    assert FamilySpec.from_record({"name": "a_b"}) == FamilySpec("a_b")
    assert SPEC.differing({**SPEC.to_record(), "text_key": 5, "more": 1}) == {"text_key"}


def test_a_record_that_lacks_a_field_is_a_difference() -> None:
    recorded = SPEC.to_record()
    del recorded["analyzer"]
    with pytest.raises(FamilyMismatchError, match="analyzer is None there and '1' here"):
        SPEC.check_recorded(recorded)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": None},
        {"name": "nounderscore"},
        {"text_key": 5},
        {"text_key": ""},
        {"text_key": None},
        {"text_key": "body"},
        {"text_key": "timestamp"},
        {"time_key": "id"},
        {"thread_key": ""},
        {"author_key": "a\0b"},
        {"filter_fields": "role"},
        {"filter_fields": ("\ud800",)},
    ],
)
def test_a_spec_that_can_not_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidNameError):
        FamilySpec(**{"name": "a_b", **wrong})
