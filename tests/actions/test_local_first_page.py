"""What docs/local-first.md says in numbers and names is so."""

import re
from dataclasses import fields
from pathlib import Path

from dualstore import metrics
from dualstore.metrics import ReadAnswered
from dualstore.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "local-first.md").read_text()


def rows(title: str) -> list[list[str]]:
    """The cells of the first table below a title."""
    table = re.search(r"(?:^\|.*\n)+", PAGE.split(f"## {title}\n")[1], re.MULTILINE)
    assert table
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table[0].splitlines()[2:]]


def test_its_settings_have_these_defaults() -> None:
    found = {name.strip("`"): default for _, name, default in rows("What fresh means")}
    assert found.keys() == {"fresh_running", "fresh_finished", "fresh_lists", "absent"}
    for name, default in found.items():
        assert float(default.replace(",", "")) == Settings.model_fields[name].default
    assert f"`stale` ({Settings.model_fields['stale'].default:g} s)" in PAGE
    assert f"`remote_timeout` ({Settings.model_fields['remote_timeout'].default:g} s)" in PAGE
    assert f'on_remote_delete="{Settings.model_fields["on_remote_delete"].default}"` (the' in PAGE


def test_every_counter_of_reads_is_on_it() -> None:
    named = {name for row in rows("The table") for name in re.findall(r"`(\w+)`", row[-1])}
    named |= set(re.findall(r"`(\w+)` counts besides", PAGE))
    assert named == {each.name for each in fields(ReadAnswered)} - {"family", "seconds"}


def test_every_event_is_on_it() -> None:
    events = {each.__name__ for each in metrics.Event.__subclasses__()}
    ours = {name for name in events if getattr(metrics, name, None)}
    assert len(ours) >= 7
    assert {name for name in ours if f"`{name}`" not in PAGE} == set()
