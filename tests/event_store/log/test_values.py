"""The small values at the log's border: codec, partitions, tokens, metadata."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2

from domain import event as domain_event
from event_store.log import codec
from event_store.log.envelope import Metadata, decode_metadata, encode_metadata
from event_store.transport import partitioning, position_token
from event_store.transport.position_token import MalformedToken, PositionToken
from tests import examples

counts = st.dictionaries(st.integers(0, 4096), st.integers(0, 2**62), max_size=12)


@given(st.binary(max_size=80))
def test_partitions_are_those_of_kafkas_default_partitioner(key: bytes):
    assert murmur2(key) & 0xFFFF_FFFF == partitioning.murmur2(key)


@given(st.integers(1, 2**40), st.integers(1, 2**40), counts)
def test_a_token_comes_back_as_it_went(epoch: int, generation: int, partitions: dict[int, int]):
    token = PositionToken(epoch, generation, partitions)

    assert token == position_token.decode(token.encode())
    assert max(partitions.values(), default=0) == token.highest


@given(st.text(max_size=60) | st.binary(max_size=40).map(lambda raw: raw.hex()))
def test_no_text_breaks_the_reading_of_tokens(text: str):
    try:
        token = position_token.decode(text)
    except MalformedToken:
        return
    assert min((token.epoch, token.generation, *token.partitions.values())) >= 0


@pytest.mark.parametrize("text", ["", "lAEBAYEDBQ=", "lAEBAYED", "A" * 2000, "lAIBAYEDBQ", "lAH_AYEDBQ"])
def test_a_token_that_was_not_issued_is_refused(text: str):
    with pytest.raises(MalformedToken):
        position_token.decode(text)


def test_an_event_comes_back_from_its_payload():
    name, payload = codec.encode(examples.placed())

    assert "ordering.order_placed.v3" == name
    assert examples.placed() == codec.decode(name, payload)


def test_an_unknown_version_differs_from_a_malformed_payload():
    with pytest.raises(codec.UnknownEventType) as unknown:
        codec.decode("ordering.order_placed.v999", b"{}")
    with pytest.raises(codec.MalformedEvent):
        codec.decode("ordering.order_placed.v3", b"{}")

    assert "ordering.order_placed.v999" == unknown.value.type_name


def test_an_old_shape_is_read_as_the_newest_one():
    class Named(domain_event.Event, frozen=True):
        name: str

    class Titled(domain_event.Event, frozen=True):
        title: str

    declared = {Named: "test.named.v1", Titled: "test.named.v2"}
    for cls, name in declared.items():
        if name not in domain_event.EVENT_TYPES:
            domain_event.event_type(name)(cls)
            if cls is Named:
                domain_event.upcasts(Named)(lambda old: Titled(title=old.name))
    try:
        assert Titled("Candle") == codec.decode("test.named.v1", b'{"name":"Candle"}')
        assert Titled("Candle") == codec.decode("test.named.v2", b'{"title":"Candle"}')
    finally:
        for cls, name in declared.items():
            domain_event._types.pop(name)
            domain_event._names.pop(cls)
        domain_event._upcasters.pop(Named)
        codec._decoder.cache_clear()


def test_readers_of_metadata_ignore_members_they_do_not_know():
    metadata = Metadata("api", "place_order", "c-1", bytes(16), occurred_at=datetime(2010, 12, 1, tzinfo=UTC))
    wider = msgspec.json.encode({**msgspec.json.decode(encode_metadata(metadata)), "invented_later": 1})

    assert metadata == decode_metadata(wider)
