"""Published event shapes, frozen: one file per type in `shapes/`, written once and never again.

`python -m tests.domain.event_shapes` writes the files of types that have none yet. It leaves the others alone: an
event that must change gets a next version and an upcaster.
"""

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

import tests.examples
from domain.event import EVENT_TYPES, Event, type_name

SHAPES = Path(__file__).parent / "shapes"

_NAMES: dict[type[inspect.Type], str] = {
    inspect.StrType: "text",
    inspect.IntType: "integer",
    inspect.BoolType: "boolean",
    inspect.BytesType: "base64",
    inspect.NoneType: "null",
}


def published() -> dict[str, type[Event]]:
    """The event types that the product declares; tests elsewhere declare some of their own."""
    return {name: event for name, event in EVENT_TYPES.items() if event.__module__.startswith("domain.")}


def shape_of(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """Field names with their types, in the order in which they are written."""
    described = inspect.type_info(struct)
    assert isinstance(described, inspect.StructType)
    return {
        field.encode_name + ("" if field.required else "?"): _described(field.type)
        for field in described.fields
    }


def golden_of(name: str) -> Any:
    """The ordinary example of one type, as it is stored."""
    (example,) = [event for event in tests.examples.ONE_OF_EACH if type_name(event) == name]
    return json.loads(msgspec.json.encode(example))


def _described(kind: inspect.Type) -> Any:
    if isinstance(kind, inspect.Metadata):
        return _described(kind.type)
    if isinstance(kind, inspect.UnionType):
        return [_described(each) for each in kind.types]
    if isinstance(kind, inspect.VarTupleType):
        return {"many": _described(kind.item_type)}
    if isinstance(kind, inspect.DictType):
        return {"by name": _described(kind.value_type)}
    if isinstance(kind, inspect.StructType):
        return shape_of(kind.cls)
    if isinstance(kind, inspect.LiteralType):
        return "one of " + ", ".join(map(str, kind.values))
    if isinstance(kind, inspect.DateTimeType):
        return "time with offset" if kind.tz else "time"
    return _NAMES[type(kind)]


def main() -> None:
    """Freeze what is not frozen yet."""
    for name, event in published().items():
        path = SHAPES / f"{name}.json"
        if not path.exists():
            frozen = {"type": name, "shape": shape_of(event), "golden": golden_of(name)}
            path.write_text(json.dumps(frozen, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            sys.stdout.write(f"froze {name}\n")


if __name__ == "__main__":
    main()
