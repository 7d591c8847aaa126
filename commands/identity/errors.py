"""What goes wrong with the vault itself; refusals of callers are problems.

IdentityError
├── SecretsFileError   the file of secrets is missing, readable by others, or no such file
├── OtherSecrets       the vault was begun with another file
└── WeakPassword       a password that is refused; the text says why
"""


class IdentityError(Exception):
    """Accounts cannot be served; the text is for the operator and names what to do."""


class SecretsFileError(IdentityError):
    """The file of secrets cannot be used."""


class OtherSecrets(IdentityError):
    """The vault was begun with another file of secrets."""


class WeakPassword(IdentityError):
    """The password is refused."""
