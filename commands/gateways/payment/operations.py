"""What a payment provider can be asked, whichever it is."""

from typing import Protocol

from commands.payment_outcomes import Outcome, ProviderRequest


class Operation(ProviderRequest, frozen=True, kw_only=True):
    """A request to a provider: hold by a `method`; or capture, release or refund of what is held under `reference`."""

    method: str = ""
    reference: str = ""


class Psp(Protocol):
    """A payment provider. It does at most one thing for each key, and knows for ever what came of it."""

    async def find(self, operation: Operation) -> Outcome | None:
        """What came of an operation, by its key; None if the provider is certain that it never had the key.

        Raises:
            GatewayError: it does not say.
        """
        ...

    async def perform(self, operation: Operation) -> Outcome:
        """Have it done; under a key that the provider knows it does nothing, and answers the same.

        Raises:
            GatewayError: it does not say whether it did.
        """
        ...

    async def cancel(self, operation: Operation) -> Outcome:
        """Have an authorisation given up that the buyer has not confirmed; what it came to in the end.

        Raises:
            GatewayError: it does not say.
        """
        ...
