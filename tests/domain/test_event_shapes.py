import json
from typing import Any

import msgspec
import pytest

from domain.event import EVENT_TYPES
from event_store.log import codec
from tests.domain.event_shapes import SHAPES, published, shape_of
from tests.examples import ONE_OF_EACH

FROZEN = sorted(path.name.removesuffix(".json") for path in SHAPES.glob("*.json"))


def frozen(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((SHAPES / f"{name}.json").read_text(encoding="utf-8"))
    return content


def test_every_published_event_is_frozen_and_none_has_disappeared():
    assert sorted(published()) == FROZEN, "new events: python -m tests.domain.event_shapes"


@pytest.mark.parametrize("name", FROZEN)
def test_a_published_shape_never_changes(name):
    assert frozen(name)["shape"] == shape_of(EVENT_TYPES[name]), "declare a next version and an upcaster"


@pytest.mark.parametrize("name", FROZEN)
def test_the_order_of_the_fields_never_changes(name):
    assert list(frozen(name)["shape"]) == list(shape_of(EVENT_TYPES[name]))


@pytest.mark.parametrize("name", FROZEN)
def test_what_was_ever_written_is_read_for_ever(name):
    golden = json.dumps(frozen(name)["golden"]).encode()

    codec.decode(name, golden)
    assert msgspec.json.decode(golden) == msgspec.json.decode(
        msgspec.json.encode(msgspec.json.decode(golden, type=EVENT_TYPES[name]))
    )


@pytest.mark.parametrize("example", ONE_OF_EACH, ids=lambda example: type(example).__name__)
def test_an_event_reads_back_as_it_was_written(example):
    name, payload = codec.encode(example)

    assert example == codec.decode(name, payload)


@pytest.mark.parametrize("name", FROZEN)
def test_a_time_without_an_offset_is_no_part_of_an_event(name):
    golden = frozen(name)["golden"]
    times = [field for field, kind in frozen(name)["shape"].items() if kind == "time with offset"]
    assert times

    for field in times:
        without = golden | {field: golden[field].removesuffix("Z")}
        with pytest.raises(codec.MalformedEvent):
            codec.decode(name, json.dumps(without).encode())
