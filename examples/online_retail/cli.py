"""What stands between the command line and the import: addresses, where to keep things, what to print."""

from pathlib import Path
from typing import Final

from counterfoil import addresses
from examples.online_retail import importing
from examples.online_retail.before import FIGURES
from examples.online_retail.formats import Format
from examples.online_retail.importing import ImportSummary
from examples.online_retail.shop import Shop
from runtime.settings import Settings

FOLDER: Final = "imports"


def run(
    settings: Settings,
    file: Path,
    *,
    form: Format,
    sheet: str | None,
    command_url: str | None,
    query_url: str | None,
) -> ImportSummary:
    """Import a file into the shop at these addresses, as the program whose key is the token of the settings.

    Addresses that are missing are those of the `up` that runs in home.

    Raises:
        errors.ImportFailed: the file is bad, or the shop is gone or stuck.
    """
    found = addresses.resolve(settings)
    command_api, query_api = command_url or found.command_api, query_url or found.query_api
    assert command_api is not None
    assert query_api is not None
    token = None if settings.token is None else settings.token.get_secret_value()
    with Shop(command_api, query_api, token=token) as shop:
        return importing.run(file, shop=shop, kept_in=settings.home / FOLDER, form=form, sheet=sheet)


def finish(outcome: ImportSummary) -> None:
    """To be called once the outcome was printed."""
    importing.finish(outcome)


def lines(outcome: ImportSummary) -> list[str]:
    """The figures for people."""
    width = max(len(name) for name in FIGURES)
    shown = [f"{name:<{width}}  {outcome.figures[name]:>13,}" for name in FIGURES]
    shown.append(
        f"{'refused':<{width}}  {outcome.refused:>13,}  (rows and reasons in {outcome.refused_file})"
    )
    if outcome.not_shipped:
        shown.append(f"{'not shipped':<{width}}  {outcome.not_shipped:>13,}")
    return [*shown, f"{outcome.events:,} events in {outcome.seconds:.1f} s"]
