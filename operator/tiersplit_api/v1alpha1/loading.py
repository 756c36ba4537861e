"""Reading a manifest: bounded YAML in, a checked SplitDeployment or one clear mistake out."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tiersplit_api.v1alpha1.base import DNS_LABEL_PATTERN, FACTORY_PATTERN, PERCENT_PATTERN, QUANTITY_PATTERN
from tiersplit_api.v1alpha1.defaults import with_defaults
from tiersplit_api.v1alpha1.types import SplitDeployment
from tiersplit_api.v1alpha1.validation import check
from tiersplit_core.errors import ManifestError

MAX_BYTES = 256 * 1024
MAX_NODES = 20_000
MAX_DEPTH = 32
_WRITE = {
    QUANTITY_PATTERN: "a number with k, M, G, T, Ki, Mi, Gi or Ti, as in 10M or 256Mi",
    PERCENT_PATTERN: "a number and a percent sign, as in 1.5%",
    DNS_LABEL_PATTERN: "a lower-case letter, then lower-case letters, digits and -",
    FACTORY_PATTERN: "module:callable, as in torchvision.models:resnet50",
}


class _Loader(yaml.SafeLoader):
    """YAML 1.2's booleans (so that `mode: Off` is a word), no repeated keys, bounded depth and size."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.seen_nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.seen_nodes += 1
        if self.seen_nodes > MAX_NODES:
            raise yaml.YAMLError(f"more than {MAX_NODES} values")
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not taken; write the value out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise yaml.YAMLError(f"line {key.start_mark.line + 1}: {key.value!r} stands twice")
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


_BOOL, _TIME = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in {_BOOL, _TIME}]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOL, re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def load_manifest(path: Path | str) -> SplitDeployment:
    """Read, check and complete the manifest at `path`.

    Raises:
        ManifestError: the file cannot be read, is no YAML, or a field is wrong; says what to write.
    """
    file = Path(path)
    try:
        if file.stat().st_size > MAX_BYTES:
            raise ManifestError(f"the file is larger than {MAX_BYTES} bytes", str(file))
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"cannot be read: {error}", str(file)) from error
    return parse_manifest(text, str(file))


def parse_manifest(text: str, source: str = "manifest") -> SplitDeployment:
    """The same for text; `source` names it in errors.

    Raises:
        ManifestError: as `load_manifest`.
    """
    value = _read_yaml(text, source)
    if not isinstance(value, Mapping):
        raise ManifestError("is no mapping; write apiVersion, kind, metadata and spec", source)
    return resource_from(value)


def resource_from(value: Mapping[str, Any]) -> SplitDeployment:
    """The checked and completed resource in a mapping, such as an API server's answer.

    Raises:
        ManifestError: a field is wrong; says what to write.
    """
    try:
        resource = SplitDeployment.model_validate(value)
    except ValidationError as error:
        raise _first_mistake(error) from error
    check(resource)
    return with_defaults(resource)


def _read_yaml(text: str, source: str) -> Any:
    if len(text.encode()) > MAX_BYTES:
        raise ManifestError(f"is larger than {MAX_BYTES} bytes", source)
    try:
        loader = _Loader(text)
        try:
            return _bounded(loader.get_single_data(), 0)
        finally:
            loader.dispose()
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split()) if not isinstance(error, RecursionError) else "nested too deeply"
        raise ManifestError(f"is no usable YAML: {reason}", source) from error


def _bounded(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise RecursionError
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _bounded(item, depth + 1)
    return value


def _first_mistake(error: ValidationError) -> ManifestError:
    details = error.errors(include_url=False)[0]
    path = field_path(details["loc"])
    context: Mapping[str, Any] = details.get("ctx", {})
    if details["type"] == "unknown_field":
        return ManifestError(details["msg"], f"{path}.{context['field']}" if path else str(context["field"]))
    return ManifestError(_reason(details), path)


def field_path(location: tuple[int | str, ...]) -> str:
    """`("spec", "tiers", 0, "name")` as `spec.tiers[0].name`."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _reason(details: ErrorDetails) -> str:
    given = repr(details["input"])
    shown = given if len(given) <= 60 else given[:57] + "..."
    if details["type"] == "missing":
        return "is missing; write it"
    hint = _WRITE.get(str(details.get("ctx", {}).get("pattern")))
    if hint is not None:
        return f"{shown} does not fit; write {hint}"
    if details["type"] in {"enum", "literal_error"}:
        return f"{shown} is none of them; write {details.get('ctx', {}).get('expected', '')}"
    return f"{shown} does not fit; {details['msg'][:1].lower()}{details['msg'][1:]}"
