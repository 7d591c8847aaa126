"""What the production profile refuses before it opens a port."""

import json
import os
import socket
import sys

import pytest

from devservers import child
from tests import forking

CONFIGURATION = 78


@pytest.mark.parametrize("role", ["command-api", "query-api", "relay"])
def test_production_does_not_start_without_saying_who_callers_are(role, database_url):
    port = child.free_port()
    name = "RELAY_HEALTH" if role == "relay" else role.replace("-", "_").upper()
    environment = {
        **os.environ,
        "COUNTERFOIL_PROFILE": "production",
        "COUNTERFOIL_DATABASE_URL": database_url,
        f"COUNTERFOIL_{name}_PORT": str(port),
    }
    ended = forking.run([sys.executable, "-m", "counterfoil", role], env=environment, timeout=300)

    assert CONFIGURATION == ended.returncode
    assert "COUNTERFOIL_IDENTITY: the production profile needs it" in ended.stderr
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", port))


def test_a_setting_that_cannot_be_is_a_fault_of_the_configuration():
    environment = {**os.environ, "COUNTERFOIL_PROFILE": "prod"}
    ended = forking.run([sys.executable, "-m", "counterfoil", "config", "show"], env=environment, timeout=300)

    assert CONFIGURATION == ended.returncode
    assert "COUNTERFOIL_PROFILE" in ended.stderr


def test_up_refuses_what_production_refuses_before_anything_is_made(tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COUNTERFOIL_")}
    environment |= {"COUNTERFOIL_PROFILE": "production", "COUNTERFOIL_HOME": str(tmp_path / "home")}
    ended = forking.run([sys.executable, "-m", "counterfoil", "up"], env=environment, timeout=300)

    assert CONFIGURATION == ended.returncode
    assert "COUNTERFOIL_IDENTITY: the production profile needs it" in ended.stderr
    assert "COUNTERFOIL_DATABASE_URL: is not set" in ended.stderr
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    "command", [("audit", "verify"), ("status",), ("doctor",), ("config", "show"), ("up",)]
)
def test_a_malformed_address_is_a_fault_of_the_configuration_and_its_password_is_not_printed(
    tmp_path, command
):
    environment = {
        **os.environ,
        "COUNTERFOIL_HOME": str(tmp_path / "home"),
        "COUNTERFOIL_DATABASE_URL": "shop:S3cret@db.example/shop",
    }
    ended = forking.run([sys.executable, "-m", "counterfoil", *command], env=environment, timeout=300)

    assert CONFIGURATION == ended.returncode
    assert "COUNTERFOIL_DATABASE_URL: is no address of Postgres" in ended.stderr
    assert "S3cret" not in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "home").exists()


def test_the_doctor_lists_all_that_production_would_refuse(database_url):
    environment = {
        **os.environ,
        "COUNTERFOIL_DATABASE_URL": database_url,
        "COUNTERFOIL_REDIS_URL": "redis://cache.example:6379/0",
        "COUNTERFOIL_LOG_LEVEL": "debug",
    }
    ended = forking.run(
        [sys.executable, "-m", "counterfoil", "doctor", "--profile", "production", "--json"],
        env=environment,
        timeout=300,
    )
    checks = json.loads(ended.stdout)["checks"]
    refused = [each["name"] for each in checks if each["name"].startswith("COUNTERFOIL_")]

    assert 1 == ended.returncode
    assert ["IDENTITY", "LOG_LEVEL", "REDIS_URL", "REDIS_URL"] == [
        name.removeprefix("COUNTERFOIL_") for name in refused
    ]
