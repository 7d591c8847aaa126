"""Who appends, in one format: `<kind>:<id>`, with a pseudonymous id. Callers are named by their principal."""

from typing import Literal

Kind = Literal["process", "timer", "sender", "application", "operator"]


def actor(kind: Kind, identifier: str) -> str:
    """The actor in the metadata of what a part of the product, or an operator, appends."""
    return f"{kind}:{identifier}"
