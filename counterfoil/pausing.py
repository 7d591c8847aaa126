"""`counterfoil pause` and `counterfoil resume`: a consumer or a view that does nothing for a while."""

from counterfoil.acts import requesting
from counterfoil.acts.requesting import ActsClient


def pause(asked: ActsClient, consumer: str, *, reason: str = "") -> str:
    """Have a consumer, or the workers of a view, do nothing until it is resumed.

    Raises:
        Refused: there is none of this name.
        NotDone: nobody carried it out in time.
    """
    return requesting.act(asked, "pause_consumer", consumer, reason=reason).outcome


def resume(asked: ActsClient, consumer: str, *, reason: str = "") -> str:
    """Let it go on.

    Raises:
        Refused, NotDone: see `pause`.
    """
    return requesting.act(asked, "resume_consumer", consumer, reason=reason).outcome
