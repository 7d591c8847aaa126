"""What a consumer says to its driver by raising it; everything else it raises is retried with backoff.

Errors:
    OpenAgain      nothing failed: close what is open and open it again, soon
    FinalError     trying again cannot help: the process ends
"""


class OpenAgain(Exception):
    """What was opened has come to its end, or what it needs is not there yet; the text says why."""


class FinalError(Exception):
    """Only an operator, or another version of the program, can change what this error is about."""
