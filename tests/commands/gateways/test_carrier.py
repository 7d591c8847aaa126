"""The carrier's client and the simulated carrier: what the contract says, and every way in which it is not kept."""

import contextlib
import socket
import threading
from pathlib import Path

import pytest

from commands.gateways import outside as gateway
from commands.gateways.carrier import HttpCarrier
from commands.gateways.gateway import NoAnswer, Refused, Unaskable
from commands.gateways.parcels import Label, Parcel
from counterfoil.simulators.carrier import Carrier, Server
from counterfoil.simulators.faults import Chance, Faults, MalformedFaults
from counterfoil.simulators.journal import Ledger, LedgerEntry
from domain.ids import OrderId, Sku
from domain.shipping.events import Content

pytestmark = pytest.mark.anyio

KEY = "0b54b3c4:carrier:shipment-an order:label:1"
PARCEL = Parcel(
    shipment=OrderId("an order"), country="EIRE", contents=(Content(sku=Sku("85123A"), quantity=3),)
)
LABEL = Label(label="L-000001", tracking="CF000000001GB")


@contextlib.contextmanager
def simulated(ledger: Path, faults: str = "", *, token: str | None = None):
    with (
        Ledger(ledger, LedgerEntry) as book,
        Server(Carrier(book, Chance(Faults.read(faults), seed=7), token=token), port=0) as server,
    ):
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def done(ledger: Path) -> list[tuple[str, str]]:
    with Ledger(ledger, LedgerEntry) as book:
        return [(entry.call, entry.did) for entry in book.entries()]


@pytest.fixture
def ledger(tmp_path):
    return tmp_path / "ledger"


def test_a_line_that_a_crash_cut_off_does_not_spoil_the_next_one(ledger):
    for number in range(2):
        with Ledger(ledger, LedgerEntry) as book:
            book.write(LedgerEntry(at=0.0, call="buy", key=str(number), did="sold"))
        with ledger.open("ab") as cut_off:
            cut_off.write(b'{"at":0.0,"call":"b')

    with Ledger(ledger, LedgerEntry) as book:
        assert ["0", "1"] == [entry.key for entry in book.entries()]


async def test_a_label_is_sold_once_for_each_key_and_found_by_it_also_after_a_restart(ledger):
    with simulated(ledger, token="secret") as server:
        async with HttpCarrier.open(server.url, token="secret") as carrier:
            assert await carrier.find(KEY, PARCEL) is None
            assert LABEL == await carrier.buy(KEY, PARCEL) == await carrier.buy(KEY, PARCEL)
    with simulated(ledger) as server:
        async with HttpCarrier.open(server.url, token=None) as carrier:
            assert LABEL == await carrier.find(KEY, PARCEL) == await carrier.buy(KEY, PARCEL)
            assert Label(label="L-000002", tracking="CF000000002GB") == await carrier.buy(f"{KEY}2", PARCEL)

    assert ["unknown", "sold", "repeated", "found", "repeated", "sold"] == [did for _, did in done(ledger)]


async def test_a_refusal_is_final_and_found_by_its_key(ledger):
    refused = Refused("no service to that country")
    with simulated(ledger, "refuse=1") as server:
        async with HttpCarrier.open(server.url, token=None) as carrier:
            assert refused == await carrier.buy(KEY, PARCEL)
            assert refused == await carrier.buy(KEY, PARCEL) == await carrier.find(KEY, PARCEL)


@pytest.mark.parametrize("fault", ["lose", "late", "garble", "wrong"])
async def test_what_was_done_and_not_answered_is_not_known_and_found_later(ledger, fault, monkeypatch):
    if fault == "late":
        monkeypatch.setattr(gateway, "ANSWER_TIMEOUT_S", 1.0)
    with simulated(ledger, f"{fault}=1" + (":5" if fault == "late" else "")) as server:
        async with HttpCarrier.open(server.url, token=None) as carrier:
            with pytest.raises(NoAnswer):
                await carrier.buy(KEY, PARCEL)
    monkeypatch.undo()
    with simulated(ledger) as server:
        async with HttpCarrier.open(server.url, token=None) as carrier:
            assert LABEL == await carrier.find(KEY, PARCEL)


async def test_a_defect_of_the_carrier_says_nothing(ledger):
    with simulated(ledger, "error=1") as server:
        async with HttpCarrier.open(server.url, token=None) as carrier:
            for _ in range(6):
                with pytest.raises(NoAnswer, match="500"):
                    await carrier.buy(KEY, PARCEL)

    assert {("buy", "failed"), ("buy", "sold")} <= set(done(ledger)), "before and after it was done"


async def test_an_answer_that_is_sent_twice_is_not_that_of_the_next_request(ledger):
    other = Parcel(shipment=OrderId("other"), country="EIRE", contents=PARCEL.contents)
    with simulated(ledger, "twice=1") as server:
        async with HttpCarrier.open(server.url, token=None) as carrier:
            assert LABEL == await carrier.buy(KEY, PARCEL)
            assert "L-000002" == (await carrier.buy("other", other)).label


async def test_a_wrong_token_says_nothing_of_the_label(ledger):
    with simulated(ledger, token="secret") as server:
        async with HttpCarrier.open(server.url, token="guessed") as carrier:
            with pytest.raises(NoAnswer, match="401"):
                await carrier.buy(KEY, PARCEL)

    assert [] == done(ledger)


async def test_a_carrier_that_is_not_there_says_nothing():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with HttpCarrier.open(f"http://127.0.0.1:{taken.getsockname()[1]}", token=None) as carrier:
            with pytest.raises(NoAnswer):
                await carrier.find(KEY, PARCEL)


ANSWERS: dict[str, tuple[int, bytes, str, type[Exception]]] = {
    "a page that is not of the carrier": (404, b"<html>no such page</html>", "find", NoAnswer),
    "not that the key is unknown": (404, b'{"key": "KEY"}', "find", NoAnswer),
    "about another key": (
        200,
        b'{"key": "x", "shipment": "an order", "label": "L", "tracking": "T"}',
        "find",
        NoAnswer,
    ),
    "sold and refused at once": (
        201,
        b'{"key": "KEY", "shipment": "an order", "label": "L", "tracking": "T", "refused": "no"}',
        "buy",
        NoAnswer,
    ),
    "sold, with the status of a refusal": (
        422,
        b'{"key": "KEY", "shipment": "an order", "label": "L", "tracking": "T"}',
        "buy",
        NoAnswer,
    ),
    "a label with a control character": (
        201,
        b'{"key": "KEY", "shipment": "an order", "label": "L\\u0000", "tracking": "T"}',
        "buy",
        NoAnswer,
    ),
    "an answer without an end": (
        201,
        b'{"key": "KEY", "shipment": "an order", "label": "L", "tracking": "T"}'
        + b" " * gateway.ANSWER_BYTES_MAX,
        "buy",
        NoAnswer,
    ),
    "a redirection": (302, b"", "buy", NoAnswer),
    "busy": (429, b"", "buy", NoAnswer),
    "another request had this key": (409, b"{}", "buy", Unaskable),
    "not understood": (400, b"{}", "buy", Unaskable),
}


@pytest.mark.parametrize("given", ANSWERS)
async def test_nothing_else_is_taken_for_an_answer(given):
    status, body, call, error = ANSWERS[given]
    with answering(status, body.replace(b"KEY", KEY.encode())) as url:
        async with HttpCarrier.open(url, token=None) as carrier:
            with pytest.raises(error) as raised:
                await getattr(carrier, call)(KEY, PARCEL)

    if given == "busy":
        assert isinstance(raised.value, NoAnswer)
        assert 7.0 == raised.value.wait_s


@contextlib.contextmanager
def answering(status: int, body: bytes):
    """A server that gives this answer to one request."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            with connection:
                received = b""
                while b"\r\n\r\n" not in received or (
                    received.startswith(b"POST") and b"}]}" not in received
                ):
                    received += connection.recv(65_536)
                head = f"HTTP/1.1 {status} x\r\nContent-Length: {len(body)}\r\nRetry-After: 7\r\n\r\n"
                with contextlib.suppress(OSError):  # it has read enough
                    connection.sendall(head.encode() + body)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            thread.join()


@pytest.mark.parametrize(
    "text", ["lose", "lose=2", "lose=0.6,late=0.6", "explode=0.1", "lose=0.1:3", "late=x"]
)
def test_what_says_no_faults_is_refused(text):
    with pytest.raises(MalformedFaults):
        Faults.read(text)


def test_faults_are_read():
    read = Faults.read("late=0.1:2.5, lose=0.2,refuse=0.3,forget=60")

    assert Faults(shares={"late": 0.1, "lose": 0.2}, refuse=0.3, late_s=2.5, forget_s=60.0) == read
