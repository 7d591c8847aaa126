"""What all subcommands answer with: exit codes, one JSON object or lines for people."""

import json
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from counterfoil import terminal

if TYPE_CHECKING:
    from counterfoil.context import Contexts
    from runtime.settings import Settings

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_PARKED: Final = 2
EXIT_INCOMPLETE: Final = 3
EXIT_NOT_MIGRATED: Final = 4
EXIT_CONFIG: Final = 78
"""A setting is missing or cannot be (EX_CONFIG of sysexits.h): starting again changes nothing."""


AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, last on standard output.")]


def settings() -> "Settings":
    """The settings of the environment."""
    from runtime.settings import Settings

    return Settings.load()


def contexts() -> "Contexts":
    """The contexts that the settings name."""
    from counterfoil import declared

    return declared.contexts(settings())


def print_json(value: object) -> None:
    """Print a value as one line of JSON."""
    print(terminal.shown(json.dumps(value, ensure_ascii=False)), flush=True)


def answer(found: dict[str, Any], *, as_json: bool) -> None:
    """Print what was found, as JSON or a line per member."""
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        for each in value if isinstance(value, list) else [value]:
            shown = ", ".join(f"{k} {v}" for k, v in each.items()) if isinstance(each, dict) else each
            print(f"{name}: {shown}")
