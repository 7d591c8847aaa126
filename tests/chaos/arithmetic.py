"""What every view must hold, by plain arithmetic over the events of a log: nothing here is imported from the product.

Events are dicts with `type` (such as `ordering.order_placed.v3`) and `payload` (parsed JSON). Rows are dicts of JSON
values by key tuple; members that end in `_at` are compared as moments, since spellings differ.
"""

from collections import defaultdict
from datetime import UTC, datetime

KEYS = {
    "product_page": ("sku",),
    "stock_level": ("sku",),
    "order_details": ("order_id",),
    "order_summary": ("order_id",),
    "customer_totals": ("customer_id", "currency"),
    "sku_sales": ("sku", "currency"),
    "sales_daily": ("day", "country", "currency"),
}
STOCK = ("on_hand", "reserved", "available", "received", "adjusted", "adjustments", "shipped", "returned")
DAY = ("orders", "lines", "units", "revenue", "credit_notes", "credit_lines", "credited")
CUSTOMER = ("orders", "lines", "units", "revenue", "credit_notes", "credited")
CODE = ("orders", "units", "revenue", "credited_units", "credited")


def rows_of(events):
    """View name → key → row, after all of these events."""
    views = {name: {} for name in KEYS}
    for event in events:
        apply(views, event)
    return views


def apply(views, event):
    """Change the rows by one event; returns the keys (view, key) of the keyed views that it touched."""
    kind, _, _ = event["type"].partition(".v")
    body = event["payload"]
    if kind.startswith("inventory."):
        return _stock(views["stock_level"], kind, body)
    if kind.startswith("catalogue."):
        return _product(views["product_page"], kind, body)
    if kind == "ordering.credit_note_issued":
        _credit(views, body)
    elif kind.startswith("ordering."):
        return _order(views, kind, body)
    return []


def moments(row):
    """The row with every member that names a moment as a moment, so that spellings of one do not differ."""
    return {name: _moment(value) if name.endswith("_at") else value for name, value in row.items()}


def _moment(text):
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)


def _product(pages, kind, body):
    sku = body["sku"]
    if kind == "catalogue.product_created":
        names = ("sku", "title", "stocked", "unit_price", "currency", "created_at")
        pages[sku,] = {**{name: body[name] for name in names}, "price_changed_at": None}
    else:
        pages[sku,] |= {"unit_price": body["unit_price"], "currency": body["currency"]}
        pages[sku,]["price_changed_at"] = body["changed_at"]
    return [("product_page", (sku,))]


def _stock(levels, kind, body):
    sku = body["sku"]
    level = levels.setdefault((sku,), {"sku": sku, **dict.fromkeys(STOCK, 0)})
    signs = {
        "inventory.stock_received": ("on_hand", "available", "received"),
        "inventory.stock_returned": ("on_hand", "available", "returned"),
        "inventory.stock_reserved": ("reserved", "-available"),
        "inventory.stock_released": ("-reserved", "available"),
        "inventory.stock_shipped": ("-on_hand", "-reserved", "shipped"),
        "inventory.stock_adjusted": ("on_hand", "available", "adjusted"),
    }[kind]
    amount = body["delta"] if kind == "inventory.stock_adjusted" else body["quantity"]
    for name in signs:
        level[name.lstrip("-")] += -amount if name.startswith("-") else amount
    level["adjustments"] += kind == "inventory.stock_adjusted"
    return [("stock_level", (sku,))]


def _order(views, kind, body):
    key, status = (body["order_id"],), kind.removeprefix("ordering.order_")
    details, summary = views["order_details"], views["order_summary"]
    if status == "placed":
        shared = ("order_id", "customer_id", "placed_at", "country", "currency", "total")
        begun = {"status": status, **{name: body[name] for name in shared}}
        units = sum(line["quantity"] for line in body["lines"])
        later = (
            "confirmed_at",
            "cancelled_at",
            "cancellation_reason",
            "shipped_at",
            "rejected_at",
            "rejection_reason",
            "missing",
        )
        details[key] = {**begun, "units": units, "lines": body["lines"], **dict.fromkeys(later)}
        summary[key] = {**begun, "lines": len(body["lines"])}
    else:
        details[key] |= {"status": status, f"{status}_at": body[f"{status}_at"]}
        summary[key]["status"] = status
        if status == "rejected":
            details[key] |= {"rejection_reason": body["reason"], "missing": body["missing"]}
        if status == "cancelled":
            details[key]["cancellation_reason"] = body["reason"]
    if status == "confirmed":
        _sell(views, body, sign=1)
    if status == "cancelled" and body["was_confirmed"]:
        _sell(views, body, sign=-1)
    return [("order_details", key), ("order_summary", key)]


def _sell(views, body, *, sign):
    sums = {"orders": 1, "lines": body["lines"], "units": body["units"], "revenue": body["total"]}
    day = (_moment(body["placed_at"]).date().isoformat(), body["country"], body["currency"])
    _add(views["sales_daily"], "sales_daily", day, DAY, sums, sign=sign)
    if body["customer_id"] is not None:
        customer = (body["customer_id"], body["currency"])
        _add(views["customer_totals"], "customer_totals", customer, CUSTOMER, sums, sign=sign)
    for code in body["skus"]:
        sold = {"orders": 1, "units": code["units"], "revenue": code["total"]}
        key = (code["sku"], body["currency"])
        _add(views["sku_sales"], "sku_sales", key, CODE, sold, sign=sign)


def _credit(views, body):
    sums = {"credit_notes": 1, "credit_lines": len(body["lines"]), "credited": body["total"]}
    day = (_moment(body["issued_at"]).date().isoformat(), body["country"], body["currency"])
    _add(views["sales_daily"], "sales_daily", day, DAY, sums, sign=1)
    if body["customer_id"] is not None:
        customer = (body["customer_id"], body["currency"])
        _add(views["customer_totals"], "customer_totals", customer, CUSTOMER, sums, sign=1)
    for code in body["skus"]:
        credited = {"credited_units": code["units"], "credited": code["total"]}
        key = (code["sku"], body["currency"])
        _add(views["sku_sales"], "sku_sales", key, CODE, credited, sign=1)


def _add(rows, view, key, names, sums, *, sign):
    row = rows.setdefault(key, {**dict(zip(KEYS[view], key, strict=True)), **dict.fromkeys(names, 0)})
    for name in names:
        row[name] += sign * sums.get(name, 0)
    if not any(row[name] for name in names):
        del rows[key]


def histories_of(events, *, view):
    """Key → list of (position, row after it) of one keyed view: every row that ever was true."""
    views = {name: {} for name in KEYS}
    found = defaultdict(list)
    for event in events:
        for touched, key in apply(views, event):
            if touched == view:
                found[key].append((event["position"], dict(views[view][key])))
    return found
