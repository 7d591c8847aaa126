"""Errors that a consumer raises for its driver; every other error is retried with backoff.

Errors:
    OpenAgain      nothing failed: close what is open and open it again, soon
    FinalError     trying again cannot help: the process ends
"""


class OpenAgain(Exception):
    """The step is at its end, or needs something that is missing yet; the text says why."""


class FinalError(Exception):
    """Only an operator, or another version of the program, can change what this error is about."""
