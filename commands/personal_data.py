"""Personal data in a command: sealed before anything is decided, so that a decision and the log have ciphertext only.

A payload says of a personal member what it is (`Annotated[Name, PERSONAL]`), the route has it sealed, and
the decision gets `Sealed` values under the names of the fields of its events:

    customer_id = CustomerId(body.customer_id or caller.new_id())
    sealed = await caller.personal.seal(CUSTOMER.stream(customer_id), {"name": body.name, "phone": body.phone})

    def decide(customer: Customer | None, _: DecisionView) -> list[Event]:
        return register(customer, name=sealed.get("name"), phone=sealed.get("phone"), …)

    return await caller.execute(CUSTOMER, customer_id, decide)

A value opens in the stream and under the name that it was sealed for, so the row that shows it is of that stream and
its field has that name. Where another stream holds data of a customer, such as an order, the key is the customer's, and
an erasure of the customer erases it there as well; who buys without being registered is a subject of their own:

    sealed = await caller.personal.seal(ORDER.stream(order_id), {"email": body.email}, subject=CUSTOMER.stream(…))

Such a decision relies on the customer being there (`domain.customers.customer.require_active` on
`view.current(CUSTOMER, customer_id)`), so that nothing is recorded under a key that is being destroyed. Its event
carries `domain.ids.customer_tag`, by which the export finds it, and the sweep of keys that no event uses.

A refused or repeated command may leave a key that no event uses; it is swept.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from domain.ids import KeyedHash
from domain.sealed import KeyId, Sealed
from runtime.keyring.errors import KeyringError, NoKeyDatabase
from runtime.keyring.keyring import Keyring
from runtime.problems import ProblemError

PROBLEMS: Final = ("no-key-database", "keys-unavailable")
"""What a command that takes personal data may meet besides what others do: `problems=` of its route."""


KeysOfAddress = Callable[[str], Awaitable[Sequence[str]]]
"""The keys that the vault has the address of an account sealed under."""


class PersonalData:
    """Seals for the commands of one process; None: no setting says where the data keys are."""

    def __init__(self, keyring: Keyring | None, keys_of_address: KeysOfAddress | None = None) -> None:
        self._keyring = keyring
        self._keys_of_address = keys_of_address

    async def seal(
        self, stream: str, values: Mapping[str, str | None], *, subject: str | None = None
    ) -> dict[str, Sealed]:
        """Values by the names of their fields, sealed for a stream; what is None is left out.

        The key is that of `subject`, the stream of who it is about; of the stream itself where none is named.

        Raises:
            ProblemError: `no-key-database`, `keys-unavailable`: nothing personal is taken, or not now.
        """
        given = {field: value for field, value in values.items() if value is not None}
        if not given:
            return {}
        keyring = self._require()
        try:
            found = await keyring.seal(subject or stream, given, stream=stream)
        except KeyringError as error:
            raise _unavailable() from error
        return {
            field: Sealed(KeyId(each.key_id), each.nonce, each.ciphertext) for field, each in found.items()
        }

    async def email_digest(self, address: str) -> KeyedHash:
        """The keyed hash by which an address is found; two spellings of it have the same.

        Raises:
            ProblemError: as `seal`.
        """
        keyring = self._require()
        try:
            return KeyedHash(await keyring.lookup_digest("email", address))
        except KeyringError as error:
            raise _unavailable() from error

    async def key_of(self, subject: str) -> KeyId:
        """The key of a subject, which gets one if it has none: what is sealed later is sealed under the same.

        Raises:
            ProblemError: as `seal`.
        """
        keyring = self._require()
        try:
            return KeyId(await keyring.key_of(subject))
        except KeyringError as error:
            raise _unavailable() from error

    async def keys_of_address(self, account_id: str) -> Sequence[KeyId]:
        """The keys that the address is sealed under with which an account logs in; none where nobody does.

        Raises:
            ProblemError: `store-unavailable`: the vault does not answer.
        """
        found = () if self._keys_of_address is None else await self._keys_of_address(account_id)
        return [KeyId(each) for each in found]

    def _require(self) -> Keyring:
        if self._keyring is None:
            raise ProblemError("no-key-database", f"{NoKeyDatabase()}.")
        return self._keyring


def _unavailable() -> ProblemError:
    return ProblemError("keys-unavailable", "The data keys cannot be read at the moment. Nothing was done.")


NOT_CONFIGURED: Final = PersonalData(None)
"""Where no setting says where the data keys are."""
