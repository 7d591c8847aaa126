"""What an import must come to, computed from the file without any code of the product: plain rows, plain sums."""

import csv
import re
from decimal import ROUND_HALF_EVEN, Decimal


def pence(row):
    exact = abs(int(row["Quantity"])) * Decimal(row["UnitPrice"]) * 100
    return int(exact.quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def figures(path, *, after=None):
    """The figures that the import of this file must report, and the rows it must refuse.

    The shop is empty, or another file was imported into it: `after` that one, fewer days, customers and codes are new.
    """
    sold, credited, adjusted, refused = sorted_rows(path)
    known = sorted_rows(after)[0] if after else []
    returned = sum(-int(r["Quantity"]) for r in credited if re.match("[0-9]{5}", r["StockCode"]))
    found = sum(int(r["Quantity"]) for r in adjusted if int(r["Quantity"]) > 0)
    return {
        "orders": len({r["InvoiceNo"] for r in sold}),
        "order_lines": len(sold),
        "credit_notes": len({r["InvoiceNo"] for r in credited}),
        "credit_lines": len(credited),
        "adjustments": len(adjusted),
        "revenue": sum(map(pence, sold)),
        "credited": sum(map(pence, credited)),
        "days": len(days(sold) - days(known)),
        "customers": len(customers(sold) - customers(known)),
        "codes_sold": len(codes(sold) - codes(known)),
        "on_hand_total": returned + found,
        "refused": len(refused),
    }, refused


def sorted_rows(path):
    """Rows that are sold, credited, and adjust stock; and the numbers of those that can become nothing."""
    with path.open(newline="", encoding="utf-8") as source:
        rows = list(csv.DictReader(source))
    selling = {r["InvoiceNo"] for r in rows if int(r["Quantity"]) > 0 and Decimal(r["UnitPrice"]) > 0}
    sold, credited, adjusted, refused = [], [], [], []
    for number, row in enumerate(rows, start=2):
        quantity, price = int(row["Quantity"]), Decimal(row["UnitPrice"])
        stocked = re.match("[0-9]{5}", row["StockCode"])
        if re.fullmatch("C[0-9]+", row["InvoiceNo"]) and quantity < 0 <= price:
            credited.append(row)
        elif not re.fullmatch("[0-9]+", row["InvoiceNo"]) or price < 0:
            refused.append(number)
        elif quantity > 0 and row["InvoiceNo"] in selling:
            sold.append(row)
        elif stocked and quantity:
            adjusted.append(row)
        else:
            refused.append(number)
    return sold, credited, adjusted, refused


def days(rows):
    return {row["InvoiceDate"][:10] for row in rows}


def customers(rows):
    return {row["CustomerID"] for row in rows} - {""}


def codes(rows):
    return {row["StockCode"] for row in rows}
