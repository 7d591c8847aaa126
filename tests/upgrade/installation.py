"""An installation that a dump is made of: what it is sent, what it answers, and what its views show at the end."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg
from msgspec import Struct

from tests.acceptance.running import Up, environment
from tests.upgrade.parties import Parties

SETTLED_WITHIN_S: Final = 240.0

PROGRAM: Final = Path(sys.executable).with_name("counterfoil")
"""As its users run it: what this process has imported is not in it."""

KEPT: Final = ("etag", "position", "content-type", "location")
"""Headers of an answer that the same key brings again."""

_COUNT: Final = "select count(*) from log.event where type = %s and stream = coalesce(%s, stream)"


class Sent(Struct, frozen=True):
    """One command, and the status with which it is answered: 201, or a refusal."""

    key: str
    path: str
    body: dict[str, Any]
    status: int = 201


class Installation:
    """One that runs with changing settings on one database, and all that was said to it.

    `exchanges` are what commands were answered, by whom they were sent: nobody in particular, or the owner, by whose
    `token` each is sent while there is one.
    """

    def __init__(self, folder: Path, parties: Parties) -> None:
        self.parties = parties
        self.exchanges: list[dict[str, Any]] = []
        self.token: str | None = None
        self._folder = folder
        self._shop: Up | None = None
        self._shown: list[str] = []

    @property
    def home(self) -> Path:
        """Its directory."""
        return self._folder / "home"

    @property
    def shop(self) -> Up:
        """Its processes, while they run."""
        assert self._shop is not None, "it does not run"
        return self._shop

    @contextlib.contextmanager
    def up(self, **settings: str) -> Iterator[None]:
        """Run it, with a context from outside and with these settings."""
        shutil.copy(Path(__file__).with_name("notes.py"), self._folder)
        given = {
            "COUNTERFOIL_CONTEXTS": "shop,notes:NOTES",
            "COUNTERFOIL_QUERY_API_URL": "http://queries.example",
            **self.parties.settings,
            **{f"COUNTERFOIL_{name.upper()}": value for name, value in settings.items()},
        }
        given = {name: value for name, value in given.items() if value}
        self._shop = Up(self.home, program=PROGRAM, cwd=self._folder, **given)
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.shop.processes["processes"], signal.SIGCONT)
            self.shop.stop()
            self._shop = None

    def send(self, sent: Sent) -> int:
        """Send one command and keep what is answered; its position, 0 if it was refused."""
        answer = self._post(sent)
        assert answer.status_code == sent.status, f"{sent.key}: {answer.text}"
        self._keep(sent.path, sent.body, answer, key=sent.key)
        return int(answer.json().get("position", 0))

    def settle(self, sent: Sent) -> None:
        """Send one command, and wait until every process manager has decided about it."""
        self.send(sent)
        self._post(sent, Prefer="wait=10, until=settled")

    def send_batch(self, batch: dict[str, Any]) -> None:
        """Send a batch, of which commands may be refused."""
        answer = httpx.post(self.shop.url("command_api", "/v1/commands"), json=batch, timeout=120)
        self._keep("/v1/commands", batch, answer)

    def ask(self, method: str, path: str, **given: Any) -> httpx.Response:
        """A request to the command API of which nothing is kept, as the owner unless its headers say otherwise."""
        headers = {**self._bearer(), **given.pop("headers", {})}
        url = self.shop.url("command_api", path)
        return httpx.request(method, url, headers=headers, timeout=120, **given)

    def asked(self, path: str, **headers: str) -> Any:
        """What the query API shows."""
        return self.read(path, **headers).json()

    def read(self, path: str, **headers: str) -> httpx.Response:
        """What the query API answers."""
        url = self.shop.url("query_api", path)
        return httpx.get(url, headers={**self._bearer(), **headers}, timeout=120)

    def run(self, *arguments: str) -> str:
        """Run a command of an operator; what it prints."""
        arguments = (str(PROGRAM), *arguments)
        given = {"env": environment(self.home), "cwd": self._folder}
        return subprocess.run(arguments, stdout=subprocess.PIPE, text=True, check=True, **given).stdout

    def shows(self, *paths: str) -> None:
        """Keep what the query API shows there, at the end; nothing there depends on when it is asked."""
        self._shown += paths

    def shown(self) -> dict[str, Any]:
        """What the query API shows, where it is to be kept."""
        return {path: self.read(path).raise_for_status().json() for path in self._shown}

    def wait_for(self, path: str, condition: Callable[[Any], bool]) -> Any:
        """Wait until the query API shows something; what it shows."""
        give_up_s = time.monotonic() + SETTLED_WITHIN_S
        while not condition(found := self.asked(path)):
            assert time.monotonic() < give_up_s, f"{path} still shows {found}"
            time.sleep(0.1)
        return found

    def wait_for_event(self, type_name: str, stream: str | None = None, *, count: int = 1) -> None:
        """Wait until the log has so many events of a type, in one stream or in all."""
        give_up_s = time.monotonic() + SETTLED_WITHIN_S
        with psycopg.connect(self.shop.state["addresses"]["database_url"], autocommit=True) as conn:
            while (row := conn.execute(_COUNT, [type_name, stream]).fetchone()) and row[0] < count:
                assert time.monotonic() < give_up_s, f"{type_name} is not in {stream or 'any stream'}"
                time.sleep(0.05)

    def wait_for_views(self) -> None:
        """Wait until all views have all of the log."""
        self.wait_for("/v1/views", lambda found: all(view["lag_events"] == 0 for view in found))

    def _post(self, sent: Sent, **headers: str) -> httpx.Response:
        return self.ask("POST", sent.path, json=sent.body, headers={"Idempotency-Key": sent.key, **headers})

    def _bearer(self) -> dict[str, str]:
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}

    def _keep(self, path: str, body: object, answer: httpx.Response, *, key: str | None = None) -> None:
        headers = {name: answer.headers[name] for name in KEPT if name in answer.headers}
        by = {} if self.token is None else {"by": "owner"}
        self.exchanges.append(
            {"path": path, "key": key, "body": body, "status": answer.status_code, **by}
            | {"headers": headers, "answer": answer.text}
        )
