"""What came of operators' acts, over HTTP."""

import pytest

from tests.examples import promotion_requested, rebuild_requested, retry_requested
from tests.projections.feeding import append

pytestmark = pytest.mark.anyio

ADD = """
insert into consumers.act (position, leaf, kind, subject, shape, build, state, outcome, ended_at)
select position, leaf, %(kind)s, %(subject)s, %(shape)s, %(build)s, %(state)s, %(outcome)s,
    case when %(state)s <> 'running' then clock_timestamp() end
from log.event where position = %(position)s
"""


@pytest.fixture
def acted(stage):
    """A rebuild that runs, a promotion that failed, and a retry that nobody saw yet."""
    append(
        stage.database_url,
        [
            ("builds-order_details", rebuild_requested()),
            ("builds-order_details", promotion_requested(reason="")),
            ("retries-order_details", retry_requested()),
        ],
    )
    rows = [
        {"position": 1, "kind": "rebuild", "shape": 1, "build": 2, "state": "running", "outcome": ""},
        {"position": 2, "kind": "promotion", "shape": 1, "build": 2, "state": "failed", "outcome": "why"},
    ]
    for row in rows:
        stage.conn.execute(ADD, row | {"subject": "order_details"})
    stage.conn.execute(
        "insert into views.build (view, shape, build, state, folded_to, fold_to)"
        " values ('order_details', 1, 2, 'folding', 40, 90)"
    )
    return stage


async def test_an_act_tells_what_was_asked_for_by_whom_and_how_far_it_is(acted, open_api):
    async with open_api() as client:
        rebuild = (await client.get("/v1/operations/acts/1")).json()
        failed = (await client.get("/v1/operations/acts/2")).json()
        unseen = (await client.get("/v1/operations/acts/3")).json()

    assert (
        "rebuild",
        "order_details",
        "operator:jo",
        "a fold was repaired",
        "running",
        1,
        2,
        40,
        90,
    ) == tuple(
        rebuild[name]
        for name in ("kind", "subject", "actor", "reason", "state", "shape", "build", "folded_to", "fold_to")
    )
    assert (None, "failed", "why", None) == (
        rebuild["ended_at"],
        *(failed["state"], failed["outcome"], failed["folded_to"]),
    )
    assert failed["ended_at"].endswith("Z")
    assert ("retry", "requested", None) == (unseen["kind"], unseen["state"], unseen["build"])


async def test_a_rebuild_that_is_done_tells_how_far_it_came_while_there_is_its_build(acted, open_api):
    acted.conn.execute("update consumers.act set state = 'done' where position = 1")
    acted.conn.execute("update views.build set state = 'following', folded_to = 90 where build = 2")
    async with open_api() as client:
        done = (await client.get("/v1/operations/acts/1")).json()
        acted.conn.execute("delete from views.build where build = 2")
        dropped = (await client.get("/v1/operations/acts/1")).json()

    assert ("done", 90, 90) == (done["state"], done["folded_to"], done["fold_to"])
    assert ("done", None, None) == (dropped["state"], dropped["folded_to"], dropped["fold_to"])


async def test_acts_are_listed_newest_first_page_by_page_and_by_kind(acted, open_api):
    async with open_api() as client:
        both = (await client.get("/v1/operations/acts")).json()
        older = (await client.get("/v1/operations/acts?before=2&limit=1")).json()
        promotions = (await client.get("/v1/operations/acts?kind=promotion")).json()

    assert [2, 1] == [act["position"] for act in both]
    assert [1] == [act["position"] for act in older]
    assert [2] == [act["position"] for act in promotions]


async def test_an_event_that_is_no_act_is_not_shown_as_one(stage, open_api):
    stage.append("order-1", version=1, position=1, payload={})
    async with open_api() as client:
        answers = [await client.get(f"/v1/operations/acts/{position}") for position in (1, 2)]

    assert [(404, "not-found")] * 2 == [(each.status_code, each.json()["code"]) for each in answers]
