"""Values that are as good as typed on the command line: text, paths, names of choices, and what is left out.

Typer converts every value with pydantic. Importing that takes longer than most plans, so the values that need no
check are taken here, and all others (numbers, mistakes) are left to Typer.
"""

from collections.abc import Callable
from enum import EnumType
from pathlib import Path
from typing import Any, get_args, get_origin

import typer
from typer.core import TyperArgument, TyperOption


class _Option(TyperOption):
    def process_value(self, ctx: Any, value: Any) -> Any:
        return _processed(self, value, lambda: super(_Option, self).process_value(ctx, value))


class _Argument(TyperArgument):
    def process_value(self, ctx: Any, value: Any) -> Any:
        return _processed(self, value, lambda: super(_Argument, self).process_value(ctx, value))


def take_plain_values(command: Any) -> None:
    """Let the parameters of a command, its --help included, take plain values without Typer's conversion."""
    for parameter in command.get_params(typer.Context(command)):
        # Typer makes the parameters itself and has no setting for their classes.
        parameter.__class__ = _Option if isinstance(parameter, TyperOption) else _Argument


def plain_value(value: Any, annotation: Any) -> Any:
    """What a command gets for `value`, or None where it takes Typer to say.

    Args:
        value: as typed (text, or a sequence of it), or a parameter's default.
        annotation: the parameter's type.
    """
    if get_origin(annotation) is list:
        (of,) = get_args(annotation)
        plain = [plain_value(item, of) for item in value]
        return None if None in plain else plain
    if isinstance(value, annotation):
        return value
    if annotation is Path:
        return Path(value)
    if isinstance(annotation, EnumType):
        choices: dict[str, Any] = dict(annotation.__members__)
        return next((choice for choice in choices.values() if choice.value == value), None)
    return None


def _processed(parameter: TyperOption | TyperArgument, value: Any, convert: Callable[[], Any]) -> Any:
    if value is None and not parameter.required:
        return None
    if value is None or parameter.callback is not None:
        return convert()
    plain = plain_value(value, parameter.type_descriptor.annotation)
    return convert() if plain is None else plain
