"""Whether a payment provider's ledger, a log and the payments ledger say the same of each payment, to the minor unit.

T1  the provider captured once under each key, and at most what was to be paid
T2  what the provider captured, what the log says and what the payments ledger has are the same amount
T3  every payment has an outcome: captured, or declined with nothing taken

Nothing here is imported from the product; `postings` are the rows of its payments ledger, which is what is compared.
"""

import json
from collections import Counter

import psycopg

from tests.effects.checker import Violation

CREATED = "payments.payment_created.v1"
CAPTURED = "payments.payment_captured.v1"
DECLINED = "payments.authorisation_declined.v1"


def payments_of(url):
    """Everything that the log says of payments, as (type, body)."""
    with psycopg.connect(url, autocommit=True) as conn:
        rows = conn.execute(
            "select type, payload::text from log.event where stream like 'payment-%' order by position"
        ).fetchall()
    return [(kind, json.loads(body)) for kind, body in rows]


def settled(url):
    """How many payments have an outcome."""
    return len({body["payment_id"] for kind, body in payments_of(url) if kind in {CAPTURED, DECLINED}})


def violations(ledger, log, postings):
    """Every law that does not hold. `postings` are (payment, account, amount)."""
    taken = [
        entry for entry in ledger if entry["did"] == "decided" and entry["answer"]["status"] == "captured"
    ]
    wanted = _sums((body["payment_id"], body["amount"]) for kind, body in log if kind == CREATED)
    declined = {body["payment_id"] for kind, body in log if kind == DECLINED}
    at_provider = _sums((entry["answer"]["payment"], entry["answer"]["amount"]) for entry in taken)
    logged = _sums((body["payment_id"], body["amount"]) for kind, body in log if kind == CAPTURED)
    booked = _sums((payment, amount) for payment, account, amount in postings if account == "provider")
    for key, times in Counter(entry["key"] for entry in taken).items():
        if times > 1:
            yield Violation("T1", f"{key} was captured {times} times")
    for payment in sorted({*wanted, *at_provider, *logged, *booked}):
        three = (at_provider[payment], logged[payment], booked[payment])
        if three[0] > wanted[payment]:
            yield Violation("T1", f"{three[0]} of {wanted[payment]} were captured of {payment}")
        if len(set(three)) > 1:
            yield Violation("T2", f"{payment}: provider, log and payments ledger say {three}")
        if logged[payment] != (0 if payment in declined else wanted[payment]):
            yield Violation("T3", f"{payment} has no outcome, or two")


def _sums(amounts):
    sums = Counter()
    for payment, amount in amounts:
        sums[payment] += amount
    return sums
