"""A contract type for import-linter, whose own wildcards stand for whole names only.

`[tool.importlinter]` in pyproject.toml names it. Patterns are those of the shell: `a.b.sqlite*` is
`a.b.sqlite_rows` as well as `a.b.sqlite` and all that is in it.
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class OnlyContract(Contract):
    """Each of the groups is imported, directly, only by itself and by the importers.

    A pattern that matches nothing is fine: the room may be built later.
    """

    type_name = "only"

    groups = fields.ListField(subfield=fields.StringField())
    importers = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002 (base)
        allowed: list[str] = list(_strings(self.importers))
        broken = [
            (importer, imported)
            for group in _strings(self.groups)
            for imported in _matching(graph.modules, [group])
            for importer in sorted(graph.find_modules_that_directly_import(imported))
            if not _matches(importer, [group, *allowed])
        ]
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for importer, imported in check.metadata["broken"]:
            output.print_error(f"{importer} is not allowed to import {imported}")
        output.new_line()


def _strings(value: Any) -> Iterable[str]:
    """A field holds what was parsed; its declaration says something else."""
    return [str(item) for item in value]


def _matching(names: Iterable[str], patterns: list[str]) -> list[str]:
    return sorted(name for name in names if _matches(name, patterns))


def _matches(name: str, patterns: list[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
