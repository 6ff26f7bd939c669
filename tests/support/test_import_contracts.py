import pytest
from grimp import ImportGraph

from tests.support.import_contracts import OnlyContract

IMPORTS = [
    ("house.store.sqlite_rows", "house.store.sqlite.errors"),  # its own group
    ("house.store.sqlite.errors", "sqlite3"),
    ("house.wiring", "house.store.sqlite.errors"),
    ("house.store.mongo", "house.store.sqlite.errors"),
    ("house.store.base", "sqlite3"),
]


@pytest.mark.parametrize(
    ("groups", "importers", "broken"),
    [
        (
            ["house.store.mongo*", "house.store.sqlite*"],
            ["house.wiring"],
            [("house.store.mongo", "house.store.sqlite.errors")],
        ),
        (["sqlite3"], ["house.store.sqlite*"], [("house.store.base", "sqlite3")]),
        (["house.store.not_built_yet*"], ["house.nobody"], []),
    ],
)
def test_a_group_is_imported_by_itself_and_the_importers_only(
    groups: list[str], importers: list[str], broken: list[tuple[str, str]]
) -> None:
    graph = ImportGraph()
    for importer, imported in IMPORTS:
        graph.add_import(importer=importer, imported=imported)
    contract = OnlyContract(
        name="only",
        session_options={},
        contract_options={"groups": groups, "importers": importers},
    )
    check = contract.check(graph, verbose=False)
    assert check.metadata["broken"] == broken
    assert check.kept == (not broken)
