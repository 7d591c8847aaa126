"""Reading much of the log while others append: a pause after each piece of work, as long as the head moves.

A low priority is not enough. It holds for this process, not for the backend of Postgres that works for it.
"""

import time
from collections.abc import Callable
from typing import Final

from event_store.log import reading

CHECK_EVERY_S: Final = 0.25
"""How old the answer to the question whether anybody appends may be."""
PAUSES_PER_WORK: Final = 3.0
"""Length of a pause, as a multiple of the work before it: a quarter of the time is worked."""
PAUSE_S_MAX: Final = 0.5


class Pace:
    """Pauses between pieces of work while somebody appends; none while nobody does."""

    def __init__(
        self,
        head: Callable[[], int],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Begin to work now.

        Args:
            head: the log's last position; asked at most every `CHECK_EVERY_S`.
            clock: seconds that never go back.
            sleep: waits so many seconds.
        """
        self._head = head
        self._clock = clock
        self._sleep = sleep
        self._position = head()
        self._moving = False
        self._checked = self._resumed = clock()

    def give_way(self) -> None:
        """A piece of work has ended: pause if the head has moved lately."""
        now = self._clock()
        if now - self._checked >= CHECK_EVERY_S:
            before, self._position = self._position, self._head()
            self._moving = self._position != before
            self._checked = now
        if self._moving:
            self._sleep(min(PAUSE_S_MAX, PAUSES_PER_WORK * (now - self._resumed)))
        self._resumed = self._clock()


def of_log(connection: reading.Connection) -> Pace:
    """The pace for a log, asked about on a connection that nothing else uses (autocommit)."""
    return Pace(lambda: reading.head(connection).position)
