"""Small and read-only disks, where this user may mount any."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(at: Path, *, kilobytes: int) -> Iterator[Path]:
    """A file system of that size; skips, and says why, where it can't be mounted."""
    at.mkdir()
    if not _mount("-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(at)):
        pytest.skip("NOT TESTED: a full or read-only disk needs the right to mount one")
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


def change_disk(at: Path, options: str) -> None:
    """As `size=64m` or `ro`."""
    assert _mount("-o", f"remount,{options}", str(at))


def _mount(*arguments: str) -> bool:
    if os.name != "posix":
        return False
    try:
        return (
            subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0
        )
    except FileNotFoundError:
        return False
