"""Faults to be planted in the roles of a campaign: each of them has to be found by a checker."""

from msgspec.structs import replace


def key_from_position(sender):
    """The key names where the intent stands, so a restored log asks under another one."""
    sending = sender._sending

    def planted(self, event):
        found = sending(self, event)
        found.key = f"{found.key.rpartition(':')[0]}:{event.position}"
        return found

    sender._sending = planted


def blind(sender):
    """What was done under the key is never asked."""
    called = sender._called

    async def planted(self, name, call, sending):
        return None if name == "find" else await called(self, name, call, sending)

    sender._called = planted


def passing(sender):
    """The checkpoint passes what has no answer yet."""
    from event_store.consumers.backlog import Progress

    Progress.reached = property(lambda self: self.read)


def new_key_each_try(sender):
    """Each try has a key of its own."""
    called = sender._called

    async def planted(self, name, call, sending):
        tried = replace(sending, key=f"{sending.key}{sending.tries or ''}")
        return await called(self, name, call, tried)

    sender._called = planted


def believing(sender):
    """No answer is taken for a refusal."""
    from commands.gateways.gateway import NoAnswer, Refused

    called = sender._called

    async def planted(self, name, call, sending):
        try:
            return await called(self, name, call, sending)
        except NoAnswer:
            return None if name == "find" else Refused("it did not answer")

    sender._called = planted


def one_more(_sender):
    """The payments ledger books a minor unit too many on one side."""
    from projections.payments import ledger

    minor = ledger.Minor
    ledger.Minor = lambda amount: minor(amount + (amount > 0))


FAULTS = {
    each.__name__: each for each in (key_from_position, blind, passing, new_key_each_try, believing, one_more)
}
