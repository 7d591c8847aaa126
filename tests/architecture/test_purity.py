"""The domain is pure, and nobody swallows an error."""

import pytest

from tests.architecture import purity
from tests.architecture.source import broken, planted, product, surroundings

DOMAIN = [source for source in product() if source.package == "domain"]


def test_the_domain_imports_only_itself_msgspec_and_pure_parts_of_the_standard_library():
    assert "" == broken(purity.foreign_imports, among=DOMAIN)


@pytest.mark.parametrize(
    "statement",
    [
        "import psycopg",
        "from fastapi import FastAPI",
        "import os",
        "from uuid import uuid4",
        "from random import choice",
        "import time",
        "from . import money",
    ],
)
def test_a_foreign_import_in_the_domain_is_found(statement: str):
    assert planted(purity.foreign_imports, statement)


def test_the_domain_reads_no_clock_no_chance_and_no_environment():
    assert "" == broken(purity.hidden_input, among=DOMAIN)


@pytest.mark.parametrize(
    "call", ["datetime.now(UTC)", "date.today()", "datetime.datetime.utcnow()", "open('/etc/hostname')"]
)
def test_hidden_input_is_found(call: str):
    assert planted(purity.hidden_input, f"def decide():\n    return {call}")


def test_only_process_managers_call_the_outside_world():
    assert "" == broken(purity.foreign_gateways)


@pytest.mark.parametrize(
    "statement",
    [
        "import commands.gateways.payment",
        "from commands import gateways",
        "from commands.gateways import payment",
    ],
)
def test_a_route_or_process_that_calls_the_outside_world_is_found(statement: str):
    assert planted(purity.foreign_gateways, statement, path="commands/ordering.py")
    assert planted(purity.foreign_gateways, statement, path="commands/processes/dunning.py")
    assert not planted(purity.foreign_gateways, statement, path="commands/gateways/sending.py")


def test_only_gateways_open_sockets_to_the_outside():
    assert "" == broken(purity.outside_sockets)


@pytest.mark.parametrize(
    "statement",
    [
        "import httpx",
        "from urllib import request",
        "from http.client import HTTPSConnection",
        "socket.create_connection(address)",
        "await asyncio.open_connection(host, port)",
    ],
)
def test_a_socket_to_the_outside_is_found(statement: str):
    assert planted(purity.outside_sockets, statement, path="commands/processes/dunning.py")
    assert not planted(purity.outside_sockets, statement, path="commands/gateways/payment.py")


def test_no_error_is_swallowed():
    assert "" == broken(purity.swallowed_errors, among=[*product(), *surroundings()])


@pytest.mark.parametrize(
    "handler",
    [
        "except:\n    give_up()",
        "except ValueError:\n    pass",
        "except Exception:\n    log.error('ups')",
        "except (ValueError, Exception):\n    log.error('ups')",
        "except BaseException as error:  # noqa: BLE001\n    log.error('ups')",
    ],
)
def test_a_swallowed_error_is_found(handler: str):
    assert planted(purity.swallowed_errors, f"try:\n    work()\n{handler}\n")


def test_suppressing_everything_is_found():
    assert planted(purity.swallowed_errors, "with contextlib.suppress(Exception):\n    work()\n")


@pytest.mark.parametrize(
    "handler",
    [
        "except BaseException:\n    clean_up()\n    raise",
        "except Exception as error:  # noqa: BLE001 - a fold's failure is parked, whatever it is\n    park(error)",
    ],
)
def test_catching_everything_is_allowed_to_whoever_raises_again_or_says_why(handler: str):
    assert not planted(purity.swallowed_errors, f"try:\n    work()\n{handler}\n")


def test_no_thread_makes_a_decoder_that_others_make_meanwhile():
    assert "" == broken(purity.late_decoders)


@pytest.mark.parametrize(
    "making",
    [
        "msgspec.json.Decoder(kind)",
        "msgspec.msgpack.Decoder(Kept)",
        "msgspec.json.decode(body, type=Answer)",
        "msgspec.json.decode(body, type=self._kind)",
    ],
)
def test_a_decoder_that_is_made_late_is_found(making: str):
    assert planted(purity.late_decoders, f"import msgspec\ndef read():\n    return {making}")
    assert not planted(purity.late_decoders, f"import msgspec\nread = {making}")


def test_calls_over_http_say_how_long_they_wait():
    assert "" == broken(purity.hasty_requests, among=(*product(), *surroundings()))


@pytest.mark.parametrize("call", ["get(url)", "post(url, json={})", "AsyncClient(trust_env=False)"])
def test_a_call_over_http_without_a_timeout_is_found(call: str):
    assert planted(purity.hasty_requests, f"import httpx\nanswer = httpx.{call}")
    assert not planted(purity.hasty_requests, f"import httpx\nanswer = httpx.{call[:-1]}, timeout=60)")


def test_files_that_have_to_last_have_one_writer():
    assert "" == broken(purity.files_by_descriptor)


@pytest.mark.parametrize(
    "text",
    [
        "handle = os.open(path, os.O_CREAT | os.O_EXCL, 0o600)",
        "os.fsync(file.fileno())",
        "path.touch(mode=0o600)",
    ],
)
def test_another_writer_of_files_is_found(text: str):
    assert planted(purity.files_by_descriptor, text, path="runtime/keyring/planted.py")
