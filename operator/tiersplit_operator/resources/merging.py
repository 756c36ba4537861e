"""How a person's part of a pod template joins ours."""

from collections.abc import Mapping, Sequence
from typing import Any

Tree = dict[str, Any]


def merged(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Tree:
    """`ours` with `theirs` laid over it, as a strategic merge does.

    Mappings join field by field. Lists whose items have names join by name, any other list of theirs is appended
    (tolerations, image pull secrets), so that nothing of ours goes missing.
    """
    found: Tree = dict(ours)
    for key, value in theirs.items():
        mine = found.get(key)
        if isinstance(mine, Mapping) and isinstance(value, Mapping):
            found[key] = merged(mine, value)
        elif isinstance(mine, list) and isinstance(value, list):
            found[key] = _joined(mine, value)
        elif value is not None:
            found[key] = value
    return found


def _joined(ours: Sequence[Any], theirs: Sequence[Any]) -> list[Any]:
    if not all(isinstance(item, Mapping) and "name" in item for item in [*ours, *theirs]):
        return [*ours, *(item for item in theirs if item not in ours)]
    by_name: dict[str, Any] = {item["name"]: item for item in ours}
    for item in theirs:
        by_name[item["name"]] = merged(by_name[item["name"]], item) if item["name"] in by_name else item
    return list(by_name.values())
