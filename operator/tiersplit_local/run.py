"""`tiersplit run`: from a manifest to a served, adapting model on this machine."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from tiersplit_api.v1alpha1 import SplitDeployment, load_manifest
from tiersplit_api.v1alpha1.adaptation import ExitMode
from tiersplit_local.controller import check_pin
from tiersplit_local.preparation import prepare
from tiersplit_local.settings import LocalSettings, local_settings
from tiersplit_local.supervisor import RunOptions, Supervisor
from tiersplit_local.workdir import WorkDir

Say = Callable[[str], None]
EXIT_ON_SIGNAL = 128


def run_manifest(
    manifest: Path,
    options: RunOptions,
    *,
    fresh: bool,
    pin: str | None,
    say: Say,
    ready: Say,
    on_tick: Callable[[dict[str, Any]], None],
) -> None:
    """Import, profile, plan, deploy and serve what `manifest` declares, until SIGINT or SIGTERM.

    Args:
        manifest: the SplitDeployment.
        options: how it is started.
        fresh: ignore results of earlier runs.
        pin: digest of a plan that is to serve whatever the policy thinks.
        say: told each step.
        ready: told the head's HOST:PORT once it serves.
        on_tick: told the state about once a second while it serves.

    Raises:
        TiersplitError: the manifest is wrong, or a step failed.
    """
    settings = local_settings(resource := load_manifest(manifest), options.threads)
    if pin is not None:
        settings = replace(settings, intent=replace(settings.intent, pinned=pin))
    work = WorkDir(settings.intent.name)
    with work.locked(), ends_by_signals():
        if fresh:
            work.clear()
        _announce(resource, settings, say)
        prepared = prepare(resource, manifest, settings, work, say)
        settings = replace(settings, intent=check_pin(prepared.catalogue, settings.intent))
        _log_to(work.logs / "controller.log")

        async def serve() -> None:
            # Made inside: a server of grpc belongs to the event loop that runs when it is made.
            await Supervisor(settings, prepared, work, options).run(ready, on_tick)

        asyncio.run(serve())


def _announce(resource: SplitDeployment, settings: LocalSettings, say: Say) -> None:
    for tier, factor in settings.slowdowns.items():
        slower = "at this machine's speed" if factor == 1 else f"{factor:g} times slower than this machine"
        say(f"tier {tier}: a process {slower}")
    if resource.spec.early_exit.mode is ExitMode.AUTO:
        say("earlyExit: this version adds no exits; the whole model answers")


@contextmanager
def ends_by_signals() -> Iterator[None]:
    """Until the event loop takes signals over, SIGINT and SIGTERM end the steps.

    Both are set: a shell that starts a command in the background lets it ignore SIGINT.
    """

    def leave(number: int, _frame: FrameType | None) -> None:
        sys.exit(EXIT_ON_SIGNAL + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _log_to(path: Path) -> None:
    handler = logging.FileHandler(path, mode="w")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger = logging.getLogger("tiersplit.local")
    logger.addHandler(handler)
    logger.setLevel(os.environ.get("TIERSPLIT_LOG", "INFO").upper())
    logger.propagate = False
