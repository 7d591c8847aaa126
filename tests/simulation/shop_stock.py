"""Pieces of a shop by SKU, location and order, added up from the events alone."""

from collections import Counter, defaultdict

from domain.inventory import events as stock
from domain.inventory.locations import ALL, LOCATIONS, MAIN, open_locations
from domain.inventory.stock_item import STOCK
from projections.inventory.views import located_stock, stock_backorders, stock_level, stock_reservations

SERVES = (
    stock.StockReceived,
    stock.StockReturned,
    stock.StockAdjusted,
    stock.StockReleased,
    stock.BackorderRecorded,
)
"""Events with which those who wait get what there is."""


class Stock:
    """What is on hand, reserved and waited for; `of_sku` says what contradicts it."""

    def __init__(self, shop, rows):
        self.shop = shop
        self.rows = rows
        self.on_hand = Counter()
        self.promised = defaultdict(Counter)
        """Pieces that are reserved for orders, by SKU."""
        self.waiting = defaultdict(Counter)
        """Pieces that orders wait for, by SKU."""
        self.elsewhere = defaultdict(Counter)
        """Pieces on hand that do not lie at the main location, by SKU and location."""
        self.promised_elsewhere = defaultdict(lambda: defaultdict(Counter))
        """Those of them that are reserved for orders."""
        self.problems = []
        self._limits = Counter()
        self._closed = set()
        self._unserved = set()
        """SKUs of which nothing moved since a location was opened: those who wait do not have what lies there."""

    def enter(self, event):
        """Enter an event, if it is about any of this; the SKU that it is about."""
        sku = getattr(event, "sku", None)
        if isinstance(event, SERVES):
            self._unserved.discard(sku)
        match event:
            case stock.StockReceived() | stock.StockReturned():
                self.on_hand[sku] += event.quantity
            case stock.StockAdjusted():
                self.on_hand[sku] += event.delta
            case stock.StockReserved():
                self.promised[sku][event.order_id] += event.quantity
            case stock.StockReleased() | stock.ReservationLost():
                self.promised[sku][event.order_id] -= event.quantity
            case stock.StockShipped():
                self.promised[sku][event.order_id] -= event.quantity
                self.on_hand[sku] -= event.quantity
            case stock.StockLocated():
                if event.reserved > 0 and event.location_id in self._closed:
                    self.problems.append(
                        f"{sku}: {event.reserved} reserved at {event.location_id}, which is closed"
                    )
                self.elsewhere[sku][event.location_id] += event.on_hand
                self.promised_elsewhere[sku][event.location_id][event.order_id] += event.reserved
            case stock.LocationSet():
                self._unserved |= {*self.on_hand}
                (self._closed.discard if event.is_open else self._closed.add)(event.location_id)
                return None
            case _:
                return self._enter_waiting(event, sku)
        return sku

    def _enter_waiting(self, event, sku):
        match event:
            case stock.BackorderPolicySet():
                self._limits[sku] = event.limit
            case stock.BackorderRecorded():
                self.waiting[sku][event.order_id] += event.quantity
                if (total := sum(self.waiting[sku].values())) > self._limits[sku]:
                    self.problems.append(f"{sku}: {total} are waited for, and {self._limits[sku]} may be")
            case stock.BackorderAllocated():
                self.waiting[sku][event.order_id] -= event.quantity
                self.promised[sku][event.order_id] += event.quantity
            case stock.BackorderReleased():
                self.waiting[sku][event.order_id] -= event.quantity
            case _:
                return None
        return sku

    def kept_for(self, order_id):
        """What is reserved for an order or to come, by SKU."""
        skus = {*self.promised, *self.waiting}
        units = {sku: self.promised[sku][order_id] + self.waiting[sku][order_id] for sku in skus}
        return _not_none(units)

    def waited_for_by(self, order_id):
        """What an order waits for, by SKU."""
        return _not_none({sku: units[order_id] for sku, units in self.waiting.items()})

    def of_sku(self, sku):
        """What is wrong with the pieces of an SKU."""
        on_hand, promised = self.on_hand[sku], self.promised[sku]
        reserved = sum(promised.values())
        state, row = self.shop.now(STOCK, sku), self.rows[stock_level.name][(sku,)]
        if (on_hand, reserved) != (state.on_hand, state.reserved):
            yield f"{sku}: {on_hand} on hand and {reserved} reserved, and its state says {state}"
        if (on_hand, reserved, on_hand - reserved) != (row.on_hand, row.reserved, row.available):
            yield f"{sku}: {on_hand} on hand and {reserved} reserved, and its view says {row}"
        if not 0 <= reserved <= on_hand:
            yield f"{sku}: {reserved} reserved of {on_hand}"
        yield from self._shown(sku, stock_reservations, promised)
        yield from self._shown(sku, stock_backorders, self.waiting[sku])
        if {each.order_id: each.quantity for each in state.backorders} != _not_none(self.waiting[sku]):
            yield f"{sku}: {self.waiting[sku]} are waited for, and its state says {state}"
        for location_id in {MAIN, *self.elsewhere[sku]}:
            yield from self._at(sku, location_id, state)
        available = state.available_at(open_locations(self.shop.now(LOCATIONS, ALL)))
        if available > 0 and any(self.waiting[sku].values()) and sku not in self._unserved:
            yield f"{sku}: {available} are available, and {self.waiting[sku]} are waited for"

    def _shown(self, sku, view, units):
        shown = {key[1]: row.quantity for key, row in self.rows[view.name].items() if key[0] == sku}
        if shown != _not_none(units):
            yield f"{sku}: {units}, and {view.name} shows {shown}"

    def _at(self, sku, location_id, state):
        """What is wrong with the pieces at one location."""
        on_hand, of_orders = self._there(sku, location_id)
        reserved, there = sum(of_orders.values()), state.at(location_id)
        if (on_hand, reserved) != (there.on_hand, there.reserved):
            yield f"{sku}: {on_hand} on hand and {reserved} reserved at {location_id}, and its state says {there}"
        if not 0 <= reserved <= on_hand or any(units < 0 for units in of_orders.values()):
            yield f"{sku}: {of_orders} reserved of {on_hand} at {location_id}"
        row = self.rows[located_stock.name].get((sku, location_id))
        shown = (0, 0, 0) if row is None else (row.on_hand, row.reserved, row.available)
        if (on_hand, reserved, on_hand - reserved) != shown:
            yield f"{sku}: {on_hand} on hand and {reserved} reserved at {location_id}, and its view says {row}"

    def _there(self, sku, location_id):
        """Pieces on hand at a location, and those that are reserved there, by order."""
        on_hand, reserved = self.elsewhere[sku], self.promised_elsewhere[sku]
        if location_id != MAIN:
            return on_hand[location_id], reserved[location_id]
        of_orders = Counter(self.promised[sku])
        for each in reserved.values():
            of_orders.subtract(each)
        return self.on_hand[sku] - sum(on_hand.values()), of_orders


def _not_none(units):
    return {key: n for key, n in units.items() if n}
