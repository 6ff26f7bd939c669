"""The `chroma` program, run by path: up in 0.1 s, where the whole package takes a second more."""

import sys


def main() -> None:
    try:
        from chromadb_rust_bindings import cli  # type: ignore[import-untyped]
    except ImportError:  # a release that is built otherwise
        from chromadb.cli.cli import app

        app()  # type: ignore[no-untyped-call]
    else:
        cli(["chroma", *sys.argv[1:]])


if __name__ == "__main__":
    main()
