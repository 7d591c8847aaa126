"""Whether a carrier's ledger and a log tell of the same labels. Nothing here is imported from the product.

E1  under each key the carrier decided once: it sold one label, or refused
E2  for each shipment at most one label was sold, over all histories that the log ever had
E3  every purchase was asked for: the log has an intent whose key it is
E4  every intent has one outcome, and it says what the carrier's ledger says
E5  before every purchase the carrier was asked what it had done under the key, since any purchase before
"""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import psycopg

REQUESTED = "shipping.label_requested.v1"
BOUGHT = "shipping.label_bought.v1"
REFUSED = "shipping.label_refused.v1"


@dataclass(frozen=True)
class LoggedEvent:
    """An event of a shipment, as the log has it."""

    position: int
    stream: str
    type: str
    body: dict


@dataclass(frozen=True)
class Violation:
    """A law that does not hold, and where."""

    law: str
    what: str


def ledger_of(path: Path) -> list[dict]:
    """What the carrier wrote down; a line that a crash cut off does not count."""
    return [json.loads(line) for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def log_of(url: str) -> tuple[str, list[LoggedEvent]]:
    """The installation, and everything that the log says of shipments, in order."""
    with psycopg.connect(url, autocommit=True) as conn:
        installation = conn.execute("select id::text from log.installation").fetchone()[0]
        rows = conn.execute(
            "select position, stream, type, payload::text from log.event where stream like 'shipment-%'"
            " order by position"
        ).fetchall()
    return installation, [
        LoggedEvent(position, stream, kind, json.loads(body)) for position, stream, kind, body in rows
    ]


def violations(
    ledger: list[dict], installation: str, log: list[LoggedEvent], *, zombies: bool = False
) -> list[Violation]:
    """Every law that does not hold. With `zombies`, senders may have woken up between question and purchase: no E5."""
    intents = {
        f"{installation}:carrier:{event.stream}:label:{event.body['attempt']}": event
        for event in log
        if event.type == REQUESTED
    }
    return [
        *_decided_once(ledger),
        *_one_label_per_shipment(ledger),
        *_asked_for(ledger, intents),
        *_answered(ledger, intents, log),
        *([] if zombies else _asked_about_first(ledger)),
    ]


def _decided(ledger):
    decided = defaultdict(list)
    for entry in ledger:
        if entry["did"] in {"sold", "refused"}:
            decided[entry["key"]].append(entry)
    return decided


def _decided_once(ledger):
    for key, entries in _decided(ledger).items():
        if len(entries) > 1:
            yield Violation("E1", f"{key}: {[entry['did'] for entry in entries]}")


def _one_label_per_shipment(ledger):
    sold = Counter(entry["shipment"] for entry in ledger if entry["did"] == "sold")
    for shipment, labels in sold.items():
        if labels > 1:
            yield Violation("E2", f"{labels} labels for shipment {shipment}")


def _asked_for(ledger, intents):
    for key in _decided(ledger):
        if key not in intents:
            yield Violation("E3", f"no intent has the key {key}")


def _answered(ledger, intents, log):
    decided = _decided(ledger)
    outcomes = defaultdict(list)
    for event in log:
        if event.type in {BOUGHT, REFUSED}:
            outcomes[event.stream, event.body["attempt"]].append(event)
    for key, intent in intents.items():
        found = outcomes.pop((intent.stream, intent.body["attempt"]), [])
        if len(found) != 1:
            yield Violation("E4", f"{key} has {len(found)} outcomes")
        elif key in decided and not _says(found[0], decided[key][0]["answer"]):
            yield Violation(
                "E4", f"{key}: the log says {found[0].body}, the carrier {decided[key][0]['answer']}"
            )
        elif key not in decided:
            yield Violation("E4", f"{key} has an outcome of which the carrier knows nothing")
    for stream, attempt in outcomes:
        yield Violation("E4", f"{stream} has an outcome of attempt {attempt}, which nobody requested")


def _says(event, answer):
    if event.type == REFUSED:
        return event.body["reason"] == answer.get("refused")
    return (event.body["label_id"], event.body["tracking"]) == (answer.get("label"), answer.get("tracking"))


def _asked_about_first(ledger):
    asked = set()
    for entry in ledger:
        if entry["call"] == "find":
            asked.add(entry["key"])
        elif entry["key"] not in asked:
            yield Violation("E5", f"{entry['key']} was sent without a question before")
        else:
            asked.discard(entry["key"])
