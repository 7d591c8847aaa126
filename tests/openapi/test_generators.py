"""What other people's generators make of both documents: no warning, and types that tell what is there."""

import datetime as dt

import pytest

from tests.openapi import generating


@pytest.fixture
def directory(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_models_of_commands_keep_the_entries_of_a_batch_apart(documents, directory):
    models = generating.models(documents["commands"], directory, name="command_models")

    batch = models.Batch.model_validate(documents["commands"]["components"]["schemas"]["Batch"]["example"])

    first, second = (getattr(each, "root", each) for each in batch.commands)
    assert (models.BatchedCreateProduct, models.BatchedChangePrice) == (type(first), type(second))
    assert "3.39" == second.body.unit_price


def test_models_of_queries_have_times_and_days(documents, directory):
    models = generating.models(documents["queries"], directory, name="query_models")
    examples = {
        path: item["get"]["responses"]["200"]["content"]["application/json"]["example"]
        for path, item in documents["queries"]["paths"].items()
        if "example" in item["get"]["responses"]["200"]["content"].get("application/json", {})
    }

    order = models.OrderDetails.model_validate(examples["/v1/orders/{order_id}"])
    days = models.DailySalesPage.model_validate(examples["/v1/sales/daily"])

    assert dt.timedelta() == order.placed_at.utcoffset()
    assert dt.date(2026, 1, 31) == days.items[0].day


def test_what_a_generator_cannot_use_is_found(documents, directory):
    planted = documents["queries"] | {
        "paths": {
            "/planted": {
                "get": {
                    "operationId": "get_planted",
                    "responses": {"200": {"$ref": "#/components/responses/None"}},
                }
            }
        }
    }

    with pytest.raises(AssertionError, match="planted"):
        generating.client(planted, directory, name="planted_client")
