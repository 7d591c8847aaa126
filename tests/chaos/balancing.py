"""A load balancer as simple as they come: requests go to instances that say they are ready."""

import http.client
import json
import threading
import time

from tests.chaos.clients import Connection

CALLERS = 4
PAUSE_S = 0.2
PROBE_EVERY_S = 0.05


class Balancer:
    """Sends each request to an instance that says it is ready, as a load balancer does; counts what went wrong."""

    def __init__(self, laboratory, *, history):
        self.history = history
        self.instances = laboratory.of("command-api")
        self.ready = list(self.instances)
        self.answers = []
        self.broken = []
        self.stop = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(number,)) for number in range(CALLERS)]
        self._threads.append(threading.Thread(target=self._probe))

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self._threads:
            thread.join()

    def _probe(self):
        while not self.stop.wait(PROBE_EVERY_S):
            self.ready = [instance for instance in self.instances if instance.is_ready()]

    def _send(self, number):
        kept = {instance.name: Connection(instance.port) for instance in self.instances}
        sent = 0
        while not self.stop.wait(PAUSE_S):
            sent += 1
            key = f"rolling-{time.monotonic_ns()}-{number}-{sent}"
            self._once(kept, key, preferred=sent % 2)
            if number % 2:  # half of the callers connect anew for every request
                for connection in kept.values():
                    connection.close()
        for connection in kept.values():
            connection.close()

    def _once(self, kept, key, *, preferred):
        body = json.dumps({"quantity": 1})
        headers = {"Idempotency-Key": key, "Correlation-Id": key, "Content-Type": "application/json"}
        ready = self.ready or self.instances
        attempt = {
            "command": key,
            "key": key,
            "invoke": time.monotonic(),
            "outcome": "unknown",
            "final": False,
        }
        for instance in [*ready[preferred:], *ready[:preferred], *self.instances]:
            try:
                status, _, text = kept[instance.name].ask(
                    "POST", "/v1/stock/P0/receipts", body=body, headers=headers
                )
            except ConnectionRefusedError:
                continue  # nothing was sent: the next one
            except (OSError, http.client.HTTPException) as error:
                self.broken.append(f"{instance.name}: {error!r}")
            else:
                self._understand(attempt, instance, status, text)
            self.history.remember({"position": None, "answer": None, **attempt, "return": time.monotonic()})
            return
        self.broken.append("nobody listens")

    def _understand(self, attempt, instance, status, text):
        self.answers.append(status)
        if status == 201:
            answered = {"position": json.loads(text)["position"], "answer": text.decode()}
            attempt.update(outcome="ok", final=True, **answered)
        elif status >= 500:
            self.broken.append(f"{instance.name}: {status} {text[:100]!r}")
        else:
            attempt["outcome"] = "fail"
