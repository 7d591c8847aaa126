# ruff: noqa: FBT002 - an option of the command line is a boolean with a default
"""The `counterfoil` command. Every subcommand reads its arguments and calls one function elsewhere.

Nothing heavy is imported here: each subcommand imports what it runs, so roles start fast and stay small.

Exit codes: 0 done; 1 failed, refused or damaged, with one line that says what to do; 2 wrong usage, or, for
`audit verify`, keys are parked and everything else is in order; 3 an import went to its end, and lines of the file
were refused or orders not shipped; 4 this version cannot run before the database is migrated.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from counterfoil import terminal
from counterfoil.importing.formats import Format
from runtime import collecting

if TYPE_CHECKING:
    from runtime.settings import Settings

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_PARKED: Final = 2
EXIT_INCOMPLETE: Final = 3
EXIT_NOT_MIGRATED: Final = 4

app = typer.Typer(
    name="counterfoil", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)


def _group(name: str, purpose: str) -> typer.Typer:
    group = typer.Typer(no_args_is_help=True, help=purpose)
    app.add_typer(group, name=name)
    return group


config_app = _group("config", "Settings.")
views_app = _group("views", "Views: list, rebuild beside the live one, verify, promote, roll back.")
parked_app = _group("parked", "Keys whose events could not be applied, and what to do with them.")
audit_app = _group("audit", "Prove what happened.")
log_app = _group("log", "The log itself.")
import_app = _group("import", "Bring data in through the command API.")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, last on standard output.")]


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with the option's value
    if wanted:
        from runtime.version import version

        print(f"counterfoil {version()}")
        raise typer.Exit


@app.callback()
def front(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Event-sourced commerce backend whose every answer can be checked against its log."""


def main() -> None:
    """Run the command; errors that a person can act on are one line and exit code 1."""
    collecting.collect_seldom()
    try:
        app()
    except Exception as error:
        # The last edge before a person: what is known how to be told is told, everything else is a defect.
        from counterfoil.telling import told
        from runtime.migrations import NotMigrated

        message = told(error)
        if message is None:
            raise
        print(f"counterfoil: {message}", file=sys.stderr)
        sys.exit(EXIT_NOT_MIGRATED if isinstance(error, NotMigrated) else EXIT_FAILED)


def _settings() -> "Settings":
    from runtime.settings import Settings

    return Settings.load()


def _print_json(value: object) -> None:
    print(terminal.shown(json.dumps(value, ensure_ascii=False)), flush=True)


@app.command()
def migrate(
    pre: Annotated[
        bool, typer.Option("--pre", help="Only what must be there before processes of this version start.")
    ] = False,
    post: Annotated[
        bool, typer.Option("--post", help="Only what may come once none of the version before runs.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the SQL that is pending, apply nothing.")
    ] = False,
) -> None:
    """Bring the database to this version: all that is pending, unless one of --pre and --post is given."""
    from counterfoil import addresses, migrating
    from runtime.migrations import PHASES

    url = addresses.database_url(_settings())
    asked = {"pre": pre, "post": post}
    phases = tuple(phase for phase in PHASES if asked[phase]) or PHASES
    if dry_run:
        for migration in migrating.due(url, phases=phases):
            print(f"-- {migration.label}\n{migration.text}")
        return
    applied = migrating.migrate(url, phases=phases)
    print("\n".join(f"applied {name}" for name in applied) or "nothing to apply")


@app.command("roles")
def database_roles(
    sql: Annotated[
        bool,
        typer.Option("--sql", help="Print what an administrator runs where `migrate` may not create roles."),
    ] = False,
    login_prefix: Annotated[
        str | None, typer.Option("--login-prefix", help="How names of the logins begin; default: shop_.")
    ] = None,
) -> None:
    """Which command takes which role of Postgres."""
    from counterfoil import privileges

    if sql:
        print(privileges.script(login_prefix=login_prefix or privileges.LOGIN_PREFIX), end="")
    else:
        print("\n".join(privileges.lines()))


@app.command("command-api")
def command_api() -> None:
    """Serve the command API."""
    from counterfoil import roles

    roles.command_api(_settings())


@app.command("query-api")
def query_api() -> None:
    """Serve the query API."""
    from counterfoil import roles

    roles.query_api(_settings())


@app.command()
def relay() -> None:
    """Carry the log to its consumers; a second one stands by."""
    from counterfoil import roles

    roles.relay(_settings())


@app.command()
def projections() -> None:
    """Keep the views; more processes share the partitions."""
    from counterfoil import roles

    roles.projections(_settings())


@app.command()
def policies() -> None:
    """Run the process managers; a second one stands by."""
    from counterfoil import roles

    roles.policies(_settings())


@app.command()
def up(
    distributed: Annotated[
        bool, typer.Option("--distributed", help="Carry events through Kafka instead of the log itself.")
    ] = False,
) -> None:
    """Run everything in one process group until Ctrl-C: servers of its own and a process per role."""
    from counterfoil import standalone

    standalone.up(_settings(), distributed=distributed)


@app.command()
def status(as_json: AsJson = False) -> None:
    """Where log, relay, views and policies stand."""
    from counterfoil import status as status_

    found = status_.as_json(_settings())
    if as_json:
        _print_json(found)
    else:
        print("\n".join(status_.lines(found)))


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Which servers were found, whether everything is migrated and well; exit code 1 on doubt."""
    from counterfoil import doctor as doctor_

    checks = list(doctor_.examine(_settings()))
    bad = any(check.verdict == "bad" for check in checks)
    if as_json:
        _print_json(
            {
                "ok": not bad,
                "checks": [{"name": c.name, "verdict": c.verdict, "message": c.message} for c in checks],
            }
        )
    else:
        print("\n".join(f"{check.verdict:<5} {check.name:<16} {check.message}" for check in checks))
    raise typer.Exit(EXIT_FAILED if bad else EXIT_OK)


@config_app.command("show")
def config_show(as_json: AsJson = False) -> None:
    """Every setting with its value; passwords are masked."""
    masked = _settings().masked()
    if as_json:
        _print_json(masked)
    else:
        print("\n".join(f"{name}={'' if value is None else value}" for name, value in masked.items()))


@app.command()
def replay(
    stream: Annotated[str, typer.Argument(help="The stream, e.g. order-536365.")],
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", help="Stop at this position of the log, or at this RFC 3339 time."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the history of a stream and its state after each event."""
    from counterfoil import addresses, replaying

    for step in replaying.history(addresses.database_url(_settings()), stream, as_of=as_of):
        if as_json:
            _print_json(step.as_json())
        else:
            print(terminal.shown("\n".join(step.lines())))


@audit_app.command("verify")
def audit_verify(
    as_json: AsJson = False,
    full: Annotated[bool, typer.Option("--full", help="Fold all snapshots again, not a sample.")] = False,
) -> None:
    """Check positions, versions, leaves and epochs of the log, and every live view against a fold of it."""
    from counterfoil import addresses, auditing

    report = auditing.verify(addresses.database_url(_settings()), full=full)
    if as_json:
        _print_json(report.as_json())
    else:
        print(terminal.shown("\n".join(report.lines())))
    raise typer.Exit(EXIT_FAILED if not report.ok else EXIT_PARKED if report.parked else EXIT_OK)


@log_app.command("fence")
def log_fence(
    reason: Annotated[
        str | None,
        typer.Option("--reason", help="Why, for whoever reads the epochs later; asked for if missing."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether to go on.")] = False,
    new_installation: Annotated[
        bool,
        typer.Option(
            "--new-installation",
            help="This database is a copy and its original lives on: give the copy an id of its own.",
        ),
    ] = False,
) -> None:
    """Declare that the log may have lost its end (a restore, a promotion): new epoch, new topics, empty cache."""
    from counterfoil import fencing

    settings = _settings()
    print("\n".join(fencing.intent(settings, new_installation=new_installation).lines()))
    if not (reason and yes) and not _has_a_person():
        raise fencing.NotConfirmed(
            "nothing was fenced: without a terminal, --reason and --yes say what and that"
        )
    why = reason or typer.prompt("reason")
    if not yes and not typer.confirm("fence the log?"):
        raise fencing.NotConfirmed("nothing was fenced")
    print(fencing.fence(settings, reason=why, new_installation=new_installation))


@import_app.command("online-retail")
def import_online_retail(
    file: Annotated[Path, typer.Argument(help="CSV, plain or gzip, or an .xlsx workbook.")],
    form: Annotated[Format, typer.Option("--format", help="What the file is.")] = Format.CSV,
    sheet: Annotated[
        str | None, typer.Option("--sheet", help="Sheet of a workbook that has several.")
    ] = None,
    url: Annotated[
        str | None, typer.Option("--url", help="The command API; default: the one `up` runs.")
    ] = None,
    query_url: Annotated[str | None, typer.Option("--query-url", help="The query API.")] = None,
    as_json: AsJson = False,
) -> None:
    """Import an online-retail file; killed at any point, it can be run again without doubling anything."""
    from counterfoil.importing import front

    outcome = front.run(_settings(), file, form=form, sheet=sheet, command_url=url, query_url=query_url)
    if as_json:
        _print_json(outcome.as_json())
    else:
        print("\n".join(front.lines(outcome)), flush=True)
    front.finish(outcome)
    raise typer.Exit(EXIT_OK if outcome.complete else EXIT_INCOMPLETE)


@import_app.command("eventsourcing")
def import_eventsourcing(
    source: Annotated[
        str, typer.Option("--from", help="The library's database: sqlite:PATH, or a Postgres address.")
    ],
    applications: Annotated[
        list[str] | None, typer.Argument(help="Applications to move, as the library names them.")
    ] = None,
    followers: Annotated[
        list[str] | None,
        typer.Option(
            "--follower", help="A projection, or an application, that stays there and follows one that moved."
        ),
    ] = None,
    schema: Annotated[str, typer.Option("--schema", help="Where its tables are in Postgres.")] = "public",
    ids: Annotated[
        Literal["uuid", "text"] | None,
        typer.Option(
            "--ids", help="Type of the aggregates' ids, where SQLite does not say: uuid unless given."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Move applications of the eventsourcing library into the log: events, snapshots, tracking; stop them before.

    Killed at any point, it is run again. What cannot be moved is listed before anything is written.
    """
    from counterfoil import addresses, moving

    outcome = moving.move(
        addresses.database_url(_settings()),
        applications or [],
        address=source,
        schema=schema,
        followers=followers or [],
        ids=ids,
    )
    if as_json:
        _print_json(moving.as_json(outcome))
    else:
        print("\n".join(moving.lines(outcome)))


@app.command()
def demo(
    exit_: Annotated[bool, typer.Option("--exit", help="Stop when the story is told.")] = False,
    as_json: AsJson = False,
) -> None:
    """A seeded shop of its own: sell, ship, rebuild a view, promote it, verify everything."""
    from counterfoil import demo as demo_

    told = demo_.run(_settings(), stay=not exit_)
    if as_json:
        _print_json(told.as_json())
    raise typer.Exit(EXIT_OK if told.ok else EXIT_FAILED)


@views_app.command("list")
def views_list(as_json: AsJson = False) -> None:
    """Every build of every view: which is live, where it stands, what is parked."""
    from counterfoil import addresses, viewing

    found = viewing.listed(addresses.database_url(_settings()))
    if as_json:
        _print_json(found)
    else:
        print("\n".join(viewing.lines(found)))


@views_app.command("rebuild")
def views_rebuild(
    view: Annotated[str, typer.Argument(help="Name of the view.")], as_json: AsJson = False
) -> None:
    """Fold the log into a new build beside the live one; interrupted, run it again."""
    from counterfoil import addresses, viewing

    _answer(viewing.rebuild(addresses.database_url(_settings()), view), as_json=as_json)


@views_app.command("verify")
def views_verify(
    view: Annotated[str, typer.Argument(help="Name of the view.")], as_json: AsJson = False
) -> None:
    """Compare the view's builds with a fold of the log; exit code 1 when they differ."""
    from counterfoil import addresses, viewing

    found = viewing.verify(addresses.database_url(_settings()), view)
    if as_json:
        _print_json(found)
    else:
        print(terminal.shown("\n".join(viewing.verified_lines(found))))
    raise typer.Exit(EXIT_OK if found["ok"] else EXIT_FAILED)


@views_app.command("promote")
def views_promote(
    view: Annotated[str, typer.Argument(help="Name of the view.")], as_json: AsJson = False
) -> None:
    """Let the new build answer; the old one stays until it is dropped."""
    from counterfoil import addresses, viewing

    _answer(viewing.promote(addresses.database_url(_settings()), view), as_json=as_json)


@views_app.command("rollback")
def views_rollback(
    view: Annotated[str, typer.Argument(help="Name of the view.")], as_json: AsJson = False
) -> None:
    """Let the build before answer again."""
    from counterfoil import addresses, viewing

    _answer(viewing.rollback(addresses.database_url(_settings()), view), as_json=as_json)


@views_app.command("drop")
def views_drop(
    view: Annotated[str, typer.Argument(help="Name of the view.")], as_json: AsJson = False
) -> None:
    """Drop the build that does not answer."""
    from counterfoil import viewing

    _answer(viewing.drop(_settings(), view), as_json=as_json)


@parked_app.command("list")
def parked_list(as_json: AsJson = False) -> None:
    """Every parked key of views and policies."""
    from counterfoil import addresses, parking

    found = parking.listed(addresses.database_url(_settings()))
    if as_json:
        _print_json(found)
    else:
        print(terminal.shown("\n".join(parking.lines(found))) or "nothing is parked")


@parked_app.command("show")
def parked_show(
    consumer: Annotated[str, typer.Argument(help="View or policy.")],
    key: Annotated[str, typer.Argument(help="Partition key, e.g. order-536365.")],
) -> None:
    """One parked key, with its event and the reason."""
    from counterfoil import addresses, parking

    _answer(parking.shown(addresses.database_url(_settings()), consumer, key), as_json=True)


@parked_app.command("retry")
def parked_retry(
    consumer: Annotated[str, typer.Argument(help="View or policy.")],
    key: Annotated[str, typer.Argument(help="Partition key.")],
) -> None:
    """Ask the owner of the key to apply its events again."""
    from counterfoil import addresses, parking

    print(parking.retry(addresses.database_url(_settings()), consumer, key))


@parked_app.command("skip")
def parked_skip(
    consumer: Annotated[str, typer.Argument(help="View or policy.")],
    key: Annotated[str, typer.Argument(help="Partition key.")],
    position: Annotated[
        int, typer.Argument(help="Position of the event to skip, as `parked show` names it.")
    ],
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept.")],
) -> None:
    """Ask the owner of the key to go on without the event at this position."""
    from counterfoil import addresses, parking

    print(parking.skip(addresses.database_url(_settings()), consumer, key, position=position, reason=reason))


def _has_a_person() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty()


def _answer(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        _print_json(found)
        return
    for name, value in found.items():
        for each in value if isinstance(value, list) else [value]:
            shown = ", ".join(f"{k} {v}" for k, v in each.items()) if isinstance(each, dict) else each
            print(f"{name}: {shown}")
