"""What tests of projections share: a log with a shop's history, a carrier that misbehaves on demand, and workers."""

import contextlib
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from domain.cart.cart import CART
from domain.catalogue.category import CATEGORY
from domain.catalogue.channel import CHANNEL
from domain.catalogue.listing import LISTING
from domain.customers.customer import CUSTOMER
from domain.event import Event, partition_key_of
from domain.identity.account import ACCOUNT, GRANTS
from domain.identity.external import EXTERNAL
from domain.ids import AccountId, CartId, CustomerId, KeyedHash, OrderId, PaymentId, Sku
from domain.inventory.locations import ALL, LOCATIONS
from domain.inventory.stock_item import STOCK
from domain.mail.mail import MAIL
from domain.ordering.events import Contact
from domain.ordering.order import ORDER
from domain.ordering.purchase import PURCHASE
from domain.payments.payment import PAYMENT
from domain.payments.store_credit import STORE_CREDIT
from domain.shipping.shipment import SHIPMENT
from event_store.consumers.driver import ConsumerSession, Hosted
from event_store.consumers.health import ConsumerHealth
from event_store.consumers.lease import Lease, new_owner
from event_store.consumers.metrics import ConsumerMetrics
from event_store.consumers.news import News
from event_store.log import codec, reading
from event_store.log.appending import wire
from event_store.log.envelope import ANY, AppendRequest, Expectation, NewEvent
from event_store.transport import generations, partition_log
from event_store.transport.following import Follower, FollowerMetrics
from event_store.transport.partition_log import PartitionLog
from event_store.transport.partitioning import PARTITIONS, partition_of
from event_store.transport.transport import Batch, Partition, Record
from projections import builds, catching_up, checkpoints, tailing
from projections.folding import Versioned, decoder_of
from projections.measure import Measure
from projections.metrics import ProjectionMetrics
from projections.mirroring import Mirror
from projections.performing import SESSION
from projections.step import Following
from projections.storing import BuildId, Connection, Table
from projections.tailing import Tail
from projections.view import GLOBAL, Key, View
from projections.worker import GROUP, Worker
from runtime import database
from runtime.documents import Documents
from tests.cart_examples import (
    address_set,
    cart_checked_out,
    cart_opened,
    checkout_started,
    coupon_applied,
    item_added,
)
from tests.catalogue_examples import (
    HEART,
    HEARTS,
    WEB,
    category_created,
    channel_opened,
    listing_created,
    listing_published,
    listing_revised,
    media_attached,
    variant_added,
)
from tests.commands import mail_requests
from tests.customer_examples import address_added, customer_registered, sealed
from tests.examples import (
    account_registered,
    external_identity_linked,
    label_bought,
    label_requested,
    placed,
    role_granted,
    stock_received,
    stock_reserved,
)
from tests.histories import Shop
from tests.identity_examples import account_closed
from tests.payment_examples import (
    authorisation_requested,
    capture_requested,
    credit_expiry_scheduled,
    credit_issued,
    payment_authorised,
    payment_captured,
    payment_created,
)
from tests.pricing_examples import (
    coupon_created,
    coupon_redeemed,
    customer_grouped,
    price_lists_chosen,
    price_set,
    promotion_defined,
    stream_of,
    tax_rate_set,
)
from tests.purchase_examples import (
    backorder_allocated,
    backorder_filled,
    backorder_policy_set,
    backorder_recorded,
    backorder_released,
    dispatch_overdue,
    hold_lifted,
    location_set,
    loss_claimed,
    loss_settled,
    manual_label_recorded,
    order_backordered,
    order_held,
    order_stock_lost,
    order_stock_replaced,
    parcel_lost,
    purchase_begun,
    reservation_lost,
    stock_located,
)

APPENDED_PER_CALL = 256
ROUNDS_MAX = 500
QUIET_ROUNDS = 7
EVERYTHING = 2**62

Mischief = Callable[[list[Record]], list[Record]]


def history(seed: int, *, steps: int = 150) -> list[tuple[str, Event]]:
    """What a small shop did, by seed: (stream, event) in order; some of its buyers are known."""
    shop = Shop(seed)
    shop.open()
    for _ in range(steps):
        shop.trade()
    return [
        *_accounts(),
        *_known(),
        *_listed(),
        *_priced(),
        *((MAIL.stream(event.mail_id), event) for event in mail_requests.FACTS),
        *_paid(),
        *((recorded.stream, recorded.event) for recorded in shop.log),
    ]


def _accounts() -> Iterator[tuple[str, Event]]:
    """Two accounts with a role and a provider, of which one was closed."""
    for number in range(2):
        account_id = AccountId(f"a-{number}")
        digest = KeyedHash(f"{number:032x}")
        yield ACCOUNT.stream(account_id), account_registered(account_id=account_id, email_digest=digest)
        yield GRANTS.stream(account_id), role_granted(account_id=account_id)
        yield EXTERNAL.stream(account_id), external_identity_linked(account_id=account_id)
    yield ACCOUNT.stream(account_id), account_closed(account_id=account_id, email_digest=digest)


def _known() -> Iterator[tuple[str, Event]]:
    """Customers, carts, and an order with contact data; the values in it only look sealed."""
    for number in range(8):
        customer_id = CustomerId(f"known-{number}")
        yield (
            CUSTOMER.stream(customer_id),
            customer_registered(customer_id=customer_id, email_digest=KeyedHash(f"{number:032x}")),
        )
        yield CUSTOMER.stream(customer_id), address_added(customer_id=customer_id)
    for number in range(8):
        cart_id = CartId(f"c-{number}")
        began = (
            cart_opened,
            item_added,
            coupon_applied,
            address_set,
            *((checkout_started, cart_checked_out) if number % 2 else ()),
        )
        yield from ((CART.stream(cart_id), event(cart_id=cart_id)) for event in began)
    contact = Contact(name=sealed("Ada Lovelace"), email=None, address=None)
    order_id = OrderId("of-somebody-known")
    yield ORDER.stream(order_id), placed(order_id=order_id, customer_id=customer_id, contact=contact)
    held = (
        order_held,
        order_stock_lost,
        order_stock_replaced,
        hold_lifted,
        order_backordered,
        backorder_filled,
        dispatch_overdue,
    )
    yield from ((ORDER.stream(order_id), event(order_id=order_id)) for event in held)
    of_it = {"sku": Sku("85123B"), "order_id": order_id}
    stock = (
        stock_received(sku=of_it["sku"]),
        stock_reserved(**of_it),
        reservation_lost(**of_it),
        backorder_policy_set(sku=of_it["sku"]),
        *(backorder_recorded(sku=of_it["sku"], order_id=OrderId(f"waits-{number}")) for number in range(3)),
        backorder_allocated(sku=of_it["sku"], order_id=OrderId("waits-0")),
        backorder_allocated(sku=of_it["sku"], order_id=OrderId("waits-1"), quantity=1),
        backorder_released(sku=of_it["sku"], order_id=OrderId("waits-2")),
        stock_received(sku=of_it["sku"], quantity=9),
        stock_located(sku=of_it["sku"], on_hand=9),
        stock_reserved(sku=of_it["sku"], order_id=OrderId("elsewhere")),
        stock_located(sku=of_it["sku"], order_id=OrderId("elsewhere"), on_hand=0, reserved=3),
    )
    parcel = (label_requested, label_bought, parcel_lost, loss_claimed, loss_settled, manual_label_recorded)
    yield from ((SHIPMENT.stream(order_id), event(order_id=order_id)) for event in parcel)
    yield LOCATIONS.stream(ALL), location_set()
    yield from ((STOCK.stream(event.sku), event) for event in stock)


def _listed() -> Iterator[tuple[str, Event]]:
    """A product that is published with one of its SKUs; those that trade are others."""
    yield CHANNEL.stream(WEB), channel_opened()
    yield CATEGORY.stream(HEARTS), category_created()
    listing = (listing_created(), variant_added(), media_attached(), listing_published(), listing_revised())
    yield from ((LISTING.stream(HEART), event) for event in listing)


def _priced() -> Iterator[tuple[str, Event]]:
    """A price, the lists of a channel, a group, a tax rate, a promotion, and a coupon that was redeemed once."""
    of_prices = (price_set(), price_lists_chosen(), customer_grouped(), tax_rate_set())
    for event in (*of_prices, promotion_defined(), coupon_created(), coupon_redeemed()):
        aggregate, name = stream_of(event)
        yield aggregate.stream(name), event


def _paid() -> Iterator[tuple[str, Event]]:
    """A payment of the order with contact data, and one and store credit that belong to somebody else's books."""
    held = (payment_created(), authorisation_requested(), payment_authorised())
    events = (*held, capture_requested(), payment_captured())
    for order_id, payment_id in (("536365", "pay-1"), ("of-somebody-known", "pay-2")):
        of_it = {"order_id": OrderId(order_id), "payment_id": PaymentId(payment_id)}
        yield from ((PAYMENT.stream(of_it["payment_id"]), replace(event, **of_it)) for event in events)
    for event in (credit_issued(), credit_expiry_scheduled()):
        yield STORE_CREDIT.stream(event.customer_id), event
    yield PURCHASE.stream(order_id), purchase_begun(order_id=order_id, payment_id=PaymentId(order_id))


def append(url: str, events: Iterable[tuple[str, Event]], *, epoch: int = 1) -> int:
    """Append events one request each; the log's last position."""
    requests = []
    for stream, event in events:
        name, payload = codec.encode(event)
        requests.append(
            AppendRequest(
                key=secrets.token_bytes(16),
                fingerprint=bytes(32),
                events=(NewEvent(stream, name, payload, b"{}", partition_key_of(event)),),
                expectations=(Expectation(stream, ANY),),
            )
        )
    return append_requests(url, requests, epoch=epoch)


def let_builds_stand_apart(conn):
    """Give every build its position in rows of its own, where a test may write another."""
    for (generation,) in conn.execute("select distinct generation from views.build_checkpoint").fetchall():
        checkpoints.separate(conn, generation=generation)


def append_requests(url: str, requests: Sequence[AppendRequest], *, epoch: int = 1) -> int:
    """Append ready requests; the log's last position."""
    with database.connect(url, role="counterfoil_writer", name="test") as conn:
        wire.register(conn)
        for first in range(0, len(requests), APPENDED_PER_CALL):
            batch = requests[first : first + APPENDED_PER_CALL]
            conn.cursor(binary=True).execute(wire.CALL, wire.arguments(batch, epoch=epoch)).fetchall()
        return reading.head(conn).position


def settle(url: str) -> None:
    """Do what the relay does at its first start: say what carries the generation."""
    with database.connect(url, role="counterfoil_owner", name="test") as conn:
        generations.settle(conn, carrier="local", partitions=PARTITIONS)


def publish(url: str) -> None:
    """Say what a relay would that has published all of the log."""
    with database.connect(url, role="counterfoil_relay", name="test") as conn:
        generation = generations.current_generation(conn)
        partitions = generation.partitions
        last = {partition_of(event.key, partitions): event.position for event in reading.copy_log(conn)}
        for partition, position in last.items():
            conn.execute(
                "update transport.relay_partition set position = %s where generation = %s and partition = %s",
                [position, generation.generation, partition],
            )
        conn.execute(
            "update transport.relay set position = %s where generation = %s",
            [max(last.values(), default=0), generation.generation],
        )


def fold_plainly(view: View[Any], recorded: Iterable[Any]) -> dict[Key, Versioned]:
    """The rows of a view by its folds alone: no batches, no storage, ten lines."""
    rows: dict[Key, Versioned] = {}
    decoder = decoder_of([view])
    for each in recorded:
        if each.type not in view.event_types:
            continue
        event = codec.decode(each.type, each.payload)
        fold = view.folds[type(event)]
        whole = catching_up.decode(each, decoder=decoder) if fold.of_record else event
        for key, part in fold.spread(whole):
            before = rows.get(key)
            rows[key] = Versioned(fold.apply(before and before.row, event, part), each.position)
    return {key: row for key, row in rows.items() if row.row is not None}


def stored(conn: Connection, view: View[Any], *, build: int = 1) -> dict[Key, Versioned]:
    """The rows of a build, without tombstones."""
    table = Table(view, BuildId(view.name, view.shape, build))
    return {key: row for page in table.pages(conn) for key, row in page if row.row is not None}


class Carrier:
    """A subscription that carries the log, as well or as badly as a test wants."""

    def __init__(self, url: str, mischief: Mischief = list) -> None:
        """`mischief` may drop, repeat or reorder the records of one partition in one poll."""
        self.mischief = mischief
        self.committed: dict[Partition, int] = {}
        self._conn = database.connect(url, role="counterfoil_projector", name="test carrier")
        self._generation = generations.current_generation(self._conn)
        self._assigning: set[Partition] = set()
        self._revoking: set[Partition] = set()
        self._ends: dict[Partition, int] = {}
        self._carried: dict[Partition, int] = {}

    def assign(self, sources: Iterable[Partition]) -> None:
        self._assigning |= set(sources)

    def revoke(self, sources: Iterable[Partition]) -> None:
        self._revoking |= set(sources)

    def poll(self, timeout_s: float, *, max_records: int = 5_000) -> Batch:  # noqa: ARG002
        assigned, self._assigning = self._assigning, set()
        revoked, self._revoking = self._revoking, set()
        for source in revoked:
            self._ends.pop(source, None)
        records: dict[Partition, list[Record]] = {}
        if not assigned and not revoked:
            records = self._read(max_records)
        return Batch(records=records, assigned=assigned, revoked=revoked)

    def start_at(self, source: Partition, *, position: int) -> int:
        self._ends[source] = self._carried[source] = position
        return position

    def commit(self, source: Partition, *, position: int) -> None:
        self.committed[source] = position

    def close(self) -> None:
        self._conn.close()

    def _read(self, max_records: int) -> dict[Partition, list[Record]]:
        if not self._ends:
            return {}
        brought: dict[Partition, list[Record]] = {}
        events = reading.read_after(self._conn, min(self._ends.values()), limit=max_records)
        for event in events:
            source = partition_of(event.key, self._generation.partitions)
            if event.position > self._ends.get(source, EVERYTHING):
                prev, self._carried[source] = self._carried[source], event.position
                record = partition_log.as_record(event, partition=source, prev=prev, epoch=1)
                brought.setdefault(source, []).append(record)
        for source in self._ends:
            self._ends[source] = max(self._ends[source], events[-1].position if events else 0)
        carried = {source: self.mischief(records) for source, records in brought.items()}
        return {source: records for source, records in carried.items() if records}


class Feeder:
    """A projections process driven by hand: a worker over one carrier, and a tail of the log for global views."""

    def __init__(
        self,
        url: str,
        views: Sequence[View[Any]],
        *,
        documents: Documents | None = None,
        mischief: Mischief = list,
        sources: Iterable[Partition] | None = None,
        measures: Sequence[Measure] = (),
        group: str = GROUP,
    ) -> None:
        self.url = url
        self.now = 0.0
        self.views = views
        self.registry = CollectorRegistry()
        self.conn = database.connect(url, role="counterfoil_projector", name="test worker", settings=SESSION)
        generation = generations.current_generation(self.conn)
        builds.ensure_builds(self.conn, views)
        self.carrier = Carrier(url, mischief)
        self.carrier.assign(list(range(generation.partitions)) if sources is None else sources)
        metrics = ProjectionMetrics(self.registry, measures=measures)
        self.lease = Lease(self.conn, name=tailing.LEASE_NAME, owner=new_owner(), clock=self.clock)
        self.session = ConsumerSession(
            conn=self.conn,
            lease=self.lease,
            stop=threading.Event(),
            news=News(),
            metrics=ConsumerMetrics(self.registry),
            database_url=url,
        )
        self.mirror = None if documents is None else Mirror(documents, metrics=metrics, clock=self.clock)
        self.follower = Follower(
            self.carrier,
            log=PartitionLog(self.conn, generation=generation),
            metrics=FollowerMetrics(self.registry),
            clock=self.clock,
        )
        self.worker = Worker(
            self.session,
            generation=generation,
            follower=self.follower,
            views=[view for view in views if view.kind is not GLOBAL],
            metrics=metrics,
            group=group,
            mirror=self.mirror,
            clock=self.clock,
        )
        global_views = [view for view in views if view.kind is GLOBAL]
        tail_of = partial(Tail, views=global_views, metrics=metrics, clock=self.clock)
        tail = replace(tailing.consumer(global_views, metrics=metrics), open=tail_of)
        self.tail = Hosted(tail, self.session, health=ConsumerHealth())
        self.busy = False

    def clock(self) -> float:
        """Seconds that pass only between rounds."""
        return self.now

    def round(self, *, seconds: float = 1.0) -> None:
        self.now += seconds
        self.worker.round(0.0)
        self.busy = (self.tail.round() == "busy") or self.worker._busy

    def catch_up(self) -> None:
        """Rounds until some in a row, longer than any patience, bring nothing and nobody stands behind."""
        quiet = 0
        for _ in range(ROUNDS_MAX):
            before = self.positions()
            self.round()
            quiet = quiet + 1 if self.positions() == before and not self.busy else 0
            if quiet == QUIET_ROUNDS and before:
                return
        raise AssertionError(f"not caught up after {ROUNDS_MAX} rounds: {self.positions()}")

    def positions(self) -> dict[Any, int]:
        return {
            (each.build, source): cursor.position
            for each in self.followings
            for source, cursor in each.cursors.items()
        }

    @property
    def followings(self) -> list[Following]:
        tail = self.tail.step
        return [*self.worker.followings, *(tail.feeding.followings if isinstance(tail, Tail) else ())]

    def stopped(self) -> dict[str, str | None]:
        return {each.view.name: each.stopped for each in self.followings}

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels or None) or 0.0

    def close(self) -> None:
        """End as a process does that is asked to; one that died keeps its lease for a while."""
        if not self.conn.broken:
            self.tail.close()
        self.follower.close()
        self.conn.close()


@contextlib.contextmanager
def feeding(url: str, views: Sequence[View[Any]], **options: Any) -> Iterator[Feeder]:
    """A worker for the length of a block."""
    feeder = Feeder(url, views, **options)
    try:
        yield feeder
    finally:
        feeder.close()


def assert_views_hold_the_log(url: str, views: Sequence[View[Any]], *, build: int = 1) -> None:
    """Every row of every view is what its folds alone make of the log."""
    with database.connect(url, role="counterfoil_projector", name="test") as conn:
        recorded = list(reading.copy_log(conn))
        for view in views:
            assert fold_plainly(view, recorded) == stored(conn, view, build=build), view.name
