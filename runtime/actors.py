"""Who acts, in one format: `<kind>:<id>`, with a pseudonymous id."""

from typing import Literal

Kind = Literal[
    "anonymous",
    "guest",
    "account",
    "service",
    "operator",
    "process",
    "timer",
    "sender",
    "application",
    "system",
]
"""What acts: somebody without or with an account, a program, somebody at a terminal, or a part of Counterfoil."""


def actor(kind: Kind, identifier: str = "") -> str:
    """Who acts, as one text: `account:018f…`, or only the kind where there is no id."""
    return f"{kind}:{identifier}" if identifier else kind
