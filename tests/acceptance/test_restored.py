"""The data of a shop put back to an earlier moment, as the runbook of restored backups has it for `counterfoil up`."""

import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.acceptance.running import Up, run, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.slow]


def create_product(shop, sku):
    httpx.post(
        shop.url("command_api", "/v1/products"),
        json={"sku": sku, "title": "CLOCK", "stocked": True},
        headers={"Idempotency-Key": sku},
        trust_env=False,
        timeout=60,
    ).raise_for_status()
    wait_until(lambda: shop.has(f"/v1/products/{sku}"), within_s=240, what="the product")


def sealed(shop):
    return json.loads(shop.run("status", "--json").stdout)["seal"]


@pytest.fixture
def started(tmp_path):
    """Starts one shop, again and again; its sealer has a key."""
    home, shops = tmp_path / "home", []
    settings = {"COUNTERFOIL_SEAL_KEY": str(tmp_path / "seal.key")}

    def start(**options):
        shops.append(Up(home, **options, **settings))
        return shops[-1]

    yield start
    if shops:
        shops[-1].stop()


def test_a_shop_that_lost_sealed_events_is_fenced_while_it_starts_and_runs_without_its_sealer(
    started, tmp_path
):
    home, key = tmp_path / "home", tmp_path / "seal.key"
    assert 0 == run(home, "seal-key", "generate", key, "--origin", "shop.example/log").returncode
    shop = started(distributed=True)
    create_product(shop, "10001")
    assert 0 == shop.stop()
    copy(home / "postgres", tmp_path / "backup")

    shop = started(distributed=True)
    create_product(shop, "10002")
    wait_until(
        lambda: sealed(shop)["lag_events"] == 0, within_s=240, what="a checkpoint of the second product"
    )
    assert 0 == shop.stop()
    shutil.rmtree(home / "postgres")
    copy(tmp_path / "backup", home / "postgres")
    with ThreadPoolExecutor(1) as operator:
        fencing = operator.submit(fence, home)
        shop = started(distributed=True)
        fenced = fencing.result()
    create_product(shop, "10003")

    assert "epoch 2 and generation 2 begin" in fenced
    assert (True, False) == (shop.has("/v1/products/10001"), shop.has("/v1/products/10002"))
    wait_until(
        lambda: "of another history" in sealers_reason(shop), within_s=240, what="a refusal of the sealer"
    )


def copy(folder, to):
    """Every file keeps its owner: Postgres reads only its own."""
    subprocess.run(["cp", "-a", folder, to], check=True)


def fence(home):
    """Fence as soon as that is possible; what is printed then."""
    found = []

    def done():
        found.append(run(home, "log", "fence", "--reason", "restored", "--yes"))
        return found[-1].returncode == 0

    wait_until(done, within_s=80, what="a fence")
    return found[-1].stdout


def sealers_reason(shop):
    return (shop.home / "logs" / "sealer.log").read_text()
