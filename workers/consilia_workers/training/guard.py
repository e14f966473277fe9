"""The border to the data scientist's code: what it raises becomes an error that names the function."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from consilia.errors import ConsiliaError, TaskError

_P = ParamSpec("_P")
_R = TypeVar("_R")


def guarded(name: str, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Call a function of the task.

    Raises:
        TaskError: it failed; the original error is the cause, with its traceback.
    """
    try:
        return function(*args, **kwargs)
    except ConsiliaError:
        raise
    except (Exception, SystemExit) as error:  # a script's sys.exit() would end the hospital's part without a word
        raise TaskError(f"the task's {name} failed: {type(error).__name__}: {error}") from error
