"""Print the public names of every module, one per line, read from the source without importing anything."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(
    path for room in ("operator", "services") for path in (ROOT / room).iterdir() if (path / "__init__.py").exists()
)


def names_of(source: str) -> set[str]:
    """Names that a module defines itself (or lists in `__all__`), without a leading underscore."""
    found: set[str] = set()
    for node in ast.parse(source).body:
        found.update(_defined(node))
    return {name for name in found if not name.startswith("_")}


def _defined(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id
    elif isinstance(node, ast.TypeAlias if sys.version_info >= (3, 12) else ()):
        yield node.name.id
    elif isinstance(node, ast.Assign):
        targets = [target.id for target in node.targets if isinstance(target, ast.Name)]
        yield from targets
        if targets == ["__all__"]:
            yield from ast.literal_eval(node.value)


def module_name(package: Path, path: Path) -> str:
    """`tiersplit_core.graph.ir` for its file."""
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def main() -> None:
    """Print every public name, sorted."""
    lines = set()
    for package in PACKAGES:
        for path in package.rglob("*.py"):
            if "_pb2" not in path.name:
                module = module_name(package, path)
                lines.update(f"{module}.{name}" for name in names_of(path.read_text()))
    print("\n".join(sorted(lines)))


if __name__ == "__main__":
    main()
