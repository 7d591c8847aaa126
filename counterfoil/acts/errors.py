"""Why an act of an operator did not come about.

UserError
├── Refused    nothing was appended: an API or the log refuses it, or does not answer
└── NotDone    it was appended, and failed or was not carried out in time
"""

from counterfoil.user_messages import UserError


class Refused(UserError):
    """The act was refused, or nobody answers; the text says why."""


class NotDone(UserError):
    """What was asked for did not come about; the text says why."""
