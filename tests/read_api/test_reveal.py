"""Who is shown personal data: by role, by scope, as a mask, one's own, and not at all."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

import httpx
import msgspec
import pytest
from msgspec.structs import replace

from counterfoil.context import Context
from counterfoil.contexts import CONTEXTS
from counterfoil.testing import queries
from domain.aggregate import Aggregate
from domain.event import Event, event_type
from domain.ids import CustomerId
from domain.sealed import KeyId, Sealed
from domain.text import Personal
from projections import builds
from projections.errors import DeclarationError
from projections.personal import PersonalField
from projections.view import KEYED, Row, View
from read_api.lists.declaring import Listed, ListOf, Sort
from read_api.masks import mask
from read_api.reading.resource import Resource, only_row
from read_api.reveal import Reveal, Shown, shape_of
from read_api.routing import ById, Documented, Queries
from runtime import database
from runtime.http.access import PERMISSIONS, REVEAL, SIGHTS, sight
from runtime.http.exchange import Exchange, nothing_more
from runtime.http.pipeline import permit
from runtime.http.principal import ANONYMOUS, Principal
from runtime.keyring.keyring import SealedField, Unopened
from tests.read_api.stage import Stage

EMAIL = Personal("email", purpose="a test", kept="as long as a test")
NAME = Personal("name", purpose="a test", kept="as long as a test")
STREET = Personal("address", purpose="a test", kept="as long as a test")

SealedEmail = Annotated[Sealed, EMAIL]


class Parcel(msgspec.Struct, frozen=True):
    """Where something was sent."""

    number: int
    street: Annotated[Sealed, STREET]


class Patron(Row, frozen=True, kw_only=True):
    """Somebody who borrows."""

    patron_id: CustomerId
    email: SealedEmail
    name: Annotated[Sealed | None, NAME] = None
    parcels: tuple[Parcel, ...] = ()
    visits: int = 0


patrons = View(name="patrons", row=Patron, key=("patron_id",), shape=1, kind=KEYED, category="patron")


@event_type("reveal.patron_seen.v1")
class PatronSeen(Event, frozen=True, kw_only=True):
    """Somebody came in."""

    patron_id: CustomerId
    email: SealedEmail


@patrons.on(PatronSeen)
def seen(_patron: Patron | None, event: PatronSeen) -> Patron:
    return Patron(patron_id=event.patron_id, email=event.email)


def sealed(text: str) -> Sealed:
    """What the fake keyring opens: the text is its own ciphertext."""
    return Sealed(KeyId("k-1"), b"n" * 12, text.encode().ljust(16))


ROW = Patron(
    patron_id=CustomerId("p-1"),
    email=sealed("jane@example.com"),
    name=sealed("Jane Doe"),
    parcels=(Parcel(1, sealed("1 High Street")), Parcel(2, sealed("gone"))),
    visits=3,
)
BODY = msgspec.json.encode(ROW)


class Keys:
    """Opens what the test sealed, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[SealedField] = []

    async def open(self, fields: Sequence[SealedField]) -> list[str | Unopened]:
        self.asked.extend(fields)
        texts = [each.ciphertext.decode().strip() for each in fields]
        return [Unopened.ERASED if text == "gone" else text for text in texts]


class Recording:
    """A pipeline that remembers what it had security streams say."""

    def __init__(self) -> None:
        self.recorded: list[tuple[str, str]] = []

    async def record(self, _exchange: Exchange, given: str, detail: str) -> None:
        self.recorded.append((given, detail))


def exchange(principal: Principal) -> Any:
    found: Any = Exchange({"method": "GET", "headers": []}, nothing_more)
    found.principal, found.pipeline = principal, Recording()
    return found


def account(*roles: str) -> Principal:
    return Principal("account", "a-1", frozenset(("patrons:read",)), frozenset(roles))


def program(*scopes: str) -> Principal:
    return Principal("service", "crm-1", frozenset(scopes), frozenset(("service",)))


async def shown_to(principal: Principal, *, own: bool = False, keys: Keys | None = None) -> dict[str, Any]:
    keys = keys or Keys()
    reveal = Reveal(patrons, lambda: keys.open)
    body = await reveal.body(exchange(principal), BODY, own=own, detail="p-1")
    return dict(msgspec.json.decode(body))


PLAIN = {"shown": "plain", "text": "jane@example.com"}
MASK = {"shown": "mask", "text": "j…@e….com"}
HIDDEN = {"shown": "sealed", "text": None}


@pytest.mark.parametrize(
    ("principal", "email"),
    [
        (account("owner"), PLAIN),
        (account("support"), PLAIN),
        (account("finance"), MASK),
        (account("warehouse"), MASK),
        (account("auditor"), HIDDEN),
        (account("operator"), HIDDEN),
        (account("merchandiser"), HIDDEN),
        (account("customer"), HIDDEN),
        (account("auditor", "finance"), MASK),
        (account("finance", "support"), PLAIN),
        (account("astronaut"), HIDDEN),
        (program("patrons:read"), HIDDEN),
        (program("patrons:read", REVEAL), PLAIN),
        (ANONYMOUS, PLAIN),
    ],
)
async def test_the_roles_decide_how_much_of_a_field_is_shown(principal: Principal, email: dict[str, Any]):
    assert email == (await shown_to(principal))["email"]


async def test_ones_own_everybody_is_shown():
    assert PLAIN == (await shown_to(account("customer"), own=True))["email"]


async def test_what_is_nested_is_revealed_in_its_place_and_the_rest_stays():
    keys = Keys()

    shown = await shown_to(account("owner"), keys=keys)

    assert {"shown": "plain", "text": "Jane Doe"} == shown["name"]
    assert [
        {"number": 1, "street": {"shown": "plain", "text": "1 High Street"}},
        {"number": 2, "street": {"shown": "erased", "text": None}},
    ] == shown["parcels"]
    assert ("p-1", 3) == (shown["patron_id"], shown["visits"])
    assert {("patron-p-1", "email"), ("patron-p-1", "name"), ("patron-p-1", "street")} == {
        (each.stream, each.field) for each in keys.asked
    }


async def test_nothing_is_opened_for_who_is_shown_nothing():
    keys = Keys()

    await shown_to(account("auditor"), keys=keys)

    assert [] == keys.asked


async def test_without_a_key_database_everything_stays_sealed():
    body = await Reveal(patrons, lambda: None).body(exchange(account("owner")), BODY, own=False, detail="p-1")

    assert HIDDEN == msgspec.json.decode(body)["email"]


@pytest.mark.parametrize(
    ("principal", "own", "recorded"),
    [
        (program(REVEAL), False, [("revealed", "p-1")]),
        (program("patrons:read"), False, []),
        (account("owner"), False, []),
        (account("customer"), True, []),
    ],
)
async def test_a_reveal_by_scope_is_recorded_before(
    principal: Principal, *, own: bool, recorded: list[tuple[str, str]]
):
    asked = exchange(principal)

    await Reveal(patrons, lambda: Keys().open).body(asked, BODY, own=own, detail="p-1")

    assert recorded == asked.pipeline.recorded


async def test_what_cannot_be_recorded_is_not_opened():
    keys = Keys()
    asked = exchange(program(REVEAL))

    async def refuse(*_: Any) -> None:
        raise ConnectionError

    asked.pipeline.record = refuse

    with pytest.raises(ConnectionError):
        await Reveal(patrons, lambda: keys.open).body(asked, BODY, own=False, detail="p-1")
    assert [] == keys.asked


@pytest.mark.parametrize("view", CONTEXTS.views, ids=lambda view: view.name)
async def test_a_view_without_personal_data_goes_through_as_it_is(view: View[Any]):
    def never() -> None:
        raise AssertionError("nothing is opened")

    body, rows = b"not even JSON", [{"a": 1}]
    reveal = Reveal(view, never)
    if not reveal.hides:
        asked = exchange(program(REVEAL))
        assert await reveal.body(asked, body, own=False, detail="") is body
        assert await reveal.rows(asked, rows, own=False, detail="") is rows
        assert [] == asked.pipeline.recorded
        assert shape_of(view.row) is view.row


@pytest.mark.parametrize(
    ("kind", "text", "masked"),
    [
        ("email", "jane@example.com", "j…@e….com"),
        ("email", "j@x.co.uk", "j…@x….uk"),
        ("email", "jane@localhost", "j…@l…"),
        ("email", "nobody", "…"),
        ("email", "", "…"),
        ("name", "Jane  Doe", "J… D…"),
        ("phone", "+44 20 7946 0000", "…"),
        ("unheard-of", "anything", "…"),
    ],
)
def test_a_mask_tells_texts_apart_and_gives_none_away(kind: str, text: str, masked: str):
    assert masked == mask(kind, text)


def test_every_role_has_a_sight_and_none_but_the_owners_sees_more_by_a_new_role():
    assert PERMISSIONS.keys() == SIGHTS.keys()
    assert {"owner", "support"} == {role for role, each in SIGHTS.items() if each == "plain"}
    assert {"finance", "warehouse"} == {role for role, each in SIGHTS.items() if each == "mask"}
    assert "sealed" == sight(account(), own=False)


def test_the_document_says_how_a_field_is_shown():
    fields = {each.name: each.type for each in msgspec.structs.fields(shape_of(Patron))}

    assert (Shown, int) == (fields["email"], fields["visits"])
    assert Shown | None == fields["name"]
    (parcel, _) = fields["parcels"].__args__
    assert Shown is msgspec.structs.fields(parcel)[1].type


def test_a_view_says_of_each_sealed_field_what_it_is_for():
    assert PersonalField(("parcels", "*", "street"), "street", STREET) in patrons.personal

    for hint, category in ((Sealed, "patron"), (SealedEmail, None)):
        planted = msgspec.defstruct(
            "PlantedRow", [("key", CustomerId), ("field", hint)], bases=(Row,), frozen=True
        )
        with pytest.raises(DeclarationError):
            View(name="planted", row=planted, key=("key",), shape=1, category=category)


KNOWN = {name: account(name) for name in ("owner", "finance", "auditor")}
PATRON = Resource(noun="patron", view=patrons, render=only_row)
PATRONS = Context(
    name="patrons",
    aggregates=(Aggregate("patron", lambda _, event: event, (PatronSeen,)),),
    views=(patrons,),
    queries=Queries(
        by_id=(
            ById(
                "/patrons/{patron_id}",
                "patrons:read",
                PATRON,
                Documented("get_patron", "Patron", Patron, {}, "p-1"),
            ),
        ),
        lists=(
            ListOf(
                path="/patrons",
                requires="patrons:read",
                view=patrons,
                sorts=(Sort("patron", ("patron_id",)),),
                documented=Listed("list_patrons", "PatronsPage", "Patrons", "All.", {}),
            ),
        ),
    ),
)


@pytest.fixture
async def client(stage: Stage) -> AsyncIterator[httpx.AsyncClient]:
    """A query API with one patron; the header `who` names a role."""
    with database.connect(stage.database_url, role="counterfoil_projector", name="test") as projector:
        builds.ensure_builds(projector, (patrons,))
    stage.write(patrons, [ROW], position=7)
    stage.everybody_stands(9)
    stage.stand(patrons, 9)
    async with queries.opened(stage.database_url, PATRONS) as api:

        async def authenticate(asked: Exchange) -> Principal:
            return KNOWN.get(dict(asked.headers).get(b"who", b"").decode(), ANONYMOUS)

        pipeline = api.app.pipeline
        pipeline._steps = replace(pipeline._steps, authenticate=authenticate, authorise=permit)
        api.app.state.reads.opening = lambda fields: Keys().open(fields)
        yield api.client


async def test_reads_by_id_lists_and_exports_show_what_the_role_is_shown(client: httpx.AsyncClient):
    for who, email in (("owner", PLAIN), ("finance", MASK), ("auditor", HIDDEN)):
        one = await client.get("/v1/patrons/p-1", headers={"who": who})
        page = await client.get("/v1/patrons", headers={"who": who})
        by_ids = await client.get("/v1/patrons?ids=p-1", headers={"who": who})
        lines = await client.get("/v1/patrons", headers={"who": who, "Accept": "application/x-ndjson"})

        assert [email] * 4 == [
            each["email"]
            for each in (one.json(), page.json()["items"][0], by_ids.json()["items"][0], lines.json())
        ]
        assert {"no-store"} == {each.headers["Cache-Control"] for each in (one, page, by_ids, lines)}


async def test_a_sheet_has_the_text_or_the_mask_in_its_cells(client: httpx.AsyncClient):
    sheet = await client.get("/v1/patrons", headers={"who": "finance", "Accept": "text/csv"})

    assert "p-1,j…@e….com,J… D…," in sheet.text


async def test_what_a_role_is_shown_is_not_answered_from_what_another_was(client: httpx.AsyncClient):
    etag = (await client.get("/v1/patrons/p-1", headers={"who": "owner"})).headers["ETag"]

    again = await client.get("/v1/patrons/p-1", headers={"who": "auditor", "If-None-Match": etag})

    assert (200, HIDDEN) == (again.status_code, again.json()["email"])
