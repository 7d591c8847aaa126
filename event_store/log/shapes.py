"""The declared shapes of events as JSON Schema, for readers who do not have the program."""

import msgspec

from domain import event as domain_event

_encode = msgspec.json.Encoder(order="deterministic").encode


def schema_of(type_name: str) -> str | None:
    """The JSON Schema (2020-12) of the payloads of a type; None where their shape is not declared here as a whole."""
    declared = domain_event.EVENT_TYPES.get(type_name)
    if declared is None or domain_event.id_field_of(declared) is not None:
        return None
    return _encode(msgspec.json.schema(declared)).decode()
