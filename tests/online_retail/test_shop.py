"""The importer against an HTTP server that answers by script: what it repeats, with which key, and for how long."""

import threading
import time

import pytest

from devservers.child import free_port
from examples.online_retail import shop as shop_module
from examples.online_retail.errors import NeverCaughtUp, ShopUnreachable, UnexpectedAnswer
from examples.online_retail.lagging import lags, wait_until_caught_up
from examples.online_retail.posting import BATCH_LINES_MAX, batched, send_all
from examples.online_retail.shop import Command, Shop
from tests.online_retail.answering import LOST, Server


@pytest.fixture
def serve():
    servers = []

    def start(*answers):
        """Give these answers in turn, the last one for ever; a callable computes its answer from the request."""
        left = list(answers)

        def script(request):
            answer = left.pop(0) if len(left) > 1 else left[0]
            return answer(request) if callable(answer) else answer

        servers.append(Server(script))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def accept_all(request):
    return 200, {}, {"results": [{"status": 201, "stream": "s", "version": 1} for _ in request["commands"]]}


def results(*statuses):
    entries = [
        {"status": status, "type": f"/problems/{slug}", "title": slug, "detail": "why"}
        for status, slug in statuses
    ]
    return 200, {}, {"results": entries}


def commands(count, *, lines=1):
    return [
        Command(f"key-{number}", "place_order", {"n": number}, rows=tuple(range(lines)))
        for number in range(count)
    ]


def keys(request):
    return [entry["key"] for entry in request["commands"]]


def client(server, **options):
    return Shop(server.url, server.url, **options)


def test_a_busy_shop_is_asked_again_after_the_time_it_names(serve):
    server = serve((503, {"retry-after": "1"}, {"title": "busy"}), accept_all)
    started = time.monotonic()
    with client(server) as shop:
        (verdict,) = shop.send(commands(1))

    assert verdict.accepted
    assert time.monotonic() - started >= 0.75
    assert [keys(request) for request in server.asked] == [["key-0"], ["key-0"]]


def test_a_lost_answer_is_asked_for_again_with_the_same_keys(serve):
    server = serve(LOST, LOST, accept_all)
    with client(server) as shop:
        verdicts = shop.send(commands(2))

    assert [verdict.accepted for verdict in verdicts] == [True, True]
    assert [keys(request) for request in server.asked] == [["key-0", "key-1"]] * 3


def test_only_commands_without_a_final_verdict_are_sent_again(serve):
    first = results((201, ""), (503, "outcome-unknown"), (409, "contended"), (422, "unknown-sku"))
    server = serve(first, accept_all)
    with client(server) as shop:
        verdicts = shop.send(commands(4))

    assert [verdict.status for verdict in verdicts] == [201, 201, 201, 422]
    assert keys(server.asked[1]) == ["key-1", "key-2"]


def test_a_refusal_keeps_its_reason(serve):
    with client(serve(results((409, "order-id-taken")))) as shop:
        (verdict,) = shop.send(commands(1))

    assert (verdict.problem, verdict.reason, verdict.accepted) == (
        "order-id-taken",
        "order-id-taken: why",
        False,
    )


def test_faults_of_the_shop_are_retried_only_so_often(serve, monkeypatch):
    monkeypatch.setattr(shop_module, "SERVER_FAULTS_MAX", 2)
    server = serve((500, {}, {"title": "broken"}))
    with client(server) as shop, pytest.raises(UnexpectedAnswer, match="broken"):
        shop.send(commands(1))

    assert len(server.asked) == 3


def test_a_shop_that_is_gone_is_waited_for_no_longer_than_the_patience():
    url = f"http://127.0.0.1:{free_port()}"
    with Shop(url, url, patience_s=0.3) as shop, pytest.raises(ShopUnreachable, match="no progress for 0 s"):
        shop.send(commands(1))


def test_a_shop_that_never_answered_is_asked_for_a_moment_only(monkeypatch):
    monkeypatch.setattr(shop_module, "FIRST_ANSWER_WITHIN_S", 0.3)
    url = f"http://127.0.0.1:{free_port()}"
    started = time.monotonic()
    with Shop(url, url) as shop, pytest.raises(ShopUnreachable):
        lags(shop)

    assert time.monotonic() - started < shop_module.PATIENCE_S / 2


def test_a_long_wait_is_shown(serve, monkeypatch, capsys):
    monkeypatch.setattr(shop_module, "SAY_WAITING_EVERY_S", 0.2)
    server = serve(LOST, LOST, LOST, LOST, accept_all)
    with client(server) as shop:
        shop.send(commands(1))

    assert "waiting for the shop: 127.0.0.1" in capsys.readouterr().err


def test_giving_up_ends_every_wait_at_once():
    url = f"http://127.0.0.1:{free_port()}"
    with Shop(url, url) as shop:
        threading.Timer(0.2, shop.give_up).start()
        started = time.monotonic()
        with pytest.raises(ShopUnreachable, match="given up"):
            shop.send(commands(1))

    assert time.monotonic() - started < shop_module.PATIENCE_S / 2


@pytest.mark.parametrize(
    "answer",
    [(404, {}, {}), (200, {}, {"results": []}), (200, {}, {"other": 1})],
    ids=["another status", "results missing", "another shape"],
)
def test_an_answer_outside_the_contract_ends_the_import(serve, answer):
    with client(serve(answer)) as shop, pytest.raises(UnexpectedAnswer):
        shop.send(commands(1))


def test_every_command_gets_its_verdict_whatever_the_batches(serve):
    server = serve(accept_all)
    answered = []
    with client(server) as shop:
        send_all(shop, commands(1_201), on_verdict=lambda command, _: answered.append(command.key))

    assert sorted(answered) == sorted(command.key for command in commands(1_201))
    assert sorted(len(request["commands"]) for request in server.asked) == [201, 500, 500]


def test_batches_are_bounded_by_their_lines_too():
    sizes = [len(batch) for batch in batched(commands(5, lines=BATCH_LINES_MAX // 2))]

    assert sizes == [2, 2, 1]


def test_a_command_larger_than_a_batch_travels_alone():
    sizes = [len(batch) for batch in batched(commands(2, lines=BATCH_LINES_MAX + 1))]

    assert sizes == [1, 1]


def test_an_error_in_one_batch_ends_all_of_them(serve):
    server = serve((404, {}, {}))
    with client(server) as shop, pytest.raises(UnexpectedAnswer):
        send_all(shop, commands(5_000), on_verdict=lambda *_: None)

    assert len(server.asked) <= 5


def status(position, *, view=0, process=0, relay=0):
    return (
        200,
        {},
        {
            "log": {"position": position, "epoch": 1},
            "relay": {"lag_events": relay},
            "views": [{"name": "order_details", "lag_events": view}],
            "process_managers": [{"name": "fulfilment", "lag_events": process}],
        },
    )


def test_a_shop_has_caught_up_when_nothing_moved_between_two_reads(serve):
    server = serve(
        status(5, view=1), status(5, process=2), status(5), status(7, relay=1), status(7), status(7)
    )
    with client(server) as shop:
        assert wait_until_caught_up(shop) == 7

    assert len(server.asked) == 6


def test_a_shop_whose_views_were_never_built_has_not_caught_up(serve):
    empty = {"log": {"position": 0}, "relay": {"lag_events": 0}, "views": [], "process_managers": []}
    headers: dict[str, str] = {}
    never = (200, headers, empty)
    server = serve(never, never, status(3), status(3))
    with client(server) as shop:
        assert wait_until_caught_up(shop) == 3


def test_a_shop_that_stands_still_behind_its_head_is_named(serve, monkeypatch):
    monkeypatch.setattr("examples.online_retail.lagging.STANDSTILL_MAX_S", 0.5)
    with client(serve(status(9, view=4))) as shop, pytest.raises(NeverCaughtUp, match="order_details 4"):
        wait_until_caught_up(shop)


def test_a_shop_that_does_not_know_the_importer_says_what_to_set(serve):
    with (
        client(serve((401, {}, {"title": "who?"}))) as shop,
        pytest.raises(UnexpectedAnswer, match="COUNTERFOIL_TOKEN"),
    ):
        shop.send(commands(1))


def test_the_token_of_the_importer_is_sent_with_every_request(serve):
    server = serve(accept_all)
    with client(server, token="cfk_key") as shop:
        shop.send(commands(1))

    assert ["Bearer cfk_key"] == server.tokens
