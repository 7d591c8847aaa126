"""The limits of the command API, in one place, with their units."""

from typing import Final

BODY_BYTES_MAX: Final = 1024 * 1024
"""Bytes in the body of one command: an order of 2,000 lines has about 200,000."""

BATCH_BYTES_MAX: Final = 8 * 1024 * 1024
"""Bytes in the body of one batch."""

BATCH_COMMANDS_MAX: Final = 500
"""Commands in one batch."""

BODY_TIMEOUT_S: Final = 10.0
"""Time in which a body must have arrived."""

KEY_CHARACTERS_MAX: Final = 255
"""Visible ASCII characters in an idempotency key."""

ATTEMPTS_MAX: Final = 10
"""How often a command is decided before it gives up against faster writers."""

RETRY_PAUSE_MAX_S: Final = 0.02
"""Longest random pause before deciding again, so that two processes that collided do not collide again."""

STATES_MAX: Final = 50_000
"""Folded states that one process keeps; each takes well below a kilobyte."""

READ_ROUNDS_MAX: Final = 16
"""How often one decision may read something that is not loaded yet; one that names what it needs takes one."""

TAGGED_EVENTS_MAX: Final = 10_000
"""Events that one reading by tag folds."""

LOADS_MAX: Final = 4
"""Queries that load streams at the same time; what is asked for meanwhile shares the next one."""

LOAD_STREAMS_MAX: Final = 2_000
"""Streams that one such query asks for at most, unless a single command needs more."""

LOAD_ATTEMPTS_MAX: Final = 3
"""How often a load is tried: after a restart of the database every pooled connection has to break once."""

READ_TIMEOUT_S: Final = 5.0
"""Time in which the log must have answered a question; a connection that did not is given up."""

POLL_PERIOD_S: Final = 1.0
"""How often epoch and topic generation are polled."""

POLL_SILENCE_MAX_S: Final = 5.0
"""Without an answer from the log for this long after it was asked, a process is not ready and refuses commands."""

EVENT_TYPES_SINCE_MAX: Final = 20
"""Events that the answer to a failed If-Match names."""

SETTLING_CALLERS_MAX: Final = 200
"""Callers that wait for their commands to be settled at the same time; others get what is known at once."""
