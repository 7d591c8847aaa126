"""Asking for an erasure from the terminal, by the command API of the installation."""

from typing import Final
from urllib.parse import quote

import httpx

from counterfoil import addresses
from counterfoil.user_messages import UserError, refusal
from runtime.http import api_version
from runtime.settings import Settings

TIMEOUT_S: Final = 10.0


class NotErased(UserError):
    """Nothing was requested, or it is not known; the text says why. It may be asked for again."""


def request(settings: Settings, customer_id: str) -> int:
    """Request the erasure of a customer; the position of the log by which it is. COUNTERFOIL_TOKEN says who asks.

    Raises:
        NotErased: the command API refuses, or does not answer.
    """
    at = settings.command_api_url or addresses.resolve(settings).command_api
    url = f"{at}{api_version.PREFIX}/customers/{quote(customer_id, safe='')}/erasure"
    headers = {"Idempotency-Key": f"erase-{quote(customer_id, safe='')}"}
    if settings.token is not None:
        headers["Authorization"] = f"Bearer {settings.token.get_secret_value()}"
    try:
        answer = httpx.post(url, json={}, headers=headers, timeout=TIMEOUT_S, trust_env=False)
    except httpx.TransportError as error:
        raise NotErased(f"{url} does not answer ({type(error).__name__} {error})") from error
    if answer.status_code != httpx.codes.CREATED:
        try:
            problem = answer.json()
        except ValueError:
            problem = {}
        raise NotErased(refusal(problem, url=str(answer.url), status=answer.status_code))
    return int(answer.json()["position"])
