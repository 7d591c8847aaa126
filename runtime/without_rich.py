"""structlog without rich, which it imports only to colour tracebacks in a terminal.

Processes write JSON: it would cost each start 40 ms and 10 MB for nothing. What draws a bar imports rich itself, later.
"""

import sys
from typing import cast


def import_structlog() -> None:
    """Import it before anything else does; it takes rich for not installed, and writes tracebacks plainly."""
    if "rich" in sys.modules or "structlog" in sys.modules:
        return
    cast("dict[str, object]", sys.modules)["rich"] = None  # makes its import fail
    try:
        import structlog  # noqa: F401 - for what else imports it
    finally:
        del sys.modules["rich"]
