"""Every view of the product, with its folds attached. A view that is not named here does not exist."""

from typing import Any, Final

import projections.catalogue.folds
import projections.inventory.folds
import projections.ordering.folds
import projections.ordering.sales  # noqa: F401 - importing a module of folds attaches them
from projections.catalogue.views import product_page
from projections.inventory.views import stock_level
from projections.ordering.views import (
    customer_totals,
    order_details,
    order_summary,
    sales_daily,
    sku_sales,
)
from projections.view import GLOBAL, View

VIEWS: Final[tuple[View[Any], ...]] = (
    product_page,
    stock_level,
    order_details,
    order_summary,
    customer_totals,
    sku_sales,
    sales_daily,
)

ORDERED_TYPES: Final[tuple[str, ...]] = tuple(
    sorted({name for view in VIEWS if view.kind is GLOBAL for name in view.event_types})
)
"""Event types that global views fold, and that the ordered channel therefore carries."""
