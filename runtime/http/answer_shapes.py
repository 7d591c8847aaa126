"""The schema of an answer whose shape is a struct, for an OpenAPI document."""

import functools
from collections.abc import Iterator
from datetime import datetime
from typing import Any, get_args

import msgspec

from runtime.http import contract
from runtime.http.contract import Document


@functools.cache
def schema_of(shape: Any) -> Document:
    """A schema with the shapes that it refers to. All members are shown always, also those with a default.

    It is made once for each shape: nobody may change it.
    """
    (found,), shapes = msgspec.json.schema_components([shape], ref_template=contract.SCHEMA)
    for struct in _structs(shape):
        described = shapes[struct.__name__]
        fields = msgspec.structs.fields(struct)
        described["required"] = [each.encode_name for each in fields if each.default is not msgspec.UNSET]
        for field in fields:
            member = described["properties"][field.encode_name]
            member.pop("default", None)
            if datetime in {field.type, *get_args(field.type)}:
                _say_that_it_is_a_time(member)
    return {**found, "$defs": shapes}


def _structs(shape: Any) -> Iterator[type[msgspec.Struct]]:
    """The structs of a shape."""
    if isinstance(shape, type) and issubclass(shape, msgspec.Struct):
        yield shape
        for field in msgspec.structs.fields(shape):
            yield from _structs(field.type)
    for part in get_args(shape):
        yield from _structs(part)


def _say_that_it_is_a_time(member: Document) -> None:
    """For msgspec a time without an offset is one too, so it names no format; what is shown here has one always."""
    for each in member.get("anyOf", [member]):
        if each["type"] == "string":
            each["format"] = "date-time"
