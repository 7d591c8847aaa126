"""Parts of the repository that production leaves out: servers for development, and examples.

They are a distribution of their own (docs/adr/0057-what-production-leaves-out.md). `require` stands before each import.
"""

import importlib
from typing import Final

from counterfoil.user_messages import UserError

DISTRIBUTION: Final = "counterfoil-devservers"


class NotInstalled(UserError):
    """A command needs a part that this installation does not have."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} is no part of a production installation: install {DISTRIBUTION}, or run from a checkout of the"
            " repository after `make install`"
        )


def require(package: str, *, what: str) -> None:
    """Make sure that a package can be imported; `what` names in the error what needs it.

    Raises:
        NotInstalled: it is not there.
    """
    try:
        importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name is None or not (package + ".").startswith(error.name + "."):
            raise  # it is there, and lacks something else
        raise NotInstalled(what) from None
