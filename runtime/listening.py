"""What keeps a process from listening where it is to."""

import contextlib
import os
from collections.abc import Iterator


class CannotListen(Exception):
    """The port is taken, or the host is none of this machine's; the text says where, and why."""


@contextlib.contextmanager
def listening_at(host: str, port: int) -> Iterator[None]:
    """What binds a socket to this address.

    Raises:
        CannotListen: instead of the system's error, which names no address.
    """
    try:
        yield
    except OSError as error:
        # A name that does not resolve has a negative number, which is none of the system's.
        number = error.errno or 0
        reason = os.strerror(number) if number > 0 else error.strerror
        raise CannotListen(
            f"nothing can listen at {host}:{port}: {reason}: choose another host or port"
        ) from error
