import pytest
from pydantic import Field

from commands import payloads
from commands.payloads import Payload
from runtime.problems import ProblemError


class Address(Payload):
    city: str
    lines: list[str] = Field(default=[])


class Registration(Payload):
    address: Address
    titles: dict[str, str] = Field(default={})
    others: list[Address] = Field(default=[])
    tags: tuple[str, ...] = Field(default=())


WHOLE = b"""{"address": {"city": "a:b", "lines": ["1", "2: x"]}, "titles": {"en": "T", "de": "U"},
    "others": [{"city": "c"}, {"city": "d", "lines": []}], "tags": ["x", "y"]}"""


def test_objects_maps_and_lists_of_text_may_stand_in_a_payload():
    read = payloads.read(Registration, WHOLE)

    assert Address(city="a:b", lines=["1", "2: x"]) == read.address
    assert {"en": "T", "de": "U"} == read.titles
    assert ("x", "y") == read.tags


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"address": {"city": "a", "city": "b"}}', "/address/city"),
        (b'{"address": {"city": "a"}, "titles": {"en": "T", "en": "U"}}', "/titles/en"),
        (
            b'{"address": {"city": "a"}, "others": [{"city": "c"}, {"city": "d", "city": "e"}]}',
            "/others/1/city",
        ),
        (b'{"address": {"city": "a"}, "tags": [":"], "address": {"city": "b"}}', "/address"),
        (rb'{"address": {"city": "\u003a"}, "tags": ["x"], "tags": ["y"]}', "/tags"),
    ],
)
def test_a_member_that_stands_twice_is_found_wherever_it_is(body, pointer):
    with pytest.raises(ProblemError) as refused:
        payloads.read(Registration, body)

    assert "malformed-json" == refused.value.type.slug
    assert [pointer] == [fault.pointer for fault in refused.value.errors]
