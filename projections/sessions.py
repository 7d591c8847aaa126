"""Sessions of a worker: each connects and works until something ends it, and an outage is followed by another one."""

import random
import threading
from typing import Final, Protocol

import psycopg
import structlog

from event_store.transport import GenerationEnded, TransportUnavailable

RETRY_FIRST_S: Final = 0.1
RETRY_MAX_S: Final = 5.0
"""Pauses after a failed session: doubled up to the second, with jitter, without end."""

log = structlog.get_logger()


class Session(Protocol):
    """What can be run again and again; `worked` says whether the last run got as far as working."""

    worked: bool

    def run(self) -> None:
        """Connect and work; return when told to stop."""


def repeat(session: Session, *, stop: threading.Event) -> None:
    """Run sessions until `stop` is set. Outages of Postgres or of the transport are waited out.

    Raises:
        Whatever else a session raises: it would happen again.
    """
    pause_s = RETRY_FIRST_S
    while not stop.is_set():
        try:
            session.run()
        except GenerationEnded as ended:
            log.info("projections_generation_ended", reason=str(ended))
        except (psycopg.Error, TransportUnavailable) as error:
            pause_s = RETRY_FIRST_S if session.worked else min(RETRY_MAX_S, pause_s * 2)
            log.warning("projections_interrupted", reason=str(error), pause_s=pause_s)
            stop.wait(pause_s * random.uniform(0.5, 1.0))
