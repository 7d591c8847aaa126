"""The peer of the command API: FastAPI in front of the library's Application, as its users write it."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal

import uvicorn
from fastapi import FastAPI, Response
from pydantic import BaseModel

from benchmarks.library import CustomerOrder, Shop


class Line(BaseModel):
    """One line of an order."""

    sku: str
    quantity: int
    unit_price: Decimal


class PlaceOrder(BaseModel):
    """What a caller sends."""

    order_id: str
    customer_id: str | None = None
    country: str
    currency: str
    lines: list[Line]


def create_app() -> FastAPI:
    """The application; the library reads its settings from the environment."""
    shop = Shop()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        shop.close()

    app = FastAPI(lifespan=lifespan)

    @app.get("/readyz")
    async def readyz() -> Response:
        return Response("ready\n")

    @app.post("/v1/orders", status_code=201)
    def place_order(body: PlaceOrder) -> dict[str, str]:
        # Not a coroutine: the library waits for the database, so FastAPI runs this in its threads.
        order = CustomerOrder(
            order_id=body.order_id,
            customer_id=body.customer_id,
            placed_at=datetime.now(UTC),
            country=body.country,
            currency=body.currency,
            lines=[line.model_dump(mode="json") for line in body.lines],
            total=sum((line.quantity * line.unit_price for line in body.lines), Decimal(0)),
        )
        shop.save(order)
        return {"id": str(order.id)}

    return app


if __name__ == "__main__":
    uvicorn.run(
        create_app(),
        host="127.0.0.1",
        port=int(os.environ["LIBRARY_SHOP_PORT"]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
