"""The `counterfoil` command in this process, against a database of the test."""

import json
from typing import Any

from typer.testing import CliRunner, Result

from counterfoil import user_messages
from counterfoil.cli import main

RUNNER = CliRunner()


def run(
    home: Any,
    *arguments: object,
    database_url: str | None = None,
    given: str | None = None,
    **settings: str,
) -> Result:
    """One command to its end, `given` on its standard input; what `main` would tell a user is in `stderr`."""
    environment = {"COUNTERFOIL_HOME": str(home), "COUNTERFOIL_DATABASE_URL": database_url, **settings}
    result = RUNNER.invoke(main.app, [str(each) for each in arguments], env=environment, input=given)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        message = user_messages.user_message(result.exception)
        if message is None:
            raise result.exception
        result.stderr_bytes = (result.stderr_bytes or b"") + f"counterfoil: {message}\n".encode()
    return result


def last_json(result: Result) -> Any:
    """The JSON that a command printed last."""
    return json.loads(result.stdout.strip().splitlines()[-1])
