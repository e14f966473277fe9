"""What the API server says no to, as part of Consilia's one tree of errors."""

from consilia.errors import PermanentError, TemporaryError


class ApiUnavailable(TemporaryError):  # noqa: N818 (as one says it)
    """The API server did not answer, or is overloaded: the same may work later."""


class ApiRefused(PermanentError):  # noqa: N818 (as one says it)
    """The API server answered no."""

    def __init__(self, status: int, message: str) -> None:
        """`status` is HTTP's."""
        self.status = status
        super().__init__(message)


class HubLeft(TemporaryError):  # noqa: N818 (as one says it)
    """The hospital has left its hub meanwhile: nothing of what that says is done any more."""


class Conflict(ApiRefused):
    """The object has changed, or exists: look again."""
