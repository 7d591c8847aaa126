"""Clients that trade while faults are injected, and remember what they asked, when, and what was answered.

Each is a thread with dice of its own and orders that nobody else touches. A command is sent until its outcome is
known, always under the same key, sometimes several times at once; now and then what was written is read back.
"""

import http.client
import itertools
import json
import random
import select
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

ANSWER_WITHIN_S = 8.0
KNOWN_WITHIN_S = 240.0
RETRY_PAUSES_S = (0.05, 0.1, 0.2, 0.4)
PRODUCTS = 24
RECEIVED_AT_FIRST = 400
NOTHING_WAS_DONE = {"too-busy", "shutting-down", "store-unavailable", "contended"}
UNKNOWN_STATUS = 500
READ_BACK = 0.3
SENT_TWICE = 0.25
DELIVERIES_PER_REQUEST = 500
REFUSED_ON_PURPOSE = 0.2
ON_CONDITION = 0.5


class History:
    """What all clients remember."""

    def __init__(self):
        self.attempts = []
        self.reads = []
        self.notes = []
        self.asked_to_wait = 0
        self._lock = threading.Lock()
        self._commands = set()

    @property
    def commands(self):
        """How many commands have an outcome, known or given up."""
        return len(self._commands)

    def remember(self, attempt):
        with self._lock:
            self.attempts.append(attempt)

    def settled(self, command):
        with self._lock:
            self._commands.add(command)

    def read(self, **read):
        with self._lock:
            self.reads.append(read)

    def note(self, text):
        """Something unexpected that is no violation by itself."""
        with self._lock:
            self.notes.append(text)


class Connection:
    """A kept-alive connection of one thread to one address."""

    def __init__(self, port):
        self.port = port
        self._connection = None

    def ask(self, method, path, *, body=None, headers=()):
        """Status, headers, body. Raises OSError or HTTPException when the answer did not come."""
        try:
            self._drop_if_closed()
            if self._connection is None:
                self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_WITHIN_S)
            self._connection.request(method, path, body=body, headers=dict(headers))
            answer = self._connection.getresponse()
            return answer.status, answer.headers, answer.read()
        except BaseException:
            self.close()
            raise

    def close(self):
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _drop_if_closed(self):
        """A kept connection that the other side has closed meanwhile is no connection; every pool looks first."""
        kept = None if self._connection is None else self._connection.sock
        if kept is not None and select.select([kept], [], [], 0)[0]:
            self.close()


class Client:
    """One caller."""

    def __init__(self, number, *, seed, command_ports, query_port, history, run):
        self.number = number
        self.chance = random.Random(f"{seed}/{number}")
        self.history = history
        self._run = run
        self._prices = f"{zlib.crc32(run.encode()) % 10_000:04}"
        self._ports = command_ports
        self._connections = threading.local()
        self._query = Connection(query_port)
        self._opened = [self._query]
        self._numbers = itertools.count(1)
        self._open = []
        self._both = ThreadPoolExecutor(2, thread_name_prefix=f"client-{number}")

    def act(self):
        """One command of any kind."""
        kind = self.chance.random()
        sku = f"P{self.chance.randrange(PRODUCTS)}"
        if kind < REFUSED_ON_PURPOSE:
            self._refused(sku)
        elif kind < 0.30:
            received = self.send(f"/v1/stock/{sku}/receipts", {"quantity": self.chance.randint(1, 40)})
            self._read_back("stock_level", f"/v1/stock/{sku}", received)
        elif kind < 0.36:
            delta = self.chance.choice((-2, -1, 1, 3))
            adjusted = self.send(f"/v1/stock/{sku}/adjustments", {"delta": delta, "reason": "count"})
            self._read_back("stock_level", f"/v1/stock/{sku}", adjusted)
        elif kind < 0.40:
            self._reprice(sku)
        elif kind < 0.46:
            self._credit(sku)
        elif kind < 0.66 and self._open:
            order = self._open.pop(self.chance.randrange(len(self._open)))
            what = self.chance.choice(("cancellation", "shipment"))
            changed = self.send(
                f"/v1/orders/{order}/{what}", {"reason": "customer"} if what == "cancellation" else {}
            )
            self._read_back("order_details", f"/v1/orders/{order}", changed)
        else:
            self._place()

    def send(self, path, body, *, if_match=None, port=None):
        """One command until its outcome is known; the attempt that brought it, or the last one.

        `if_match` is the version that its stream must be at, `port` where it is sent first, not at random.
        """
        command = f"{self._run}-{self.number}-{next(self._numbers)}"
        twice = self.chance.random() < SENT_TWICE and port is None
        port = port or self.chance.choice(self._ports)
        give_up = time.monotonic() + KNOWN_WITHIN_S
        for pause_s in itertools.chain(RETRY_PAUSES_S, itertools.repeat(RETRY_PAUSES_S[-1])):
            if twice:
                copies = [
                    self._both.submit(self._once, other, command, path, body, if_match)
                    for other in self._ports
                ]
                found = [copy.result() for copy in copies]
                first = next((one for one in found if one["final"]), found[0])
            else:
                first = self._once(port, command, path, body, if_match)
            if first["final"] or time.monotonic() > give_up:
                break
            twice = False
            time.sleep(pause_s)
            port = self.chance.choice(self._ports)
        self.history.settled(command)
        if not first["final"]:
            self.history.note(f"{command}: no outcome within {KNOWN_WITHIN_S} s, last {first['answered']}")
        return first

    def close(self):
        self._both.shutdown()
        for connection in self._opened:
            connection.close()

    def _place(self):
        order = f"{self._run}-{self.number}-o{next(self._numbers)}"
        codes = self.chance.sample(range(PRODUCTS), self.chance.randint(1, 3))
        lines = [
            {"sku": f"P{code}", "quantity": self.chance.randint(1, 6), "unit_price": "2.50"} for code in codes
        ]
        body = {"order_id": order, "customer_id": f"C{self.chance.randrange(40)}", "country": "FR"}
        placed = self.send("/v1/orders", {**body, "currency": "GBP", "lines": lines})
        if placed["outcome"] == "ok":
            self._open.append(order)
            self._read_back("order_details", f"/v1/orders/{order}", placed)

    def _reprice(self, sku):
        """Now and then twice, the second time through the other process, on condition that nobody was faster."""
        priced = self.send(f"/v1/products/{sku}/price", self._new_price())
        if priced["outcome"] == "ok" and self.chance.random() < ON_CONDITION:
            other = self.chance.choice([port for port in self._ports if port != priced["port"]])
            self.send(f"/v1/products/{sku}/price", self._new_price(), if_match=priced["version"], port=other)

    def _new_price(self):
        """Never the price it has, of an earlier round neither: what decides nothing leaves no event to look for."""
        return {"unit_price": f"{next(self._numbers)}{self._prices}.{self.number}5", "currency": "GBP"}

    def _credit(self, sku):
        lines = [{"sku": sku, "quantity": self.chance.randint(1, 3), "unit_price": "1.20"}]
        name = f"{self._run}-{self.number}-n{next(self._numbers)}"
        body = {"credit_note_id": name, "customer_id": f"C{self.chance.randrange(40)}", "country": "FR"}
        self.send("/v1/credit-notes", {**body, "currency": "GBP", "lines": lines})

    def _refused(self, sku):
        """Something that the shop must not do."""
        if self.chance.random() < 0.5:
            self.send(f"/v1/stock/{sku}/adjustments", {"delta": -9_000_000, "reason": "count"})
        else:
            self.send(f"/v1/products/NO-{sku}/price", {"unit_price": "1.00", "currency": "GBP"})

    def _once(self, port, command, path, body, if_match):
        headers = {
            "Idempotency-Key": f"key-{command}",
            "Correlation-Id": command,
            "Content-Type": "application/json",
        }
        if if_match is not None:
            headers["If-Match"] = f'"{if_match}"'
        attempt = {"command": command, "key": f"key-{command}", "invoke": time.monotonic(), "answered": ""}
        attempt |= {
            "outcome": "unknown",
            "position": None,
            "answer": None,
            "final": False,
            "stream": _stream_of(path),
            "if_match": if_match,
            "port": port,
        }
        try:
            status, answered, text = self._to(port).ask("POST", path, body=json.dumps(body), headers=headers)
        except (OSError, http.client.HTTPException) as error:
            attempt["answered"] = repr(error)
        else:
            self._understand(attempt, status, answered, text)
        attempt["return"] = time.monotonic()
        self.history.remember(attempt)
        return attempt

    def _understand(self, attempt, status, answered, text):
        decoded = json.loads(text)
        if status == 201:
            attempt |= {
                "outcome": "ok",
                "position": decoded["position"],
                "answer": text.decode(),
                "final": True,
            }
            attempt |= {
                "stream": decoded["stream"],
                "version": decoded["version"],
                "token": answered["Position"],
            }
            return
        attempt["code"] = decoded.get("code")
        attempt["answered"] = f"{status} {attempt['code']}"
        if decoded.get("code") in NOTHING_WAS_DONE:
            attempt["outcome"] = "fail"
        elif status < UNKNOWN_STATUS:
            attempt |= {"outcome": "fail", "final": True}
        elif decoded.get("code") != "outcome-unknown":
            self.history.note(f"{attempt['command']}: {attempt['answered']} {decoded.get('detail')}")

    def _read_back(self, view, path, written):
        """Now and then ask for at least what was just written; an answer that is given must show it."""
        if written["outcome"] != "ok" or self.chance.random() >= READ_BACK:
            return
        headers = {"Min-Position": written["token"], "Prefer": "wait=1"}
        try:
            status, _, text = self._query.ask("GET", path, headers=headers)
        except (OSError, http.client.HTTPException):
            return
        if status == 200:
            key = path.rpartition("/")[2]
            self.history.read(view=view, key=key, position=written["position"], document=json.loads(text))
        elif status == 503:
            self.history.asked_to_wait += 1
        else:
            self.history.note(f"a read of {path} was answered {status}: {text[:200]!r}")

    def _to(self, port):
        kept = vars(self._connections)  # a thread's own
        if str(port) not in kept:
            kept[str(port)] = Connection(port)
            self._opened.append(kept[str(port)])
        return kept[str(port)]


def _stream_of(path):
    """The stream that a command on an order or a price is about."""
    categories = {"orders": "order", "products": "product"}
    category, _, rest = path.removeprefix("/").partition("/")
    return f"{categories[category]}-{rest.partition('/')[0]}" if rest and category in categories else None


def deliver(connection, *, history, number):
    """One request of many deliveries, each a command of its own; they are remembered as one."""
    name = f"deliveries-{number}"
    commands = [
        {
            "key": f"{name}-{each}",
            "command": "receive_stock",
            "target": f"P{each % PRODUCTS}",
            "body": {"quantity": 1},
        }
        for each in range(DELIVERIES_PER_REQUEST)
    ]
    headers = {"Correlation-Id": name, "Content-Type": "application/json"}
    invoked = time.monotonic()
    status, _, text = connection.ask(
        "POST", "/v1/commands", body=json.dumps({"commands": commands}), headers=headers
    )
    results = json.loads(text)["results"]
    accepted = [result["position"] for result in results if result["status"] == 201]
    decoded = {"status": status, "accepted": len(accepted)}
    history.remember({
        "command": name, "key": name, "invoke": invoked, "return": time.monotonic(),
        "outcome": "ok", "position": max(accepted), "answer": "", "final": True, "effects": len(accepted),
    })  # fmt: skip
    return decoded


class Crowd:
    """Clients at work until they have to stop."""

    def __init__(self, clients, *, history, rate):
        self._clients = clients
        self._history = history
        self._pause_s = len(clients) / rate
        self._threads = [threading.Thread(target=self._work, args=(each,), daemon=True) for each in clients]
        self.stop = threading.Event()

    def start(self):
        for thread in self._threads:
            thread.start()

    def is_working(self):
        return any(thread.is_alive() for thread in self._threads)

    def finish(self):
        """Let each settle the command it is at."""
        self.stop.set()
        for thread in self._threads:
            thread.join()
        for client in self._clients:
            client.close()

    def _work(self, client):
        try:
            due = time.monotonic() + client.chance.random() * self._pause_s
            while not self.stop.is_set():
                time.sleep(max(0.0, due - time.monotonic()))
                client.act()
                due = max(due + self._pause_s, time.monotonic() - 2.0)
        except Exception as error:
            self._history.note(f"client {client.number} died: {error!r}")
            raise


def stock_up(client):
    """The shop's first products and pieces."""
    for number in range(PRODUCTS):
        body = {"sku": f"P{number}", "title": f"CUP {number}", "stocked": True}
        client.send("/v1/products", body)
        client.send(f"/v1/stock/P{number}/receipts", {"quantity": RECEIVED_AT_FIRST})
