"""Finding the user's own code: a callable that `module:callable` names."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tiersplit_core.errors import ModelError


def find_callable(text: str, what: str, example: str) -> Callable[..., Any]:
    """The callable that `module:callable` names; the working directory counts.

    Args:
        text: `module:callable`.
        what: what the callable should be, in words that follow "not a callable that", for the error.
        example: how such a callable is written.

    Raises:
        ModelError: there is no such module or callable.
    """
    module_name, _, path = text.partition(":")
    if not module_name or not path:
        raise ModelError(f"write MODULE:CALLABLE, as in {example}", text)
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:
        raise ModelError(f"the module {module_name!r} cannot be imported: {error}", text) from error
    for part in path.split("."):
        if not hasattr(found, part):
            raise ModelError(f"{module_name!r} has no {path!r}", text)
        found = getattr(found, part)
    if not callable(found):
        raise ModelError(f"{path!r} is a {type(found).__name__}, not a callable that {what}", text)
    return found  # type: ignore[no-any-return]
