"""A whole shop whose every connection to Postgres, Redis and Kafka is over TLS and verified."""

import contextlib

import httpx
import psycopg
import pytest
import redis

from tests.acceptance.running import Up, last_json, run, wait_until
from tests.certificates import Authority
from tests.counterfoil import secured

pytestmark = pytest.mark.slow


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path, name="ours")


@pytest.fixture
def verified(settings, database_url, redis_url, authority, tmp_path):
    """Settings that name servers over TLS."""
    with (
        secured.postgres_over_tls(database_url, authority) as postgres,
        secured.redis_over_tls(redis_url, authority) as documents,
        secured.secured_kafka(settings, tmp_path / "kafka", authority) as kafka,
    ):
        yield {
            "COUNTERFOIL_DATABASE_URL": postgres,
            "COUNTERFOIL_REDIS_URL": documents,
            "COUNTERFOIL_KAFKA_BOOTSTRAP": kafka.sasl,
            "COUNTERFOIL_KAFKA_TLS": "true",
            "COUNTERFOIL_KAFKA_CA": str(authority.file),
            "COUNTERFOIL_KAFKA_USER": secured.USER,
            "COUNTERFOIL_KAFKA_PASSWORD": secured.PASSWORD,
        }


def test_every_role_works_over_verified_connections_alone(verified, database_url, redis_url, tmp_path):
    shop = Up(tmp_path / "home", distributed=True, **verified)
    try:
        post(shop, "/v1/products", {"sku": "postage", "title": "POSTAGE", "stocked": False})
        line = {"sku": "postage", "quantity": 1, "unit_price": "1.00"}
        post(shop, "/v1/orders", {"order_id": "o1", "country": "Italy", "currency": "GBP", "lines": [line]})
        wait_until(
            lambda: shop.has("/v1/orders/o1") and shop.get("/v1/orders/o1")["status"] == "confirmed",
            within_s=240,
            what="the order is confirmed",
        )
        status = last_json(run(shop.home, "status", "--json", **verified))

        assert {"postgres": True, "redis": True, "kafka": True, "keys": None} == {
            name: server["answers"] for name, server in status["servers"].items()
        }
        assert "kafka" == status["relay"]["carrier"]
        with psycopg.connect(database_url) as admin:
            (sessions,) = admin.execute(
                "select count(distinct application_name) from pg_stat_activity"
                " where datname = current_database() and application_name like 'counterfoil %'"
            ).fetchone() or (0,)
        assert sessions >= len(("relay", "projections", "processes", "command-api", "query-api"))
        with contextlib.closing(redis.Redis.from_url(redis_url)) as documents:
            wait_until(lambda: documents.keys("*order*o1*"), within_s=240, what="a document of the order")
    finally:
        assert shop.stop() == 0


def post(shop, path, body):
    sent = httpx.post(
        shop.url("command_api", path),
        json=body,
        headers={"Idempotency-Key": path},
        trust_env=False,
        timeout=60,
    )
    assert sent.status_code == 201, sent.text
