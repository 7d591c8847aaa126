import pytest

from devservers import buying
from devservers.buying import BuyingFailed, People
from tests.online_retail.answering import Server

STALE = 503, {"retry-after": "1"}, {"code": "stale-read"}
SHOWN = 200, {}, {"order_id": "1"}


@pytest.fixture
def asked():
    """Asks a query API for an order that gives these answers in turn, the last one for ever; its requests."""
    servers = []

    def ask(*answers):
        left = list(answers)
        servers.append(Server(lambda _: left.pop(0) if len(left) > 1 else left[0]))
        with People(servers[-1].url, servers[-1].url) as people:
            assert people.may_read("1", token="t")
        return servers[-1].asked

    yield ask
    for server in servers:
        server.close()


def test_what_the_views_do_not_show_yet_is_asked_for_again(asked):
    assert ["/v1/orders/1"] * 3 == asked(STALE, STALE, SHOWN)


def test_what_is_never_shown_ends_the_demo(asked, monkeypatch):
    monkeypatch.setattr(buying, "SHOWN_WITHIN_S", 0.3)

    with pytest.raises(BuyingFailed, match="answered 503"):
        asked(STALE)
