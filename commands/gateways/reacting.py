"""The gateways that carry out each type of intent, for those who follow a command to what came of it."""

from collections.abc import Iterable

from commands.gateways.gateway import Effect, Gateway
from domain import event as domain_event
from event_store.consumers.settling import CausingEvent, ReactingConsumer, ReactingConsumers
from event_store.log import codec


def followers(gateways: Iterable[Gateway]) -> ReactingConsumers:
    """Gateways by the types of their intents, with the keys under which answers are recorded."""
    found: dict[str, list[ReactingConsumer]] = {}
    for gateway in gateways:
        for effect in gateway.effects:
            for type_name in domain_event.type_names_of(effect.intent):
                found.setdefault(type_name, []).append(_of(gateway, effect))
    return found


def _of(gateway: Gateway, effect: Effect) -> ReactingConsumer:
    def key(event: CausingEvent) -> bytes:
        intent = codec.decode(event.type, event.payload)
        return gateway.outcome_key(gateway.key(effect, intent, installation=event.installation))

    return ReactingConsumer(gateway.sender, key, shown=gateway.name, outside=True)
