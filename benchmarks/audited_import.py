"""How long does an audit of an imported file take, from the sealed log to a bundle that is checked offline?

Each step is the command that an operator or auditor runs, in a process of its own, on the shop into which `--file` was
imported: seal, verify against a checkpoint, export everything, check the bundle with the public key alone.
"""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from benchmarks import importing
from benchmarks.laboratory import Laboratory
from benchmarks.measuring import alternating
from benchmarks.table import Row
from counterfoil.cli.answering import EXIT_OK
from devservers import supervisor
from event_store.log import reading
from event_store.proofs import ledger
from runtime import database

NAME: Final = "audit"
COMMAND_S_MAX: Final = 3_600
SEEN_EVERY_S: Final = 0.1


def rows(laboratory: Laboratory, file: Path) -> Iterator[Row]:
    """One row a step."""
    with laboratory.shop(distributed=True) as running:
        importing.imported(laboratory, running, file)
        assert running.addresses.database_url is not None
        auditor = _Auditor(laboratory.directory / "auditor", running.addresses.database_url)
        sealed = auditor.seal()
        found = alternating(
            {"verify": auditor.verify, "export": auditor.export, "check": auditor.check},
            rounds=laboratory.size.rounds,
        )
    for case, seconds in (
        ("sealing it", sealed),
        ("verifying the log against a checkpoint, and every view against a fold", found["verify"]),
        ("exporting all of it", found["export"]),
        ("checking the bundle offline", found["check"]),
    ):
        yield Row(
            name=NAME,
            case=f"the file given, {case}",
            unit="events/s",
            ours=auditor.events / seconds,
            note=f"{auditor.events:,} events in {seconds:.1f} s",
        )


class _Auditor:
    """Runs the commands, with a folder for key, tiles, checkpoint and bundle."""

    def __init__(self, folder: Path, url: str) -> None:
        folder.mkdir()
        self.events = 0
        self._folder = folder
        self._url = url
        self._environment = supervisor.role_environment(
            {
                "COUNTERFOIL_HOME": str(folder),
                "COUNTERFOIL_DATABASE_URL": url,
                "COUNTERFOIL_SEAL_KEY": str(folder / "seal.key"),
            }
        )

    def seal(self) -> float:
        """Seal what is there; seconds until a checkpoint covers it, the start of the sealer included."""
        self._run("seal-key", "generate")
        self._keep("auditors.keys", self._run("seal-key", "show"))
        with self._reader() as connection:
            self.events = reading.head(connection).position
        began = time.perf_counter()
        with subprocess.Popen(_command("sealer"), env=self._environment, cwd=self._folder) as sealer:
            try:
                self._wait_until_sealed(sealer)
                took = time.perf_counter() - began
            finally:
                sealer.terminate()
        self._keep("checkpoint", self._run("audit", "checkpoint"))
        return took

    def verify(self) -> float:
        """Seconds; it must find that everything is in order."""
        return self._seconds("audit", "verify", "--against", "checkpoint", "--key", "auditors.keys")

    def export(self) -> float:
        """Seconds until the bundle of everything is written."""
        (self._folder / "all.bundle").unlink(missing_ok=True)
        return self._seconds("audit", "export", "all.bundle", "--from", "1", "--to", str(self.events))

    def check(self) -> float:
        """Seconds; it must find that everything is in order."""
        return self._seconds("audit", "check", "all.bundle", "--key", "auditors.keys")

    def _seconds(self, *arguments: str) -> float:
        began = time.perf_counter()
        self._run(*arguments)
        return time.perf_counter() - began

    def _run(self, *arguments: str) -> str:
        """What a command prints."""
        ran = subprocess.run(
            _command(*arguments),
            env=self._environment,
            cwd=self._folder,
            check=False,
            capture_output=True,
            text=True,
            timeout=COMMAND_S_MAX,
        )
        assert ran.returncode == EXIT_OK, ran.stdout + ran.stderr
        return ran.stdout

    def _wait_until_sealed(self, sealer: subprocess.Popen[bytes]) -> None:
        give_up = time.monotonic() + COMMAND_S_MAX
        with self._reader() as connection:
            while (found := ledger.latest(connection)) is None or found.size < self.events:
                assert sealer.poll() is None, "the sealer ended"
                assert time.monotonic() < give_up, f"{self.events:,} events are not sealed"
                time.sleep(SEEN_EVERY_S)

    def _reader(self) -> AbstractContextManager[reading.Connection]:
        return database.connect(self._url, role="counterfoil_reader", name="benchmark")

    def _keep(self, name: str, content: str) -> None:
        (self._folder / name).write_text(content)


def _command(*arguments: str) -> Sequence[str]:
    return [sys.executable, "-P", "-m", "counterfoil", *arguments]
