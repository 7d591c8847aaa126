"""Three processes of each API on one database, and one Envoy before them, for all tests of the gateway."""

import contextlib
import itertools

import httpx
import pytest
from msgspec import structs

from counterfoil import accounts, declared
from counterfoil.api_gateway import envoy, layout
from devservers import child
from devservers.envoy_server import EnvoyServer
from runtime.settings import PREFIX, Settings
from tests.certificates import Authority
from tests.gateway.behind import ApiProcess
from tests.projections.feeding import feeding, publish, settle

EMAIL, PASSWORD = "owner@example.org", "correct horse battery"
PROCESSES = 3
READS_OF_A_PROGRAM_MAX = 100
"""In any minute, over all processes of both APIs."""
ORIGIN = "https://shop.example"
"""Whose pages may call."""
WRITES_MAX = 5
"""Commands at once from one address, at the listener with small buckets."""


@pytest.fixture(scope="session")
def settings_of_shop(new_database, servers_directory, kept_redis_url):
    """Settings of an installation with accounts, an owner, and a context from outside."""
    home = servers_directory / "gateway"
    home.mkdir()
    settings = Settings(
        database_url=new_database(),
        home=home,
        identity="accounts",
        password_memory_mb=19,
        trusted_proxies="127.0.0.1/32",
        redis_url=kept_redis_url,
        limits=f"login:address=100000 read:service={READS_OF_A_PROGRAM_MAX}",
        cors_origins=ORIGIN,
        contexts="shop,tests.counterfoil.lending:LENDING",
    )
    url = settings.database_url.get_secret_value()
    settle(url)
    with feeding(url, declared.contexts(settings).views) as feeder:
        publish(url)
        feeder.catch_up()
    accounts.create_owner(settings, email=EMAIL, password=PASSWORD)
    return settings


@pytest.fixture(scope="session")
def contexts(settings_of_shop):
    """Those of the shop, and the one from outside."""
    return declared.contexts(settings_of_shop)


@pytest.fixture(scope="session")
def apis(settings_of_shop):
    """Processes by role."""
    given = {
        PREFIX + name.upper(): _written(getattr(settings_of_shop, name))
        for name in settings_of_shop.model_fields_set
    }
    started = {
        role: [
            ApiProcess(role, given, output=settings_of_shop.home / f"{role}-{number}.log")
            for number in range(PROCESSES)
        ]
        for role in ("command-api", "query-api")
    }
    with contextlib.ExitStack() as stack:
        for process in itertools.chain(*started.values()):
            stack.callback(process.stop)
            process.start()
        for process in itertools.chain(*started.values()):
            process.wait_until_ready()
        yield started


def _written(value):
    return value.get_secret_value() if hasattr(value, "get_secret_value") else str(value)


@pytest.fixture(scope="session")
def gateway_layout(settings_of_shop, contexts, apis):
    places = layout.Places(
        listen=f"127.0.0.1:{child.free_port()}",
        command_api=[process.place for process in apis["command-api"]],
        query_api=[process.place for process in apis["query-api"]],
    )
    return layout.layout(settings_of_shop, places, contexts=contexts)


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """The authority of the certificate of the gateway's second listener."""
    return Authority(tmp_path_factory.mktemp("authority"), name="gateway")


@pytest.fixture(scope="session")
def secure_layout(gateway_layout, authority):
    """The same gateway with a certificate, and a small bucket of commands."""
    certificate = authority.server("localhost")
    return structs.replace(
        gateway_layout,
        listens=layout.ApiAddress("127.0.0.1", child.free_port()),
        certificate=certificate,
        key=certificate,
        buckets=gateway_layout.buckets | {"write": layout.TokenBucket(WRITES_MAX, 1)},
    )


@pytest.fixture(scope="session")
def secure_url(secure_layout):
    """Where the second listener is reached."""
    return f"https://localhost:{secure_layout.listens.port}"


@pytest.fixture(scope="session")
def gateway(gateway_layout, secure_layout, servers_directory, servers_taken):
    """The Envoy of the run."""
    url = f"http://127.0.0.1:{gateway_layout.listens.port}"
    configuration = envoy.bootstrap(gateway_layout)
    [second] = envoy.bootstrap(secure_layout)["static_resources"]["listeners"]
    configuration["static_resources"]["listeners"].append(second | {"name": "secure-callers"})
    with EnvoyServer(servers_directory / "envoy", configuration=configuration, url=url) as server:
        servers_taken.append(server.report())
        yield server


@pytest.fixture(scope="session")
def caller(gateway):
    """Sends requests through the gateway."""
    with httpx.Client(base_url=gateway.url, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def owner(caller):
    """The header of a token of the owner, who logs in through the gateway: good for ten minutes, less than a run."""
    session = caller.post("/v1/sessions", json={"email": EMAIL, "password": PASSWORD})
    assert 201 == session.status_code, session.text
    return {"authorization": f"Bearer {session.json()['access_token']}"}
