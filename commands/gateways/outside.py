"""Calls of a contract over HTTP: one request, one whole answer in time, or none.

Whatever is no answer raises `NoAnswer`; what an answer says is for the contract's own client to read.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from typing import Final

import httpx

from commands.gateways.gateway import NoAnswer

CONNECT_TIMEOUT_S: Final = 5.0
ANSWER_TIMEOUT_S: Final = 10.0
"""How long a call may take in all; a later answer counts as none."""

ANSWER_BYTES_MAX: Final = 64 * 1024
"""An answer has some hundred bytes."""

CALLS_MAX: Final = 64
"""Connections at a time."""

WAIT_MAX_S: Final = 300.0
"""The longest pause that Retry-After is followed for."""

_UNANSWERED: Final = frozenset({401, 403, 408, 421, 425, 429})
"""Statuses below 500 that say nothing of what was asked: the token is wrong, or the other side is busy."""

_control = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class OutsideClient:
    """A client of one contract. `name` is what the other side is called in reasons."""

    def __init__(self, client: httpx.AsyncClient, name: str) -> None:
        self._client, self._name = client, name

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, url: str, *, name: str, token: str | None) -> AsyncIterator["OutsideClient"]:
        """A client of the other side at `url`, which gets the token with every call.

        No connection is used twice: an answer that is sent twice would be taken for that of the next request.
        """
        async with httpx.AsyncClient(
            base_url=url,
            headers={} if token is None else {"Authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            limits=httpx.Limits(max_connections=CALLS_MAX, max_keepalive_connections=0),
            follow_redirects=False,
            trust_env=False,
        ) as client:
            yield cls(client, name)

    async def call(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        params: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Status and body.

        Raises:
            NoAnswer: there is none, or the status says nothing of what was asked.
        """
        try:
            async with (
                asyncio.timeout(ANSWER_TIMEOUT_S),
                self._client.stream(method, path, headers=headers, content=content, params=params) as answer,
            ):
                body = await self._read(answer)
        except TimeoutError as error:
            raise NoAnswer(f"the {self._name} did not answer within {ANSWER_TIMEOUT_S:g} s") from error
        except httpx.HTTPError as error:
            raise NoAnswer(f"{type(error).__name__}: {error}".rstrip(": ")) from error
        status = answer.status_code
        if status in _UNANSWERED or not 200 <= status < 500 or 300 <= status < 400:
            wait_s = _wait_s(answer.headers.get("retry-after", ""))
            raise NoAnswer(f"the {self._name} answered {status}: {words(body)}", wait_s=wait_s)
        return status, body

    async def _read(self, answer: httpx.Response) -> bytes:
        chunks: list[bytes] = []
        size = 0
        async for chunk in answer.aiter_bytes():
            size += len(chunk)
            if size > ANSWER_BYTES_MAX:
                raise NoAnswer(f"the {self._name}'s answer has more than {ANSWER_BYTES_MAX} bytes")
            chunks.append(chunk)
        return b"".join(chunks)


def words(body: bytes) -> str:
    """The beginning of a body as text for people, on one line."""
    return one_line(body[:200].decode("utf-8", "replace"))


def one_line(text: str) -> str:
    """Text without control characters."""
    return _control.sub(" ", text)


def _wait_s(retry_after: str) -> float:
    return min(float(retry_after), WAIT_MAX_S) if re.fullmatch(r"[0-9]{1,9}", retry_after) else 0.0
