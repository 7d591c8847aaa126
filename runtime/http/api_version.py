"""The version of both APIs, as every documented path begins."""

from typing import Final

PREFIX: Final = "/v1"
"""What every documented path begins with; probes, documents and problem pages stand outside."""

BY_STANDARD: Final = ("/oauth/",)
"""What addresses begin with whose form is that of a standard: they have no version of ours."""
