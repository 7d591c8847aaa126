"""`counterfoil processes` with shorter waits, and with a planted fault if one is named.

`python -m tests.effects.process [FAULT]`; settings come from the environment, as always.
"""

import sys

from commands.gateways import outside, sending
from commands.gateways.payment import charging
from commands.gateways.sending import Sender
from counterfoil import hosting
from event_store.consumers import lease
from runtime.settings import Settings
from tests.effects import planting

TAKEOVER_S = 0.6
ANSWER_S = 0.8


def main() -> None:
    lease.TAKEOVER_AFTER_S, lease.RENEW_EVERY_S = TAKEOVER_S, TAKEOVER_S / 5
    outside.ANSWER_TIMEOUT_S = ANSWER_S
    sending.RETRY_MAX_S = 1.0
    charging.ASK_AGAIN_S = 0.2
    for fault in sys.argv[1:]:
        planting.FAULTS[fault](Sender)
    hosting.processes(Settings.load())


if __name__ == "__main__":
    main()
