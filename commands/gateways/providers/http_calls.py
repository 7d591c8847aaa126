"""Calls to providers: one HTTP client with limits, and nothing of an answer that is not JSON of the right shape."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import msgspec

from commands.identity.providers import ProviderUnreachable

CONNECT_TIMEOUT_S: Final = 5.0
ANSWER_TIMEOUT_S: Final = 10.0
"""How long a call may take in all."""

ANSWER_BYTES_MAX: Final = 256 * 1024
CALLS_MAX: Final = 16
"""Connections at a time."""

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
"""Hosts that may be called without encryption: those of a developer."""


@contextlib.asynccontextmanager
async def opened() -> AsyncIterator[httpx.AsyncClient]:
    """A client for as long as a block runs."""
    async with httpx.AsyncClient(
        timeout=httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
        limits=httpx.Limits(max_connections=CALLS_MAX, max_keepalive_connections=CALLS_MAX),
        follow_redirects=False,
        trust_env=False,
    ) as client:
        yield client


def is_safe(url: object) -> bool:
    """Whether an address is encrypted, or on this machine."""
    if not isinstance(url, str):
        return False
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)


async def call(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: str | None = None,
    params: Mapping[str, str] | None = None,
) -> tuple[int, dict[str, Any]]:
    """Status and document of an answer.

    Raises:
        ProviderUnreachable: there is none.
    """
    if not is_safe(url):
        raise ProviderUnreachable("an address of the provider is not https")
    try:
        async with (
            asyncio.timeout(ANSWER_TIMEOUT_S),
            client.stream(method, url, headers=headers, content=body, params=params) as answer,
        ):
            chunks, size = [], 0
            async for chunk in answer.aiter_bytes():
                chunks.append(chunk)
                size += len(chunk)
                if size > ANSWER_BYTES_MAX:
                    raise ProviderUnreachable(f"an answer has more than {ANSWER_BYTES_MAX} bytes")
    except (TimeoutError, httpx.HTTPError) as error:
        raise ProviderUnreachable(f"no answer: {type(error).__name__}") from error
    if answer.status_code >= 500 or answer.status_code == 429 or 300 <= answer.status_code < 400:
        raise ProviderUnreachable(f"the answer was {answer.status_code}")
    try:
        return answer.status_code, msgspec.json.decode(b"".join(chunks), type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise ProviderUnreachable(f"the answer {answer.status_code} is no JSON object") from error
