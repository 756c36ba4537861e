"""What all types of the API share: camelCase names, bounded strings, unknown fields refused with a hint."""

import difflib
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

QUANTITY_PATTERN = r"^[0-9]+(\.[0-9]+)?(k|M|G|T|Ki|Mi|Gi|Ti)?$"
PERCENT_PATTERN = r"^[0-9]+(\.[0-9]+)?%$"
DNS_LABEL_PATTERN = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
FACTORY_PATTERN = r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_.]*$"


def _number_to_text(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Quantity = Annotated[
    str,
    BeforeValidator(_number_to_text),
    StringConstraints(pattern=QUANTITY_PATTERN, max_length=16),
    Field(json_schema_extra={"x-kubernetes-int-or-string": True}),
]
Percent = Annotated[str, StringConstraints(pattern=PERCENT_PATTERN, max_length=8)]
Uri = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
ShortText = Annotated[str, StringConstraints(max_length=253)]
LongText = Annotated[str, StringConstraints(max_length=4096)]
TierName = Annotated[str, StringConstraints(pattern=DNS_LABEL_PATTERN, max_length=16)]
CoreObject = Annotated[
    dict[str, Any], Field(max_length=64, json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})
]
"""A part of a core Kubernetes type, taken over as it stands."""


OFF = "Off"


def off_as_word(value: object) -> object:
    """`mode: Off` without quotes is false to most YAML readers, kubectl's among them: it is meant as the word."""
    return OFF if value is False else value


class ApiModel(BaseModel):
    """A frozen object of the API; keys are the camelCase names of its fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_fields(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or cls.model_config.get("extra") == "allow":
            return value
        known = [field.alias or name for name, field in cls.model_fields.items()]
        for key in value:
            if key not in known:
                raise _unknown_field(str(key), known)
        return value


def _unknown_field(key: str, known: list[str]) -> PydanticCustomError:
    lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(key.lower(), lower, n=1, cutoff=0.5)
    hint = f"write {lower[near[0]]!r}" if near else f"known are {', '.join(sorted(known))}"
    return PydanticCustomError("unknown_field", "there is no such field; {hint}", {"field": key, "hint": hint})
