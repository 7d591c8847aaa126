"""`counterfoil customer`: what is done to a customer from a terminal."""

from typing import Annotated

import typer

from counterfoil.cli import answering

app = typer.Typer(no_args_is_help=True, help="What is done to a customer.")


@app.callback()
def customer() -> None:
    """Keep `erase` a command of its own, also while it is the only one."""


@app.command("erase")
def erase(customer_id: Annotated[str, typer.Argument(help="Whose personal data.")]) -> None:
    """Erase a customer's personal data for good; refused while orders are open or a legal hold stands."""
    from counterfoil import erasing

    position = erasing.request(answering.settings(), customer_id)
    print(
        f"the erasure of {customer_id} is requested at position {position}: nothing of it is shown any more"
    )
