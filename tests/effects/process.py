"""What the roles of a campaign wait for less long than a shop does, and the fault that is planted in them, if any."""

from commands.gateways import outside, sending
from commands.gateways.payment import charging
from commands.gateways.sending import Sender
from event_store.consumers import lease
from tests.effects import planting

TAKEOVER_S = 0.6
ANSWER_S = 1.5
"""Less than what is late takes."""


def prepare(planted: tuple[str, ...] = ()) -> None:
    """Called in the process of each role before its command."""
    lease.TAKEOVER_AFTER_S, lease.RENEW_EVERY_S = TAKEOVER_S, TAKEOVER_S / 5
    outside.ANSWER_TIMEOUT_S = ANSWER_S
    sending.RETRY_MAX_S = 1.0
    charging.ASK_AGAIN_S = 0.2
    for fault in planted:
        planting.FAULTS[fault](Sender)
