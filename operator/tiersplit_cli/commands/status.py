"""`tiersplit status`: what a running deployment does."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tiersplit_cli.output import Format, OutputOption, emit

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

_SHOWN_HISTORY = 6


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status")(status)


def status(
    name: Annotated[str | None, typer.Argument(help="The deployment; not needed where one runs.")] = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Show the live plan, links, loads, plans and history of a running deployment."""
    from tiersplit_local.control import ask  # noqa: PLC0415 - --help needs none of this

    value = ask(name, {"status": {}})
    emit(value, output, lambda: table(value))


def table(value: Mapping[str, Any]) -> "Group":
    """A snapshot for people."""
    from rich.console import Group  # noqa: PLC0415

    requests = value["requests"]
    latency = "" if not requests["latency_s"] else f", {_seconds(requests['latency_s'])} each"
    title = f"{value['name']} at {value['head']}: {value['state']}, mode {value['mode']}"
    counts = f"{requests['answered']} answered, {requests['failed']} failed, {requests['rerun']} run again{latency}"
    metrics = ", ".join(f"{tier['name']} {tier['metrics'] or 'none'}" for tier in value["tiers"])
    said = (title, counts, f"metrics: {metrics}")
    return Group(*said, _tiers(value), _links(value), _plans(value), _history(value))


def _seconds(value: float | None) -> str:
    from tiersplit_core.units import format_seconds  # noqa: PLC0415

    return "never" if value is None else format_seconds(value)


def _tiers(value: Mapping[str, Any]) -> "Table":
    from rich.table import Table  # noqa: PLC0415

    from tiersplit_core.units import format_bytes  # noqa: PLC0415

    shown = Table("tier", "layers", "load", "resident", "in flight", "restarts", "state")
    for tier in value["tiers"]:
        state = tier["problem"] or ("serves" if tier["connected"] else "gone")
        resident = f"{len(tier['resident'])} segments, {format_bytes(tier['resident_bytes'])}"
        row = (tier["layers"], f"{tier['load']:.2f}", resident, tier["in_flight"], tier["restarts"], state)
        shown.add_row(tier["name"], *map(str, row))
    return shown


def _links(value: Mapping[str, Any]) -> "Table":
    from rich.table import Table  # noqa: PLC0415

    from tiersplit_core.units import format_bandwidth  # noqa: PLC0415

    shown = Table("link", "set", "estimated", "latency set", "estimated")
    for link in value["links"]:
        bandwidth, estimate = link["set"]["bandwidth_bps"], link["estimate"]
        as_set = "unlimited" if bandwidth is None else "down" if bandwidth == 0 else format_bandwidth(bandwidth)
        seen = "down" if estimate["down"] else format_bandwidth(estimate["bandwidth_bps"])
        latencies = _seconds(link["set"]["latency_s"]), _seconds(estimate["latency_s"])
        shown.add_row(f"{link['from']}:{link['to']}", as_set, seen, *latencies)
    return shown


def _plans(value: Mapping[str, Any]) -> "Table":
    from rich.table import Table  # noqa: PLC0415

    from tiersplit_local.status import quality_text, split_text  # noqa: PLC0415

    shown = Table("plan", "layers", "bits and accuracy", "expected now", "state")
    for plan in sorted(value["plans"], key=lambda plan: (plan["expected_s"] is None, plan["expected_s"])):
        state = "serves" if plan["current"] else "ready" if plan["selectable"] else "not verified"
        quality = quality_text(plan) or "the model's own"
        shown.add_row(plan["digest"][7:19], split_text(plan["layers"]), quality, _seconds(plan["expected_s"]), state)
    return shown


def _history(value: Mapping[str, Any]) -> "Table":
    from rich.table import Table  # noqa: PLC0415

    shown = Table("at", "decision", "plan", "reason")
    for event in value["history"][-_SHOWN_HISTORY:]:
        at = time.strftime("%H:%M:%S", time.localtime(event["at"]))
        shown.add_row(at, event["verdict"], (event["plan"] or "sha256:none")[7:19], event["reason"])
    return shown
