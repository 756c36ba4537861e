"""`python -m tests.cluster up|down|status|kubeconfig|…`: the test cluster from the command line."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from tests.cluster import cluster, faults, kwok, links, processes, status
from tests.cluster.layout import NODES, ClusterError, kubeconfig, uses_existing_cluster
from tests.cluster.programs import binary

Command = Callable[[argparse.Namespace], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 1 where it failed, with the reason on stderr."""
    asked = _parser().parse_args(arguments)
    try:
        asked.run(asked)
    except ClusterError as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _command(commands, "up", "bring the cluster up, or what of it does not run", _up)
    _command(commands, "down", "end the cluster and leave nothing of it running", _down)
    _command(commands, "status", "what runs, on which node, with how much memory", lambda _: print(status.report()))
    _command(commands, "kubeconfig", "the path of the administrator's kubeconfig", lambda _: print(kubeconfig()))
    link = _command(commands, "link", "shape the link between two nodes, both ways unless --one-way", _link)
    link.add_argument("nodes", metavar="SOURCE:TARGET", help=f"two of {', '.join(node.name for node in NODES)}")
    link.add_argument("bandwidth", help="for example 2mbit; `off` stops shaping")
    link.add_argument("--one-way", action="store_true", help="shape what SOURCE sends alone")
    _fault(commands, "stop", "end a component, which `start` starts again", faults.stop, "component")
    _fault(commands, "start", "start a stopped component", faults.start, "component")
    _fault(commands, "cut", "cut a node from everything", faults.cut, "node")
    _fault(commands, "heal", "connect a cut node again", faults.heal, "node")
    _fault(commands, "crash", "end a node with all that runs on it", faults.crash, "node")
    _fault(commands, "boot", "start a crashed node again", faults.boot, "node")
    fake = _command(
        commands, "kwok", "have this many nodes that only pretend to run pods", lambda a: kwok.scale(a.count)
    )
    fake.add_argument("count", type=int, help="0 ends kwok")
    enter = _command(commands, "enter", "run a command inside a node", _enter)
    enter.add_argument("node")
    enter.add_argument("command", nargs=argparse.REMAINDER)
    kubectl = _command(commands, "kubectl", "kubectl of the cluster's version, as its administrator", _kubectl)
    kubectl.add_argument("arguments", nargs=argparse.REMAINDER)
    return parser


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, help_: str, run: Command
) -> argparse.ArgumentParser:
    made = commands.add_parser(name, help=help_)
    made.set_defaults(run=run)
    return made


def _fault(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    help_: str,
    run: Callable[[str], None],
    of: str,
) -> None:
    _command(commands, name, help_, lambda asked: run(asked.what)).add_argument("what", metavar=of.upper())


def _up(_: argparse.Namespace) -> None:
    if uses_existing_cluster():
        print(f"cluster: using the one that KUBECONFIG names, {kubeconfig()}", file=sys.stderr)
        return
    cluster.up()
    print(status.report())


def _down(_: argparse.Namespace) -> None:
    if uses_existing_cluster():
        raise ClusterError(
            "KUBECONFIG names a cluster that this harness did not make; unset it to end the test cluster"
        )
    cluster.down()


def _link(asked: argparse.Namespace) -> None:
    source, _, target = asked.nodes.partition(":")
    if asked.bandwidth == "off":
        links.clear_link(source, target, both_ways=not asked.one_way)
    else:
        links.set_link(source, target, links.parse_bandwidth(asked.bandwidth), both_ways=not asked.one_way)


def _enter(asked: argparse.Namespace) -> None:
    words = asked.command or ["bash"]
    entering = processes.entering(asked.node)
    os.execvp(entering[0], [*entering, *words])


def _kubectl(asked: argparse.Namespace) -> None:
    program = binary("kubectl")
    os.execv(program, [str(program), f"--kubeconfig={kubeconfig()}", *asked.arguments])


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        sys.exit(main())
