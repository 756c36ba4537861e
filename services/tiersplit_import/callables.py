"""Finding the user's own code: a callable that `module:callable` names."""

import hashlib
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


def code_digest(text: str, function: Callable[..., Any]) -> str:
    """Digest of the files of the module that is named and of the one that `function` is from; what they import is not.

    Args:
        text: `module:callable`.
        function: the callable that it names.
    """
    names = {text.partition(":")[0], str(getattr(function, "__module__", ""))}
    found = hashlib.sha256()
    for name in sorted(names & sys.modules.keys()):
        file = getattr(sys.modules[name], "__file__", None)
        found.update(name.encode() + b"\0" + (Path(file).read_bytes() if file and Path(file).is_file() else b""))
    return f"sha256:{found.hexdigest()}"
