"""What keeps personal data from being sealed or opened.

KeyringError
├── NoKeyDatabase        no setting says where the data keys are
├── MasterKeyError       the master key is missing, readable by others, or another one
└── KeysUnreachable      the key database does not answer, or nobody knows who was erased lately
"""


class KeyringError(Exception):
    """Personal data can be neither sealed nor opened; the text holds no secret and nothing personal."""


class NoKeyDatabase(KeyringError):
    """No setting says where the data keys are."""

    def __init__(self) -> None:
        super().__init__(
            "COUNTERFOIL_KEYS_DATABASE_URL is not set: without a database of data keys, no personal data is taken"
        )


class MasterKeyError(KeyringError):
    """The master key cannot be used."""


class KeysUnreachable(KeyringError):
    """The data keys, or the list of erasures, cannot be read now."""
