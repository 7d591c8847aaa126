"""What an accountant's books and the views of the shop say of the same: each sum, each order, each credit."""

from collections import Counter

from tests.simulation.returning import Returning


class Comparing(Returning):
    """Each check fails where a view says something else than the books."""

    def check(self):
        self._check_sums()
        self._check_coupons()
        self._check_ledger()
        for order in self.orders.values():
            if "status" in order:
                self._check_order(order)
        self._check_credit()

    def _check_sums(self):
        for view, wanted, keys in (
            ("customer_totals", self.customers, ("customer_id", "currency")),
            ("sku_sales", self.skus, ("sku", "currency")),
            ("sales_daily", self.days, ("day", "country", "currency")),
            ("order_activity", self.quarters, ("at", "currency")),
        ):
            found = {
                key: {
                    n: getattr(row, n)
                    for n in type(row).__struct_fields__
                    if n not in keys and getattr(row, n)
                }
                for key, row in self.rows[view].items()
            }
            there = {key: {n: v for n, v in sums.items() if v} for key, sums in wanted.items()}
            there = {key: sums for key, sums in there.items() if sums}
            assert found == there, (
                view,
                {k: (found.get(k), there.get(k)) for k in found | there if found.get(k) != there.get(k)},
            )

    def _check_coupons(self):
        for (code,), row in self.rows["coupon_details"].items():
            assert (row.redeemed, row.amount) == (self.uses[code], self.coupon_sums[code]), row

    def _check_ledger(self):
        sums, entries = Counter(), Counter()
        for row in self.rows["payment_ledger"].values():
            sums[row.account, row.currency] += row.amount
            entries[row.payment_id or row.posting_id.split("~")[0], row.entry] += row.amount
        assert not any(entries.values()), entries
        found = {key: v for key, v in sums.items() if v}
        there = {key: v for key, v in self.balances.items() if v}
        assert found == there, (found, there)

    def _check_order(self, order):
        row = self.row("order_history", order["id"])
        paid = order["payments"].values()
        captured, refunded = sum(p["captured"] for p in paid), sum(p["refunded"] for p in paid)
        held = sum(p["held"] for p in paid)
        by = Counter()
        for hold in order["holds"].values():
            by[hold["status"]] += hold["amount"]
        wanted = {
            "status": order["status"],
            "total": order["total"],
            "captured": captured,
            "returned": refunded + sum(p["lost"] for p in paid),
            "held": held,
            "disputed": sum(p["disputed"] for p in paid),
            "credit_held": by["held"],
            "credit_spent": by["spent"] + by["returned"],
            "credit_returned": by["returned"],
        }
        assert {n: getattr(row, n) for n in wanted} == wanted, (row, wanted, order)
        assert row.payment == _axis(
            order["total"],
            captured + wanted["credit_spent"],
            wanted["returned"] + by["returned"],
            held + by["held"],
        ), (row, order)
        paid_row = self.row("order_payments", order["id"])
        assert (paid_row is None) is (not order["payments"])
        if paid_row is not None:
            assert (paid_row.captured, paid_row.refunded) == (captured, refunded)
        details = self.row("order_details", order["id"])
        assert (details.status, details.total) == (order["status"], order["total"])

    def _check_credit(self):
        found, there = Counter(), Counter()
        for (buyer,), row in self.rows["store_credit_details"].items():
            for each in row.balances:
                found[buyer, each.currency] = each.balance
        for (buyer, currency), parts in self.credits.items():
            there[buyer, currency] += sum(each["left"] for each in parts)
        for order in self.orders.values():
            for hold in order.get("holds", {}).values():
                if hold["status"] == "held":
                    there[order["buyer"], order["currency"]] += hold["amount"]
        assert +found == +there, (found, there)


def _axis(total, captured, returned, held):
    if captured and returned >= captured:
        return "refunded"
    if captured and captured >= total:
        return "captured"
    if captured:
        return "partial"
    return "none" if not held else "authorised" if held >= total else "partial"
