import subprocess
import sys

import pytest

import dualstore


def test_every_public_name_is_there() -> None:
    for name in dualstore.__all__:
        assert getattr(dualstore, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        dualstore.Nonsense  # noqa: B018


def test_the_root_imports_nothing_before_it_is_used() -> None:
    code = "import sys, dualstore; print([m for m in sys.modules if m.startswith('dualstore.')])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
