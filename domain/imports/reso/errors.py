"""Why a feed cannot be read."""

from domain.imports.report import ImportRefusedError


class ResoError(ImportRefusedError):
    """The feed cannot be read. The message is one line for the user and holds no secret.

    Attributes:
        status: the server's HTTP status where it is the reason, else None.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
