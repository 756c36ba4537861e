"""The commands of the command line, each imported when it is first asked for."""

import importlib
import pkgutil
from collections import UserDict
from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperGroup

from tiersplit_cli import commands
from tiersplit_cli.plain_values import take_plain_values


class Commands(UserDict[str, Any]):
    """Commands by name, one for each module of `tiersplit_cli.commands`; names alone import nothing."""

    def __init__(self) -> None:
        super().__init__()
        # A module whose name would be a keyword ends with an underscore.
        found = sorted(module.name for module in pkgutil.iter_modules(commands.__path__))
        self._modules = {name.rstrip("_"): f"{commands.__name__}.{name}" for name in found}

    def __missing__(self, name: str) -> Any:
        self.data[name] = command = _load(self._modules[name], name)
        return command

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)


class CommandsOnDemand(TyperGroup):
    """A group with the commands of `Commands`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = Commands()
        take_plain_values(self)

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer's signature
        """The names of all commands, in the order in which help shows them."""
        return list(self.commands)


def _load(module: str, name: str) -> Any:
    """The command that a module registers."""
    app = typer.Typer()
    importlib.import_module(module).register(app)
    command = typer.main.get_group(app).commands[name]
    for one in (command, *getattr(command, "commands", {}).values()):
        take_plain_values(one)
    return command
