"""Logging in from the terminal: an access token for who wants to try the APIs, or operates by them."""

from typing import Final

import httpx

from counterfoil import addresses
from counterfoil.user_messages import UserError
from runtime.http import api_version
from runtime.settings import Settings

TIMEOUT_S: Final = 10.0


class NotLoggedIn(UserError):
    """There is no token; the text says why."""


def access_token(settings: Settings, *, email: str, password: str) -> str:
    """An access token of this account, which is good for ten minutes.

    Raises:
        NotLoggedIn: the command API refuses, or does not answer.
    """
    at = settings.command_api_url or addresses.resolve(settings).command_api
    url = f"{at}{api_version.PREFIX}/sessions"
    try:
        answer = httpx.post(
            url, json={"email": email, "password": password}, timeout=TIMEOUT_S, trust_env=False
        )
    except httpx.TransportError as error:
        raise NotLoggedIn(f"{url} does not answer ({type(error).__name__} {error})") from error
    if answer.status_code != httpx.codes.CREATED:
        raise NotLoggedIn(_why_not(answer))
    return str(answer.json()["access_token"])


def _why_not(answer: httpx.Response) -> str:
    if answer.status_code == httpx.codes.NOT_FOUND:
        return (
            "callers are anonymous there and need no token: COUNTERFOIL_IDENTITY=accounts makes them log in"
        )
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    return str(problem.get("detail") or problem.get("title") or f"{answer.url} answers {answer.status_code}")
