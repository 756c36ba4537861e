"""The demo's report: one self-contained HTML page with the timeline of a run that adapted."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class BandwidthPoint:
    """The links' bandwidths from `at_s` on; `bandwidth_bps` per link name, 0 where the link is down."""

    at_s: float
    bandwidth_bps: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class PlanBand:
    """The plan that served from `start_s` to `end_s`; `label` is short (`edge 5 | cloud 7`), `why` a sentence."""

    start_s: float
    end_s: float
    label: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class LatencyPoint:
    """The latency of the request that was sent at `at_s`; None where it could not have been served."""

    at_s: float
    latency_s: float | None


@dataclass(frozen=True, slots=True)
class LatencyLine:
    """One way to serve the same requests: a baseline such as `edge-only`, or `oracle`.

    Attributes:
        name: `edge-only`, `cloud-only`, `best fixed split`, `oracle`.
        points: in order of time.
        mean_s: the mean over the trace; None where not every request could have been served.
        served: the share of the requests that could have been served.
    """

    name: str
    points: tuple[LatencyPoint, ...]
    mean_s: float | None
    served: float = 1.0


@dataclass(frozen=True, slots=True)
class MoveRow:
    """One change of plan: when, from where to where, why, and how long it took until the new plan answered."""

    at_s: float
    source: str
    target: str
    reason: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class DemoReport:
    """All that the report shows. Times are seconds since the first request.

    Attributes:
        title: heading of the page.
        subtitle: one sentence: the model, its data and the tiers.
        facts: short facts for the head of the page, in order: what -> value, such as `machine` or `model`.
        tiers: the tiers' names in order.
        bandwidth: the trace that was played.
        plans: the plans that served, one band after the other.
        requests: every request of the adapting deployment; `latency_s` None where one was lost.
        lines: baselines and the oracle over the same trace.
        moves: every change of plan.
        mean_s: mean latency of the adapting deployment.
        accuracy: share of right answers through the split model.
        whole_accuracy: share of right answers of the unsplit model on the same images.
        sent: requests sent.
        lost: requests without an answer.
        wrong: answers that differ from the unsplit model's.
    """

    title: str
    subtitle: str
    facts: Mapping[str, str]
    tiers: tuple[str, ...]
    bandwidth: tuple[BandwidthPoint, ...]
    plans: tuple[PlanBand, ...]
    requests: tuple[LatencyPoint, ...]
    lines: tuple[LatencyLine, ...]
    moves: tuple[MoveRow, ...]
    mean_s: float
    accuracy: float
    whole_accuracy: float
    sent: int
    lost: int
    wrong: int


def write_demo_report(path: Path, data: DemoReport) -> None:
    """Write the page atomically; it needs no other file and no network.

    Args:
        path: the `.html` file to write.
        data: what happened.
    """
    from tiersplit_cli.explain.page import write_page  # noqa: PLC0415 - matplotlib is slow to import
    from tiersplit_cli.explain.timeline import timeline_page  # noqa: PLC0415

    write_page(path, timeline_page(data))
