import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("[!_]*.py"))

SEEN = {
    "agent_loop": (
        "user:  Do they need water?",
        "agent: It is dry and warm: water them in the evening.",
        "agent: I have sent somebody to look.",
        "-- it died with 9, and is started again --",
        "the last thing said: Are you there?",
        "turns that broke off: 1",
        "agent: The roses have aphids. Ladybirds would help.",
        "again: []",
        "compacted: True",
        "agent: I remember 4 messages.",
        "the model sees: ['(what 8 messages said)', 'sub-agent: small green insects'] ...",
        "the user sees: 8 messages, the first one: Do they need water?",
        "found: The roses have **aphids**. Ladybirds would help. [In the garden, entry 18]",
        "24 entries, clean: True",
    ),
    "memory": (
        "parse_config",
        "  -> The build is red: **parseConfig** raises ENOENT in src/app.ts:42"
        "  [m1, text and semantic]",
        "src/app.ts",
        "  -> The build is red: parseConfig raises ENOENT in **src/app.ts:42**"
        "  [m1, text and semantic]",
        "doctor schedule",
        "  -> Now the **physician's** calendar shows every appointment twice  [m3, semantic]",
        "for a model: user, assistant",
        "4 entries, 4 vectors, clean: True",
    ),
    "other_remote": (
        "list: ['The boiler', 'The garden']  [remote, complete: True]",
        "  (not all messages of 2 of these sessions are here, and counted)",
        "get: 2 messages  [remote, complete: True]",
        "again: 2 messages  [local, complete: True]",
        "search: The radiator in the attic stays cold.  [local, complete: False]",
        "  (the remote can't search what was said, and not all of it is here yet)",
        "list: ['The boiler', 'The garden']  [stale, complete: False]",
        "  (not all messages of 1 of these sessions are here, and counted)",
        "  (the remote can't be asked: the folder is not there)",
        "get: 2 messages  [local, complete: True]",
        "get: session 'kitchen' is not here, and the remote can't be asked",
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_shows_what_it_says(name: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-m", f"examples.{name}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == list(SEEN[name])


def test_the_readmes_example_works_as_printed(tmp_path: Path) -> None:
    code = (ROOT / "README.md").read_text().split("```python\n")[1].split("```")[0]
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "XDG_DATA_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.stdout, ran.stderr) == ("**parseConfig** fails with ENOENT\n", "")
