# ruff: noqa: FBT002 - an option of the command line is a boolean with a default
"""The `counterfoil` command. Every subcommand reads its arguments and calls one function elsewhere.

Nothing heavy is imported at the top: each subcommand imports what it runs, so roles start fast and stay small.

Exit codes: 0 done; 1 failed, refused or damaged, with one line that says what to do; 3 an import went to its end, and
lines of the file were refused or orders not shipped; 4 this version cannot run before the database is migrated; 64
wrong usage; 78 a setting is missing or cannot be. Audits have a table of their own in docs/operations.md.
"""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from counterfoil import shadowing, terminal
from counterfoil.cli import (
    account,
    answering,
    audit,
    customer,
    gateway,
    identity,
    log,
    mail,
    master_key,
    parked,
    seal_key,
    simulate,
    timers,
    views,
    witness,
)
from counterfoil.cli.answering import AsJson

RetailFormat = Literal["csv", "csv-month-first", "workbook", "retail-ii-csv", "retail-ii-workbook"]
"""Each `Format` of the retail importer, which is not always installed."""

app = typer.Typer(
    name="counterfoil",
    cls=answering.CommandLine,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _group(name: str, purpose: str) -> typer.Typer:
    group = typer.Typer(no_args_is_help=True, help=purpose)
    app.add_typer(group, name=name)
    return group


config_app = _group("config", "Settings.")
app.add_typer(account.app, name="account")
app.add_typer(customer.app, name="customer")
app.add_typer(gateway.app, name="gateway")
app.add_typer(identity.app, name="identity")
app.add_typer(log.app, name="log")
app.add_typer(views.app, name="views")
app.add_typer(parked.app, name="parked")
app.add_typer(timers.app, name="timers")
app.add_typer(mail.app, name="mail")
app.add_typer(simulate.app, name="simulate")
app.add_typer(witness.app, name="witness")
app.add_typer(audit.app, name="audit")
app.add_typer(seal_key.app, name="seal-key")
app.add_typer(master_key.app, name="master-key")
context_app = _group("context", "Contexts of your own packages.")
import_app = _group("import", "Importers.")


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with the option's value
    if wanted:
        from runtime.version import version

        print(f"counterfoil {version()}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Event-sourced commerce backend whose every answer can be checked against its log."""


def main() -> None:
    """Run the command; errors that a user can act on are one line and exit code 1."""
    try:
        shadowing.refuse()
    except shadowing.Shadowed as error:
        print(f"counterfoil: {error}", file=sys.stderr)
        sys.exit(answering.EXIT_CONFIG)
    from runtime import collecting, without_rich

    collecting.collect_seldom()
    without_rich.import_structlog()
    try:
        app()
    except Exception as error:
        # What a user can act on is printed; everything else is a defect, and keeps its trace.
        from counterfoil.user_messages import user_message
        from runtime.migrations import NotMigrated
        from runtime.settings import SettingsError

        message = user_message(error)
        if message is None:
            raise
        print(f"counterfoil: {message}", file=sys.stderr)
        if isinstance(error, SettingsError):
            sys.exit(answering.EXIT_CONFIG)
        sys.exit(answering.EXIT_NOT_MIGRATED if isinstance(error, NotMigrated) else answering.EXIT_FAILED)


@app.command()
def migrate(
    pre: Annotated[
        bool,
        typer.Option("--pre", help="Only migrations that processes of this version need before they start."),
    ] = False,
    post: Annotated[
        bool,
        typer.Option(
            "--post", help="Only migrations for after the last process of the version before has ended."
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the pending SQL, apply nothing.")] = False,
) -> None:
    """Apply pending migrations to the databases; --pre and --post apply a part."""
    from counterfoil import migrating

    settings, phases = answering.settings(), migrating.phases_of(pre=pre, post=post)
    if dry_run:
        print(
            "\n".join(f"-- {each.label}\n{each.text}" for each in migrating.due_everywhere(settings, phases))
        )
        return
    nothing = True
    for name in migrating.migrate_everywhere(settings, phases):
        print(f"applied {name}")
        nothing = False
    if nothing:
        print("nothing to apply")


@app.command("roles")
def database_roles(
    sql: Annotated[
        bool,
        typer.Option("--sql", help="Print SQL for an administrator, if `migrate` may not create roles."),
    ] = False,
    login_prefix: Annotated[
        str | None, typer.Option("--login-prefix", help="Prefix of the names of logins; default: shop_.")
    ] = None,
) -> None:
    """List the roles of Postgres that each command takes."""
    from counterfoil import privileges

    if sql:
        print(privileges.script(login_prefix=login_prefix or privileges.LOGIN_PREFIX), end="")
    else:
        print("\n".join(privileges.lines()))


@app.command("command-api")
def command_api() -> None:
    """Serve the command API."""
    from counterfoil import roles

    roles.command_api(answering.settings())


@app.command("query-api")
def query_api() -> None:
    """Serve the query API."""
    from counterfoil import roles

    roles.query_api(answering.settings())


@app.command()
def relay() -> None:
    """Publish the log to its consumers; a second one is a standby."""
    from counterfoil import hosting

    hosting.relay(answering.settings())


@app.command()
def projections() -> None:
    """Build the views; several processes share the partitions."""
    from counterfoil import hosting

    hosting.projections(answering.settings())


@app.command()
def processes() -> None:
    """Run process managers, timers, senders and consumers of the log; a second one is a standby."""
    from counterfoil import hosting

    hosting.processes(answering.settings())


@app.command()
def sealer() -> None:
    """Seal the log with signed checkpoints; a second one is a standby."""
    from counterfoil import hosting

    hosting.sealer(answering.settings())


@app.command()
def consumers() -> None:
    """Run relay, projections, processes and sealer in one process; a second one is a standby for each."""
    from counterfoil import hosting

    hosting.consumers(answering.settings())


@app.command()
def up(
    distributed: Annotated[
        bool, typer.Option("--distributed", help="Carry events through Kafka instead of the log itself.")
    ] = False,
    gateway: Annotated[
        bool, typer.Option("--gateway", help="Start an Envoy before both APIs; callers reach both there.")
    ] = False,
    apis: Annotated[int, typer.Option("--apis", min=1, max=16, help="Processes of each API.")] = 1,
) -> None:
    """Run servers of its own and a process per role until Ctrl-C."""
    from counterfoil import optional

    optional.require("devservers", what="`counterfoil up`, which starts servers,")
    from devservers import standalone

    standalone.up(answering.settings(), distributed=distributed, apis=apis, gateway=gateway)


@app.command()
def status(
    as_json: AsJson = False,
    size: Annotated[
        bool, typer.Option("--size", help="Print sizes and growth in Postgres and Kafka.")
    ] = False,
    capacity: Annotated[
        float | None,
        typer.Option(min=0.001, help="Gigabytes of the disk: with --size, estimate when it is full."),
    ] = None,
    per: Annotated[
        str | None,
        typer.Option(
            help="Stream category, such as `order`: with --size, print the size of everything per stream of it."
        ),
    ] = None,
) -> None:
    """Print the state of log, relay, views, process managers and consumers; with --size, the sizes of all parts."""
    from counterfoil import status as status_

    if size:
        _show_sizes(capacity, per, as_json=as_json)
        return
    for option, given in (("--capacity", capacity), ("--per", per)):
        if given is not None:
            raise typer.BadParameter("needs --size, which prints sizes", param_hint=option)
    found = status_.as_json(answering.settings(), contexts=answering.contexts())
    if as_json:
        answering.print_json(found)
    else:
        print("\n".join(status_.lines(found)))


def _show_sizes(capacity_gb: float | None, per: str | None, *, as_json: bool) -> None:
    import msgspec

    from counterfoil import addresses, disks, sizing

    settings = answering.settings()
    url = addresses.database_url(settings)
    sizes = sizing.read(url, capacity_gb=capacity_gb, kafka=disks.kafka_client(settings))
    each = None if per is None else sizing.each(url, sizes, category=per)
    if as_json:
        answering.print_json({**msgspec.to_builtins(sizes), "each": msgspec.to_builtins(each)})
    else:
        print("\n".join([*sizing.lines(sizes), *([] if each is None else [sizing.each_in_words(each)])]))


@app.command()
def doctor(
    as_json: AsJson = False,
    profile: Annotated[
        Literal["development", "production"] | None,
        typer.Option(help="Check the settings for this profile."),
    ] = None,
) -> None:
    """Check servers, settings, migrations and state; exit code 1 if a check fails."""
    from counterfoil import doctor as doctor_

    settings = answering.settings()
    if profile is not None:
        settings = settings.model_copy(update={"profile": profile})
    checks = list(doctor_.examine(settings))
    bad = any(check.verdict == "bad" for check in checks)
    if as_json:
        answering.print_json(
            {
                "ok": not bad,
                "checks": [{"name": c.name, "verdict": c.verdict, "message": c.message} for c in checks],
            }
        )
    else:
        print("\n".join(f"{check.verdict:<5} {check.name:<16} {check.message}" for check in checks))
    raise typer.Exit(answering.EXIT_FAILED if bad else answering.EXIT_OK)


@context_app.command("new")
def context_new(
    name: Annotated[
        str, typer.Argument(help="Name of the context and its package: lower-case words joined by '_'.")
    ],
) -> None:
    """Write a package with a working context and tests, in a folder of this name."""
    from counterfoil import skeletons

    print("\n".join(map(str, skeletons.generate(name, into=Path()))))


@config_app.command("show")
def config_show(as_json: AsJson = False) -> None:
    """Print every setting with its value; passwords are masked."""
    masked = answering.settings().masked()
    if as_json:
        answering.print_json(masked)
    else:
        print("\n".join(f"{name}={'' if value is None else value}" for name, value in masked.items()))


@app.command("pause")
def pause(
    consumer: Annotated[str, typer.Argument(help="Consumer, process manager or view.")],
    reason: answering.Why = "",
    name: answering.As = None,
) -> None:
    """Pause a consumer, a process manager or the workers of a view."""
    from counterfoil import pausing

    with answering.operator(name) as asked:
        print(pausing.pause(asked, consumer, reason=reason))


@app.command("resume")
def resume(
    consumer: Annotated[str, typer.Argument(help="Consumer, process manager or view.")],
    reason: answering.Why = "",
    name: answering.As = None,
) -> None:
    """Resume a paused consumer, process manager or view at its checkpoint."""
    from counterfoil import pausing

    with answering.operator(name) as asked:
        print(pausing.resume(asked, consumer, reason=reason))


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

    with answering.auditing():
        url = addresses.database_url(answering.settings())
        for step in replaying.history(url, stream, contexts=answering.contexts(), as_of=as_of):
            if as_json:
                answering.print_json(step.as_json())
            else:
                print(terminal.shown("\n".join(step.lines())))


@import_app.command("online-retail")
def import_online_retail(
    file: Annotated[Path, typer.Argument(help="CSV, plain or gzip, or an .xlsx workbook.")],
    form: Annotated[RetailFormat, typer.Option("--format", help="What the file is.")] = "csv",
    sheet: Annotated[str | None, typer.Option("--sheet", help="Sheet of a workbook with several.")] = None,
    url: Annotated[
        str | None, typer.Option("--url", help="Address of the command API; default: that of `up`.")
    ] = None,
    query_url: Annotated[str | None, typer.Option("--query-url", help="Address of the query API.")] = None,
    as_json: AsJson = False,
) -> None:
    """Import an online-retail file; can be run again after a crash, without duplicates."""
    from counterfoil import optional

    optional.require("examples.online_retail", what="`counterfoil import online-retail`, an example,")
    from examples.online_retail import cli
    from examples.online_retail.formats import Format

    outcome = cli.run(
        answering.settings(), file, form=Format(form), sheet=sheet, command_url=url, query_url=query_url
    )
    if as_json:
        answering.print_json(outcome.as_json())
    else:
        print("\n".join(cli.lines(outcome)), flush=True)
    cli.finish(outcome)
    raise typer.Exit(answering.EXIT_OK if outcome.complete else answering.EXIT_INCOMPLETE)


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
            "--follower", help="Projection or application that stays there and follows a moved application."
        ),
    ] = None,
    schema: Annotated[str, typer.Option("--schema", help="Schema of its tables in Postgres.")] = "public",
    ids: Annotated[
        Literal["uuid", "text"] | None,
        typer.Option("--ids", help="Type of the aggregates' ids in SQLite; default: uuid."),
    ] = None,
    name: answering.As = None,
    as_json: AsJson = False,
) -> None:
    """Move applications of the eventsourcing library into the log: events, snapshots, tracking; stop them before.

    Can be run again after a crash. Rows that cannot be moved are listed before anything is written.
    """
    from counterfoil import addresses, moving, operators
    from runtime.actors import actor

    settings = answering.settings()
    outcome = moving.move(
        addresses.database_url(settings),
        applications or [],
        address=source,
        schema=schema,
        followers=followers or [],
        ids=ids,
        by=actor("operator", operators.of_settings(settings, name)),
    )
    if as_json:
        answering.print_json(moving.as_json(outcome))
    else:
        print("\n".join(moving.lines(outcome)))


@app.command()
def demo(
    exit_: Annotated[bool, typer.Option("--exit", help="End after the last step.")] = False,
    orders: Annotated[int, typer.Option("--orders", min=300, help="Orders in all.")] = 2_000,
    as_json: AsJson = False,
) -> None:
    """Run a seeded shop of its own: sell, ship, rebuild a view, promote it, verify everything."""
    from counterfoil import optional

    optional.require("devservers", what="`counterfoil demo`")
    from devservers import demo as demo_

    story = demo_.run(answering.settings(), stay=not exit_, orders=orders)
    if as_json:
        answering.print_json(story.as_json())
    raise typer.Exit(answering.EXIT_OK if story.ok else answering.EXIT_FAILED)
