"""A clean history is found clean, and each law finds the history that breaks it."""

import ast
import copy
from pathlib import Path

import pytest

from event_store.transport import partitioning
from tests.chaos import arithmetic, checker

AT = "2010-12-01T08:26:00Z"
LINE = {"line_id": 1, "sku": "A", "quantity": 3, "unit_price": "2.50", "total": 750, "stocked": True}
SALE = {"customer_id": "C", "placed_at": AT, "country": "FR", "currency": "GBP", "total": 750}
CODES = [{"sku": "A", "units": 3, "total": 750, "stocked": True}]
HISTORY = (
    (
        "product-A",
        "catalogue.product_created.v1",
        {"sku": "A", "title": "CUP", "stocked": True, "unit_price": None, "currency": None, "created_at": AT},
    ),
    ("stock-A", "inventory.stock_received.v1", {"sku": "A", "quantity": 5, "received_at": AT}),
    ("order-1", "ordering.order_placed.v3", {"order_id": "1", "lines": [LINE], **SALE}),
    ("stock-A", "inventory.stock_reserved.v1", {"sku": "A", "order_id": "1", "quantity": 3}),
    (
        "order-1",
        "ordering.order_confirmed.v1",
        {"order_id": "1", "lines": 1, "units": 3, "skus": CODES, "confirmed_at": AT, **SALE},
    ),
)
CAUSED = {4: "1.3", 5: "1.3"}


def recorded():
    versions: dict[str, int] = {}
    log = []
    for position, (stream, name, payload) in enumerate(HISTORY, 1):
        versions[stream] = versions.get(stream, 0) + 1
        caused = position in CAUSED
        event = {
            "position": position,
            "stream": stream,
            "version": versions[stream],
            "type": name,
            "partition_key": stream,
            "correlation_id": "c3" if caused else f"c{position}",
            "causation": CAUSED.get(position),
            "idempotency": "p" if caused else f"k{position}",
            "actor": "process:fulfilment" if caused else "caller",
            "epoch": 1,
            "entry": (1_000_000 * position, b"{}", b"{}"),
            "payload": copy.deepcopy(payload),
        }
        log.append({**event, "leaf": checker.leaf_of(event)})
    return log


def carried(log):
    topic = []
    last: dict[int, int] = {}
    for event in log:
        partition = checker.partition_of(event["partition_key"])
        own = {name: event[name] for name in ("position", "stream", "version", "leaf")}
        topic.append({**own, "partition": partition, "prev": last.get(partition, 0), "key": ""})
        last[partition] = event["position"]
    return topic


def attempt(number, **changes):
    made = {
        "command": f"c{number}",
        "key": f"k{number}",
        "stream": HISTORY[number - 1][0],
        "invoke": float(number),
        "return": number + 0.5,
        "outcome": "ok",
        "position": number,
        "answer": f"answer {number}",
        "final": True,
    }
    return {**made, **changes}


@pytest.fixture
def evidence():
    log = recorded()
    views = {view: list(rows.values()) for view, rows in arithmetic.rows_of(log).items()}
    read = {"view": "order_details", "key": "1", "position": 3, "document": views["order_details"][0]}
    return checker.Evidence(
        attempts=[attempt(1), attempt(2), attempt(3)],
        reads=[copy.deepcopy(read)],
        log=log,
        topic=carried(log),
        views=copy.deepcopy(views),
        documents={"stock_level": {"A": (4, copy.deepcopy(views["stock_level"][0]))}},
        tailed=[1, 2, 3, 4, 5],
        outcomes=["k1", "k2", "k3", checker.outcome_key("fulfilment", log[2])],
    )


def broken_laws(evidence):
    return {violation.law for violation in checker.judge(evidence)}


def test_a_clean_history_is_found_clean(evidence):
    assert [] == checker.judge(evidence)


def test_partitions_are_those_of_the_product():
    keys = [f"order-{number}" for number in range(500)] + ["", "a", "ab", "abc", "stock-ä"]

    assert [partitioning.partition_of(key, 12) for key in keys] == [checker.partition_of(key) for key in keys]


def test_an_unknown_outcome_may_be_an_effect_or_none(evidence):
    evidence.attempts[0] |= {"outcome": "unknown", "position": None, "answer": None}
    evidence.attempts.append(attempt(9 - 4, command="c9", outcome="unknown", position=None, answer=None))

    assert [] == checker.judge(evidence)


def test_a_refusal_that_says_try_again_may_follow_an_acceptance(evidence):
    again = {"outcome": "fail", "position": None, "answer": None, "invoke": 9.0, "return": 9.5}
    evidence.attempts.append(attempt(2, **again, final=False))

    assert [] == checker.judge(evidence)


def test_an_acknowledged_event_that_is_not_there_is_found(evidence):
    evidence.attempts.append({**attempt(3), "command": "c8"})

    assert "L1" in broken_laws(evidence)


def test_an_effect_that_happened_twice_is_found(evidence):
    evidence.log[1]["correlation_id"] = "c1"

    assert {"L1", "L3"} <= broken_laws(evidence)


def test_an_effect_of_what_was_refused_is_found(evidence):
    evidence.attempts[1] |= {"outcome": "fail", "position": None, "answer": None}

    assert {"L2"} == broken_laws(evidence)


def test_an_effect_that_nobody_asked_for_is_found(evidence):
    del evidence.attempts[1]

    assert {"L2"} == broken_laws(evidence)


def test_a_retry_with_another_answer_is_found(evidence):
    evidence.attempts.append(attempt(3, answer="another"))

    assert {"L3"} == broken_laws(evidence)


def test_an_acceptance_that_is_taken_back_is_found(evidence):
    again = {"outcome": "fail", "position": None, "answer": None, "invoke": 9.0, "return": 9.5}
    evidence.attempts.append(attempt(2, **again))

    assert {"L3"} == broken_laws(evidence)


def test_a_hole_in_positions_is_found(evidence):
    del evidence.log[1]

    assert "L4" in broken_laws(evidence)


def test_versions_out_of_order_are_found(evidence):
    evidence.log[1]["version"], evidence.log[3]["version"] = 2, 1

    assert "L5" in broken_laws(evidence)


def test_an_order_against_real_time_is_found(evidence):
    evidence.attempts[2] |= {"invoke": 0.1, "return": 0.2}

    assert {"L6"} == broken_laws(evidence)


def test_a_record_missing_on_the_topic_is_found(evidence):
    del evidence.topic[1]

    assert {"L7"} == broken_laws(evidence)


def test_a_record_that_was_taken_away_on_purpose_is_not_missed(evidence):
    taken = evidence.topic.pop(1)
    evidence.lost_upto[taken["partition"]] = taken["position"]

    assert [] == checker.judge(evidence)


@pytest.mark.parametrize(
    "change", [{"prev": 7}, {"leaf": "00"}, {"version": 9}, {"partition": 11}, {"position": 77}]
)
def test_a_record_that_is_not_the_logs_is_found(evidence, change):
    evidence.topic[1] |= change

    assert {"L7"} == broken_laws(evidence)


def test_topics_that_begin_later_hold_what_comes_from_there(evidence):
    evidence.topic_start = 4
    later = carried(evidence.log[3:])
    evidence.topic = [record | {"prev": record["prev"] or 3} for record in later]
    assert [] == checker.judge(evidence)

    evidence.topic = evidence.topic[1:]
    assert {"L7"} == broken_laws(evidence)


def test_records_in_another_order_are_found(evidence):
    evidence.log.append({**evidence.log[1], "position": 6, "version": 3, "correlation_id": "c6"})
    evidence.topic = carried(evidence.log)
    stock = [record for record in evidence.topic if record["stream"] == "stock-A"]
    evidence.topic = [record for record in evidence.topic if record["stream"] != "stock-A"] + stock[::-1]

    assert "L7" in broken_laws(evidence)


def test_a_record_carried_twice_is_no_violation(evidence):
    evidence.topic.append(evidence.topic[0])

    assert [] == checker.judge(evidence)


@pytest.mark.parametrize("view", sorted(arithmetic.KEYS))
def test_a_row_that_is_missing_or_wrong_is_found_in_every_view(evidence, view):
    wrong = copy.deepcopy(evidence)
    name = next(name for name, value in wrong.views[view][0].items() if isinstance(value, int | bool))
    if view == "product_page":
        name = "stocked"
    wrong.views[view][0][name] += 1
    del evidence.views[view][0]

    assert {"L8"} == broken_laws(wrong) == broken_laws(evidence)


def test_a_document_that_was_never_true_is_found(evidence):
    evidence.documents["stock_level"]["A"][1]["reserved"] = 9

    assert {"documents"} == broken_laws(evidence)


def test_a_stale_answer_that_was_labelled_fresh_is_found(evidence):
    evidence.reads[0]["position"] = 5
    evidence.reads[0]["document"]["status"] = "placed"
    evidence.reads[0]["document"]["confirmed_at"] = None

    assert {"fresh"} == broken_laws(evidence)


def test_an_order_that_is_rejected_because_nobody_decided_is_found(evidence):
    event = evidence.log[4]
    event["type"] = "ordering.order_rejected.v2"
    event["payload"] = {"order_id": "1", "reason": "undecided", "missing": [], "rejected_at": AT}

    assert "timers" in broken_laws(evidence)


def test_a_timer_that_runs_for_a_decided_order_is_found(evidence):
    evidence.views["timers_fulfilment"] = [{"stream": "order-1", "set_at": 3}]

    assert {"timers"} == broken_laws(evidence)


def test_an_undecided_order_without_a_timer_is_found(evidence):
    evidence.log.append({**evidence.log[2], "stream": "order-2", "position": 6})

    assert "timers" in broken_laws(evidence)


def test_an_order_without_an_outcome_is_found(evidence):
    evidence.log[4]["type"] = "ordering.order_shipped.v1"
    evidence.log[4]["payload"]["shipped_at"] = AT

    assert "processes" in broken_laws(evidence)


def test_a_trigger_answered_twice_is_found(evidence):
    evidence.log[4]["idempotency"] = "another"

    assert {"processes"} == broken_laws(evidence)


@pytest.mark.parametrize(
    "outcomes", [["k1", "k2", "k3"], ["k1", "k2", "k3", "k4"], ["k1", "k2", "k3", "k4", "k5"]]
)
def test_an_outcome_too_few_too_many_or_under_another_key_is_found(evidence, outcomes):
    evidence.outcomes = outcomes

    assert {"outcomes"} == broken_laws(evidence)


def test_a_refusal_for_what_had_ceased_to_be_is_found(evidence):
    known = attempt(3, invoke=7.0, position=5, command="c3", answer="answer 3")
    refused = {"outcome": "fail", "position": None, "answer": None, "invoke": 9.0, "stream": "order-1"}
    evidence.attempts = [*evidence.attempts, known | {"return": 7.5}]
    evidence.attempts.append(attempt(5, **refused, code="not-confirmed", command="c7"))

    assert "refused" in broken_laws(evidence)


def test_an_order_called_unknown_after_it_was_answered_is_found(evidence):
    refused = {"outcome": "fail", "position": None, "answer": None, "invoke": 9.0, "stream": "order-1"}
    evidence.attempts.append(attempt(5, **refused, code="order-unknown", command="c7"))

    assert {"refused"} == broken_laws(evidence)


def test_a_refusal_that_was_true_a_moment_ago_is_no_violation(evidence):
    refused = {"outcome": "fail", "position": None, "answer": None, "invoke": 9.0, "stream": "order-1"}
    evidence.attempts.append(attempt(5, **refused, code="not-confirmed", command="c7"))

    assert [] == checker.judge(evidence)


REFUSED_VERSION = {
    "outcome": "fail", "position": None, "answer": None, "code": "precondition-failed", "command": "c8", "if_match": 1,
}  # fmt: skip


def test_a_version_refused_while_it_was_the_newest_is_found(evidence):
    evidence.attempts.append(attempt(1, **REFUSED_VERSION, invoke=9.0) | {"return": 9.5})

    assert {"refused"} == broken_laws(evidence)


@pytest.mark.parametrize(
    ("stream", "invoked"), [("product-A", 0.9), ("stock-A", 9.0)], ids=["not yet known", "another came"]
)
def test_a_version_refused_while_it_may_have_been_another_is_no_violation(evidence, stream, invoked):
    evidence.attempts.append(
        attempt(1, **REFUSED_VERSION, invoke=invoked) | {"stream": stream, "return": 9.5}
    )

    assert [] == checker.judge(evidence)


def test_more_promised_than_there_is_is_found(evidence):
    evidence.log[1]["payload"]["quantity"] = 2

    assert "stock" in broken_laws(evidence)


def test_a_promise_that_is_not_what_the_order_asks_for_is_found(evidence):
    evidence.log[3]["payload"]["quantity"] = 2

    assert "stock" in broken_laws(evidence)


def test_a_leaf_that_is_not_its_rows_is_found(evidence):
    evidence.log[2]["entry"] = (3_000_000, b"{}", b'{"forged":1}')

    assert {"leaf"} == broken_laws(evidence)


def test_a_tailing_reader_that_skipped_is_found(evidence):
    evidence.tailed = [1, 2, 4, 5]

    assert {"tail"} == broken_laws(evidence)


def test_the_checker_shares_no_code_with_the_product():
    modules = [Path(checker.__file__), Path(arithmetic.__file__)]
    nodes = [node for module in modules for node in ast.walk(ast.parse(module.read_text()))]
    imported = {
        alias.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for alias in node.names
    }
    imported |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}

    assert {"collections", "dataclasses", "datetime", "hashlib", "struct", "tests.chaos"} == imported
