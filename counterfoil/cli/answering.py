"""What all subcommands answer with: exit codes, one JSON object or lines for people."""

import contextlib
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer._click.exceptions import UsageError  # typer exports only some of its kinds
from typer.core import TyperGroup

from counterfoil import terminal

if TYPE_CHECKING:
    from counterfoil.acts.on_the_log import OnTheLog
    from counterfoil.acts.over_http import OverHttp
    from counterfoil.context import Contexts
    from runtime.settings import Settings

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
"""What was asked for did not come about; of an audit: damage, or manipulation."""
EXIT_PARKED: Final = 2
"""All that was examined is in order, and keys are parked."""
EXIT_INCOMPLETE: Final = 3
"""A part could not be done; of an audit: a part was not examined."""
EXIT_NOT_MIGRATED: Final = 4
EXIT_NOT_EXAMINED: Final = 4
"""An audit could not begin: no connection, no permission, a database that is not migrated."""
EXIT_USAGE: Final = 64
"""The command line says what no command understands (EX_USAGE of sysexits.h)."""
EXIT_CONFIG: Final = 78
"""A setting is missing or cannot be (EX_CONFIG of sysexits.h): starting again changes nothing."""


GRAVEST_FIRST: Final = (EXIT_FAILED, EXIT_NOT_EXAMINED, EXIT_INCOMPLETE, EXIT_PARKED, EXIT_OK)
"""Of several codes of an audit the one that holds."""

As = Annotated[
    str | None,
    typer.Option("--as", help="Actor for the log; default: the database login and the system's user."),
]
Why = Annotated[str, typer.Option("--reason", help="Reason, kept in the log.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, last on standard output.")]


class CommandLine(TyperGroup):
    """The command line, whose wrong usage has a code that no command ends with otherwise."""

    def make_context(self, *given: Any, **options: Any) -> Any:
        """Read the options before the subcommand."""
        with _usage():
            return super().make_context(*given, **options)

    def invoke(self, ctx: Any) -> Any:
        """Read the subcommand, and run it."""
        with _usage():
            return super().invoke(ctx)


@contextlib.contextmanager
def _usage() -> Iterator[None]:
    try:
        yield
    except UsageError as error:
        error.exit_code = EXIT_USAGE
        raise


@contextlib.contextmanager
def auditing() -> Iterator[None]:
    """Around what an audit does: an error that keeps it from reading is a message, with its code.

    Raises:
        typer.Exit: with the code of the table in docs/operations.md.
    """
    try:
        yield
    except Exception as error:
        from counterfoil import user_messages

        message, code = user_messages.user_message(error), user_messages.code_of_audit(error)
        if isinstance(error, OSError) and error.filename is not None:  # which says nothing of the log
            message, code = f"{error.filename}: {error.strerror}", EXIT_NOT_EXAMINED
        if message is None or code is None:
            raise
        print(f"counterfoil: {message}", file=sys.stderr)
        raise typer.Exit(code) from error


def gravest(*codes: int) -> int:
    """The code that holds where several do."""
    return min(codes, key=GRAVEST_FIRST.index, default=EXIT_OK)


def settings() -> "Settings":
    """The settings of the environment."""
    from runtime.settings import Settings

    return Settings.load()


def contexts() -> "Contexts":
    """The contexts that the settings name."""
    from counterfoil import declared

    return declared.contexts(settings())


def operator(name: str | None) -> "OverHttp | OnTheLog":
    """How an operator of this name acts: through the APIs of what runs, or else on the log."""
    from counterfoil.acts import requesting

    return requesting.asking(settings(), contexts, name=name)


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
