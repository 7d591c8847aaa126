"""Small parts of counterfoil: the state file and its lock, plain progress, messages to users."""

import os
import subprocess
import sys

import psycopg
import pytest

from counterfoil import addresses, progress, runfile, user_messages
from counterfoil.runfile import Addresses, AlreadyRunning, Running
from examples.online_retail import generating
from examples.online_retail.errors import BadFile
from runtime.settings import Settings

HOLDER = """
import sys, time
from pathlib import Path
from counterfoil import runfile

with runfile.locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""

RUNNING = Running(
    pid=os.getpid(),
    mode="standalone",
    started_at="2026-01-01T00:00:00+00:00",
    addresses=Addresses(
        database_url="postgresql://me:secret@127.0.0.1:1/x", command_api="http://127.0.0.1:2"
    ),
    processes={"postgres": 7},
    servers={"postgres": "18"},
)


def test_a_directory_is_locked_by_one_process_at_a_time(tmp_path):
    with runfile.locked(tmp_path):
        assert runfile.is_locked(tmp_path)
        with (
            pytest.raises(AlreadyRunning, match=f"in use by process {os.getpid()}"),
            runfile.locked(tmp_path),
        ):
            pass

    assert not runfile.is_locked(tmp_path)


def test_a_lock_ends_with_its_holder_however_that_ends(tmp_path):
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            HOLDER,
            str(tmp_path),
        ],
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    held = runfile.is_locked(tmp_path)
    holder.kill()
    holder.communicate()

    assert held
    assert not runfile.is_locked(tmp_path)


def test_the_state_is_only_trusted_while_somebody_holds_the_lock(tmp_path):
    runfile.run_folder(tmp_path)
    runfile.write(tmp_path, RUNNING)
    unlocked = runfile.read(tmp_path)
    with runfile.locked(tmp_path):
        assert runfile.read(tmp_path) == RUNNING

    assert unlocked is None


def test_the_state_holds_passwords_and_is_for_its_owner_only(tmp_path):
    runfile.write(tmp_path, RUNNING)

    assert (tmp_path / "run" / "state.json").stat().st_mode & 0o077 == 0


def test_the_environment_wins_over_the_state_one_address_at_a_time(tmp_path):
    settings = Settings(home=tmp_path, redis_url="redis://elsewhere")
    with runfile.locked(tmp_path):
        runfile.write(tmp_path, RUNNING)
        found = addresses.resolve(settings)

    assert found.redis_url == "redis://elsewhere"
    assert found.database_url == RUNNING.addresses.database_url
    assert found.command_api == "http://127.0.0.1:2"


def test_without_state_and_environment_there_is_no_database(tmp_path):
    with pytest.raises(addresses.NoAddress, match="COUNTERFOIL_DATABASE_URL"):
        addresses.database_url(Settings(home=tmp_path, database_url=None))


def test_a_plain_line_says_share_rate_and_time_left():
    line = progress.progress_line("orders", 500, 2_000, "commands", elapsed_s=5.0)

    assert line == "orders: 500 of 2,000 commands (25%), 100/s, 15 s left"


def test_a_plain_line_without_a_total_says_what_it_knows():
    assert progress.progress_line("reading", 900, None, "lines", elapsed_s=2.0) == "reading: 900 lines, 450/s"


def test_nothing_done_yet_promises_no_time():
    assert progress.progress_line("orders", 0, 10, "x", elapsed_s=1.0) == "orders: 0 of 10 x (0%), 0/s"


def test_progress_is_shown_every_few_seconds_and_at_the_end_on_standard_error(capsys, monkeypatch):
    monkeypatch.setattr(progress, "PLAIN_LINE_EVERY_S", 600.0)
    with progress.step("folding", total=4, unit="events") as step:
        step.advance()
        monkeypatch.setattr(progress, "PLAIN_LINE_EVERY_S", 0.0)
        step.advance()
        step.move_to(4)
    printed = capsys.readouterr()

    assert printed.out == ""
    assert printed.err.splitlines()[0].startswith("folding: 2 of 4 events (50%)")
    assert printed.err.splitlines()[-1].startswith("folding: 4 events in ")


def test_what_a_user_can_act_on_is_a_message_and_a_defect_is_not():
    assert user_messages.user_message(BadFile("x.csv", row=3, reason="why")) == "x.csv: row 3: why"
    assert (
        user_messages.user_message(psycopg.errors.UndefinedTable())
        == "the database is not migrated: run `counterfoil migrate`"
    )
    assert user_messages.user_message(ZeroDivisionError()) is None


def test_the_same_seed_makes_the_same_file(tmp_path):
    for name in ("one", "two"):
        generating.write_retail_file(tmp_path / name, products=10, customers=5, orders=20)
    generating.write_retail_file(tmp_path / "three", seed=2, products=10, customers=5, orders=20)

    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (tmp_path / "one").read_bytes() != (tmp_path / "three").read_bytes()


def test_the_command_line_itself_imports_nothing_heavy():
    """Roles start fast and stay small because each imports what it runs and nothing else."""
    heavy = "fastapi", "psycopg", "kafka", "pydantic", "redis", "commands", "projections", "read_api"
    listed = subprocess.run(
        [sys.executable, "-c", "import sys, counterfoil.cli.main; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    ).stdout.split()

    assert [name for name in heavy if name in listed] == []
