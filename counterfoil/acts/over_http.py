"""Operators' acts through both APIs of an installation that runs."""

import time
import uuid
from typing import Any, Final, Self

import httpx

from counterfoil.acts.errors import Refused
from counterfoil.user_messages import refusal
from read_api.operations import Act
from runtime.decoders import json_decoder

PATHS: Final = {
    "retry_key": "/v1/operations/consumers/{target}/retries",
    "skip_event": "/v1/operations/consumers/{target}/skips",
    "pause_consumer": "/v1/operations/consumers/{target}/pauses",
    "resume_consumer": "/v1/operations/consumers/{target}/resumptions",
    "rebuild_view": "/v1/operations/views/{target}/rebuilds",
    "promote_build": "/v1/operations/views/{target}/promotions",
    "roll_back_view": "/v1/operations/views/{target}/rollbacks",
    "drop_build": "/v1/operations/views/{target}/drops",
}

TRIES_MAX: Final = 20
PAUSE_S: Final = 0.5
"""How often, and how far apart, a request is sent that may have been lost, always under one key."""
TIMEOUT_S: Final = 10.0


class OverHttp:
    """Acts by the routes of both APIs; whose they are the APIs know, or take from what the operator says."""

    def __init__(self, command_api: str, query_api: str, *, operator: str, token: str | None = None) -> None:
        """Connect when first used; `token` is an access token, None where callers are anonymous."""
        self._commands, self._queries = command_api.rstrip("/"), query_api.rstrip("/")
        self._operator = operator
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._client = httpx.Client(timeout=TIMEOUT_S, trust_env=False, headers=headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def ask(self, command: str, target: str, body: dict[str, Any]) -> int:
        """See ActsClient.

        Raises:
            Refused: it was refused, or the API does not answer.
        """
        url = self._commands + PATHS[command].format(target=target)
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        answer = self._sent("POST", url, json={**body, "operator": self._operator}, headers=headers)
        if answer.status_code != httpx.codes.CREATED:
            raise Refused(_detail(answer))
        position: int = answer.json()["position"]
        return position

    def came_of(self, position: int) -> Act:
        """See ActsClient.

        Raises:
            Refused: the API does not answer.
        """
        answer = self._sent("GET", f"{self._queries}/v1/operations/acts/{position}")
        if answer.status_code != httpx.codes.OK:
            raise Refused(_detail(answer))
        return json_decoder(Act).decode(answer.content)

    def _sent(self, method: str, url: str, **options: Any) -> httpx.Response:
        """The answer, of the first attempt that has one which is not to be tried again."""
        lost = ""
        for attempt in range(TRIES_MAX):
            if attempt:
                time.sleep(PAUSE_S)
            try:
                answer = self._client.request(method, url, **options)
            except httpx.TransportError as error:
                lost = f"{method} {url}: {error}"
                continue
            if answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR:
                return answer
            lost = _detail(answer)
        raise Refused(lost)


def _detail(answer: httpx.Response) -> str:
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    return refusal(problem, url=str(answer.url), status=answer.status_code)
