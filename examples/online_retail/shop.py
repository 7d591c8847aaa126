"""The shop as an HTTP client sees it: commands in batches to the command API, questions to the query API.

Refused connections, lost answers, 429 and 5xx are asked again with the same keys, so a restart of either API
in the middle costs time and nothing else.
"""

import random
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self, TypeVar

import httpx
import msgspec

from counterfoil import progress
from examples.online_retail.errors import ShopUnreachable, UnexpectedAnswer
from runtime.decoders import json_decoder
from runtime.http import api_version

BATCH_COMMANDS_MAX = 500  # what POST /v1/commands takes
PATIENCE_S = 300.0  # without any progress; a restarted database or broker is back long before
FIRST_ANSWER_WITHIN_S = 15.0  # a shop that never answered is more likely not there than restarting
SAY_WAITING_EVERY_S = 10.0
PAUSE_MIN_S = 0.1
PAUSE_MAX_S = 2.0
RETRY_AFTER_MAX_S = 15.0
ANSWER_TIMEOUT_S = 60.0
CONNECT_TIMEOUT_S = 5.0
SERVER_FAULTS_MAX = 20  # answers 500 in a row to one request before it is called a defect

_WAIT_AND_REPEAT = frozenset({429, 500, 502, 503, 504})
_CONTENDED = "contended"  # a 409 that says: other writers were faster, ask again

Answer = TypeVar("Answer")


class Command(NamedTuple):
    """One command of a batch, with the rows of the file that become nothing if it is refused."""

    key: str
    command: str
    body: Mapping[str, object]
    rows: tuple[int, ...] = ()
    target: str | None = None
    settled_by: frozenset[str] = frozenset()  # problems that say: the shop has it already, or needs none


class Verdict(NamedTuple):
    """What the shop said to one command."""

    status: int
    problem: str  # the last part of the problem's type URI; empty when accepted
    reason: str

    @property
    def accepted(self) -> bool:
        """Whether the command took effect, now or the first time it was sent."""
        return 200 <= self.status < 300

    @property
    def final(self) -> bool:
        """Whether sending the command again would get the same answer."""
        return self.status not in _WAIT_AND_REPEAT and self.problem != _CONTENDED


class _Problem(msgspec.Struct):
    type: str = ""
    title: str = ""
    detail: str = ""


class _Result(msgspec.Struct):
    """One entry of "results": a status next to either the route's own body or a problem."""

    status: int
    type: str = ""
    title: str = ""
    detail: str = ""
    problem: _Problem | None = None


class _Results(msgspec.Struct):
    results: list[_Result]


class Shop:
    """Both APIs of one shop. Safe to share between threads; close it when done."""

    def __init__(
        self, command_url: str, query_url: str, *, token: str | None = None, patience_s: float = PATIENCE_S
    ) -> None:
        """Connect when first used; `token` is the key of a program, None where callers are anonymous."""
        self._command_url = command_url.rstrip("/")
        self._query_url = query_url.rstrip("/")
        self._patience_s = patience_s
        self._has_answered = False
        self._given_up = threading.Event()
        timeout = httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        self._http = httpx.Client(timeout=timeout, trust_env=False, headers=headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def give_up(self) -> None:
        """End every wait of other threads at once; the next try of each raises ShopUnreachable."""
        self._given_up.set()

    def send(self, commands: Sequence[Command]) -> list[Verdict]:
        """Send up to 500 commands and return one verdict each, none of them "try again".

        Raises:
            ShopUnreachable: no progress within the patience; any of the commands may have taken effect.
            UnexpectedAnswer: the answer is not one of the batch route.
        """
        verdicts: dict[int, Verdict] = {}
        waiting = list(range(len(commands)))
        patience = _Patience(self._patience_s, self._given_up)
        while waiting:
            answered = dict(
                zip(waiting, self._post_batch([commands[index] for index in waiting], patience), strict=True)
            )
            settled = {index: verdict for index, verdict in answered.items() if verdict.final}
            verdicts |= settled
            waiting = [index for index in waiting if index not in settled]
            if settled:
                patience.renew()
            if waiting:
                patience.pause_after(answered[waiting[0]].status, answered[waiting[0]].reason)
        return [verdicts[index] for index in range(len(commands))]

    def ask(self, path: str, answer: type[Answer], **query: str | int) -> Answer:
        """GET a resource of the query API. The first question of all is asked with little patience.

        Raises:
            ShopUnreachable: no answer within the patience.
            UnexpectedAnswer: a refusal, or a body of another shape.
        """
        response = self._get(path, **query)
        if response.status_code != 200:
            raise _unexpected(response)
        return _decoded(response, answer)

    def holds(self, path: str) -> bool:
        """Whether the query API has this resource.

        Raises:
            ShopUnreachable: no answer within the patience.
            UnexpectedAnswer: neither yes nor no.
        """
        response = self._get(path)
        if response.status_code not in {200, 404}:
            raise _unexpected(response)
        return response.status_code == 200

    def _get(self, path: str, **query: str | int) -> httpx.Response:
        request = self._http.build_request(
            "GET", f"{self._query_url}{api_version.PREFIX}{path}", params=query
        )
        patience_s = self._patience_s if self._has_answered else min(FIRST_ANSWER_WITHIN_S, self._patience_s)
        response = self._ask_until_answered(request, _Patience(patience_s, self._given_up))
        self._has_answered = True
        return response

    def _post_batch(self, commands: Sequence[Command], patience: "_Patience") -> list[Verdict]:
        body = {"commands": [_entry(command) for command in commands]}
        request = self._http.build_request(
            "POST",
            f"{self._command_url}{api_version.PREFIX}/commands",
            content=msgspec.json.encode(body),
            headers={"content-type": "application/json"},
        )
        response = self._ask_until_answered(request, patience)
        if response.status_code != 200:
            raise _unexpected(response)
        results = _decoded(response, _Results).results
        if len(results) != len(commands):
            raise UnexpectedAnswer(f"POST {request.url}: {len(commands)} commands, {len(results)} results")
        return [_verdict(result) for result in results]

    def _ask_until_answered(self, request: httpx.Request, patience: "_Patience") -> httpx.Response:
        while True:
            try:
                response = self._http.send(request)
            except httpx.TransportError as error:
                patience.pause(
                    f"{request.url.host}:{request.url.port} does not answer ({type(error).__name__} {error})"
                )
                continue
            if response.status_code not in _WAIT_AND_REPEAT:
                return response
            patience.pause_after(response.status_code, _reason(response), after_s=_retry_after_s(response))


class _Patience:
    """How long one request may still be repeated, and how long to wait before the next try."""

    def __init__(self, limit_s: float, given_up: threading.Event) -> None:
        self._limit_s = limit_s
        self._given_up = given_up
        self._said_at = time.monotonic()
        self.renew()

    def renew(self) -> None:
        self._deadline = time.monotonic() + self._limit_s
        self._pause_s = PAUSE_MIN_S
        self._faults = 0

    def pause_after(self, status: int, reason: str, *, after_s: float | None = None) -> None:
        """Wait before asking again; a fault of the shop's own is trusted only so often."""
        self._faults += status == 500
        if self._faults > SERVER_FAULTS_MAX:
            raise UnexpectedAnswer(f"{SERVER_FAULTS_MAX} answers 500 without any progress: {reason}")
        self.pause(reason or f"answered {status}", after_s=after_s)

    def pause(self, reason: str, *, after_s: float | None = None) -> None:
        if time.monotonic() >= self._deadline:
            raise ShopUnreachable(f"no progress for {self._limit_s:.0f} s: {reason}")
        if time.monotonic() - self._said_at > SAY_WAITING_EVERY_S:
            self._said_at = time.monotonic()
            progress.say(f"waiting for the shop: {reason}")
        wait_s = self._pause_s if after_s is None else min(after_s, RETRY_AFTER_MAX_S)
        if self._given_up.wait(wait_s * random.uniform(0.75, 1.25)):
            raise ShopUnreachable(f"given up: {reason}")
        self._pause_s = min(self._pause_s * 2, PAUSE_MAX_S)


def _entry(command: Command) -> dict[str, object]:
    entry: dict[str, object] = {"key": command.key, "command": command.command, "body": command.body}
    if command.target is not None:
        entry["target"] = command.target
    return entry


def _verdict(result: _Result) -> Verdict:
    problem = result.problem or result
    reason = ": ".join(part for part in (problem.title, problem.detail) if part)
    return Verdict(result.status, problem.type.rstrip("/").rpartition("/")[2], reason)


def _decoded(response: httpx.Response, answer: type[Answer]) -> Answer:
    try:
        return json_decoder(answer).decode(response.content)
    except msgspec.MsgspecError as error:
        raise UnexpectedAnswer(f"{response.url} answered something else than expected: {error}") from error


def _unexpected(response: httpx.Response) -> UnexpectedAnswer:
    request = response.request
    said = f"{request.method} {request.url} answered {response.status_code}: {response.text[:300]}"
    if response.status_code == 401:
        said = f"{said}; COUNTERFOIL_TOKEN says which program imports (docs/importing.md)"
    return UnexpectedAnswer(said)


def _reason(response: httpx.Response) -> str:
    try:
        problem: Any = json_decoder(_Problem).decode(response.content)
    except msgspec.MsgspecError:
        return f"{response.url} answered {response.status_code}"
    return f"{response.url} answered {response.status_code}: {problem.title or problem.detail}"


def _retry_after_s(response: httpx.Response) -> float | None:
    text = response.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else None
