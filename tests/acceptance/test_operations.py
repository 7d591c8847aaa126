"""What operators and auditors do from the command line, on a shop with a history."""

import json

import httpx
import psycopg
import pytest

from counterfoil.contexts import CONTEXTS
from tests.acceptance.running import last_json, wait_until

pytestmark = pytest.mark.slow

VIEW = "order_summary"


@pytest.fixture
def shop(sold):
    return sold[0]


def moved(shop, verb, view):
    """The exit code of a command about builds; it may have to wait until the workers moved both to one place."""
    finished = []

    def done():
        finished.append(shop.run("views", verb, view))
        return "wait for the workers" not in finished[-1].stderr

    wait_until(done, within_s=240, what="workers that moved both builds to one place")
    return finished[-1].returncode


def builds(shop):
    listed = json.loads(shop.run("views", "list", "--json").stdout)
    return {build["build"]: (build["live"], build["state"]) for build in listed if build["name"] == VIEW}


def test_a_view_is_rebuilt_next_to_the_live_one_compared_promoted_rolled_back_and_dropped(shop):
    rebuilt = shop.run("views", "rebuild", VIEW, "--json")

    assert rebuilt.returncode == 0, rebuilt.stderr
    assert builds(shop) == {1: (True, "following"), 2: (False, "following")}

    compared = shop.run("views", "verify", VIEW, "--json")
    digests = {build["digest"] for build in last_json(compared)["builds"]}

    assert (compared.returncode, len(digests)) == (0, 1)

    refused = shop.run("views", "rebuild", VIEW)

    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr

    for verb, live in (("promote", 2), ("rollback", 1)):
        assert moved(shop, verb, VIEW) == 0
        assert [build for build, (is_live, _) in builds(shop).items() if is_live] == [live]
        assert shop.get("/v1/orders?status=shipped&limit=1")["items"]
    assert shop.run("views", "drop", VIEW).returncode == 0
    assert builds(shop) == {1: (True, "following")}


def test_a_view_that_does_not_exist_names_those_that_do(shop):
    finished = shop.run("views", "rebuild", "order_detials")

    assert finished.returncode == 1
    first, second, *_ = sorted(view.name for view in CONTEXTS.views)
    assert f"there is no view order_detials; there are {first}, {second}, " in finished.stderr


def test_a_history_is_replayed_up_to_a_position_or_a_time(shop):
    whole = [json.loads(line) for line in shop.run("replay", "order-500001", "--json").stdout.splitlines()]
    placed, confirmed, shipped = whole
    upto = shop.run("replay", "order-500001", "--json", "--as-of", str(confirmed["position"]))
    by_time = shop.run("replay", "order-500001", "--json", "--as-of", placed["recorded_at"])

    assert [step["state"]["status"] for step in whole] == ["placed", "confirmed", "shipped"]
    assert [json.loads(line)["version"] for line in upto.stdout.splitlines()] == [1, 2]
    assert last_json(by_time)["version"] >= 1
    assert shipped["payload"]["order_id"] == "500001"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["order-none"], "stream order-none has no event"),
        (["order-500001", "--as-of", "soon"], "neither a position"),
    ],
)
def test_a_replay_of_nothing_says_so(shop, arguments, words):
    finished = shop.run("replay", *arguments)

    assert finished.returncode == 64
    assert words in finished.stderr


@pytest.fixture
def repaired_after(shop):
    """Names a view that a test damages, and gives a way to repair it, which happens in any case: others use the shop.

    As the runbook says: a fold of the whole log, which knows what was skipped, takes the damaged build's place.
    """
    damaged = []

    def repair():
        view = damaged.pop()
        return [moved(shop, verb, view) for verb in ("rebuild", "promote", "drop")]

    def damages(view):
        damaged.append(view)
        return repair

    yield damages
    if damaged:
        repair()


def test_a_key_that_cannot_be_folded_is_parked_shown_and_skipped(shop, repaired_after):
    """A row that vanished behind the view's back makes the next fold of its key fail."""
    url, headers = shop.url("command_api", "/v1/products"), {"Idempotency-Key": "parked-1"}
    product = {"title": "CLOCK", "stocked": False}
    sku = httpx.post(url, json=product, headers=headers, trust_env=False, timeout=60).json()["id"]
    wait_until(lambda: shop.has(f"/v1/products/{sku}"), within_s=240, what="the product is there")
    repair = repaired_after("product_page")
    with psycopg.connect(shop.state["addresses"]["database_url"], autocommit=True) as admin:
        admin.execute("delete from views.product_page_s1_b1 where sku = %s", [sku])
    shop.wait_for_another("projections", than=shop.kill("projections"))  # which keeps rows it knows
    change = {"unit_price": "1.00", "currency": "GBP"}
    keyed = {"Idempotency-Key": "parked-2"}
    httpx.post(f"{url}/{sku}/price", json=change, headers=keyed, trust_env=False, timeout=60)
    wait_until(lambda: parked(shop), within_s=240, what="the key is parked")
    (key,) = parked(shop)

    assert (key["consumer"], key["partition_key"]) == ("product_page", f"product-{sku}")

    shown = last_json(shop.run("parked", "show", "product_page", f"product-{sku}"))
    position = shown["position"]
    wrong = shop.run("parked", "skip", "product_page", f"product-{sku}", position + 1, "--reason", "gone")

    assert (wrong.returncode, "nothing was skipped" in wrong.stderr) == (1, True)
    assert parked(shop)

    skipped = shop.run(
        "parked", "skip", "product_page", f"product-{sku}", position, "--reason", "its row is gone"
    )

    assert skipped.returncode == 0, skipped.stderr
    wait_until(lambda: not parked(shop), within_s=240, what="the key goes on")
    assert "event_skipped" in shop.run("replay", "skips-product_page").stdout

    assert [0, 0, 0] == repair()
    assert shop.run("audit", "verify").returncode == 0


def test_a_fenced_shop_goes_on_in_a_new_epoch_and_a_new_generation(sold_distributed):
    shop, _ = sold_distributed
    before = last_json(shop.run("status", "--json"))
    fenced = shop.run("log", "fence", "--reason", "a drill", "--yes")
    answer = httpx.post(
        shop.url("command_api", "/v1/products"),
        json={"sku": "fenced", "title": "CLOCK", "stocked": False},
        headers={"Idempotency-Key": "after-the-fence"},
        timeout=120,
        trust_env=False,
    )
    wait_until(lambda: shop.has("/v1/products/fenced"), within_s=240, what="the product is there")
    after = last_json(shop.run("status", "--json"))

    assert (fenced.returncode, answer.status_code) == (0, 201)
    assert after["log"]["epoch"] == before["log"]["epoch"] + 1
    assert after["relay"]["generation"] == before["relay"]["generation"] + 1
    assert shop.run("audit", "verify").returncode == 0


def parked(shop):
    return json.loads(shop.run("parked", "list", "--json").stdout)


def test_parked_keys_alone_make_the_audit_exit_with_2(shop):
    with psycopg.connect(shop.state["addresses"]["database_url"], autocommit=True) as admin:
        admin.execute(
            "insert into consumers.parked (consumer, shape, build, partition_key, position, stream,"
            " version, type, reason, last_position) select l.view, l.shape, l.build, 'product-none', h.position,"
            " 'product-none', 1, 't', 'r', h.position from views.live l, log.head h where l.view = 'product_page'"
        )
        try:
            finished = shop.run("audit", "verify", "--json")
        finally:
            admin.execute("delete from consumers.parked where partition_key = 'product-none'")

    assert finished.returncode == 2
    assert (last_json(finished)["ok"], last_json(finished)["parked"]) == (True, 1)
