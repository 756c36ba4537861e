"""AUTO-SPLIT's tables, figures and sections as rows."""

import itertools
import json
import re
from pathlib import Path

import pytest

from tests.support.patience import holds_in_one
from tiersplit_cli.papers.autosplit.evaluation import evaluated, head_up_to
from tiersplit_cli.papers.autosplit.figure_3 import example
from tiersplit_cli.papers.autosplit.figure_4 import held_at
from tiersplit_cli.papers.autosplit.figure_5 import figure_rows
from tiersplit_cli.papers.autosplit.figure_7 import at_split
from tiersplit_cli.papers.autosplit.published import TABLE_2
from tiersplit_cli.papers.autosplit.search import (
    candidates_of,
    chosen,
    frontier,
    intervals,
    most_exact_within,
    outcomes_by_error,
    reached,
)
from tiersplit_cli.papers.autosplit.simulated import simulated
from tiersplit_cli.papers.autosplit.table_2 import head_bytes
from tiersplit_cli.papers.autosplit.table_10 import rows as rows_of_table_10
from tiersplit_cli.papers.autosplit.transmission import measured_rows, table_6
from tiersplit_cli.papers.numbering import convolution_index
from tiersplit_core.cost.problem import MemoryModel
from tiersplit_core.planning.guidelines import Outcome
from tiersplit_core.planning.planner import solve


def test_figure_3_node_2_is_the_best_split_at_4_bits_only() -> None:
    heads = {}
    for quantised, solver in ((False, "qdmp-e"), (True, "autosplit")):
        plan = solve(example(quantised), solver).plan
        assert plan is not None
        heads[quantised] = plan.layers_on("edge")
    assert heads == {False: (), True: ("node 1", "node 2")}


def test_figure_4_the_depthwise_layer_is_run_with_the_outputs_of_layers_2_and_3_in_memory() -> None:
    assert held_at("depthwise", MemoryModel.AUTOSPLIT) == 24 + 72
    assert held_at("sum", MemoryModel.AUTOSPLIT) < held_at("depthwise", MemoryModel.AUTOSPLIT)


SLIPS = {("googlenet", "u4"), ("yolov3_spp", "qdmp")}


@pytest.mark.parametrize("model", TABLE_2)
def test_table_2_counts_weights_and_activations_of_the_heads_that_it_names(model: str) -> None:
    on, paper = simulated(model), TABLE_2[model]
    index = convolution_index(on.graph)
    printed = {
        "autosplit": (paper.split, paper.bits, paper.size),
        "qdmp": (paper.qdmp_split, 16, paper.qdmp),
        "u4": (paper.qdmp_split, 4, paper.qdmp_u4),
    }
    for what, (split, bits, size) in printed.items():
        found = evaluated(on, head_up_to(on, index, split), bits, bits).memory_bytes / 2**20
        assert (found == pytest.approx(size, rel=0.075)) is ((model, what) not in SLIPS), (what, found)


@pytest.mark.parametrize(("model", "split", "bits", "size"), [("googlenet", 18, 2, 0.44), ("yolov3_spp", 33, 8, 13.3)])
def test_table_2_s_slips_have_the_printed_sizes_in_their_other_reading(
    model: str, split: int, bits: int, size: float
) -> None:
    assert head_bytes(model, split, bits) / 2**20 == pytest.approx(size, rel=0.075)


def test_yolov3_s_qdmp_split_of_table_2_is_slower_than_the_cloud_once_routes_are_sent() -> None:
    (row,) = (row for row in figure_rows() if row.id == "autosplit/figure-5/yolov3/QDMP")
    shares = [float(share) / 100 for share in re.findall(r"([\d.]+)%", row.note)]
    with_routes, without = shares
    assert with_routes > 1 > without


def test_a_latency_is_reached_from_the_error_of_the_first_answer_that_has_it() -> None:
    found = frontier("resnet18")
    middle = found[len(found) // 2]
    assert most_exact_within(found, middle.objective_s) is middle
    assert reached(found, middle.distortion, middle.objective_s) == "from E = 1 D(U8)"
    assert reached(found, 1.0, found[0].objective_s / 2) == "at no E"


def test_outcomes_by_error_leave_no_threshold_out() -> None:
    words = outcomes_by_error(frontier("resnet18"), simulated("resnet18").error_of(8))
    ends = [tuple(span.split(", ")) for span in re.findall(r"\[([^)]*)\)", words)]
    assert {low for low, _ in ends} - {high for _, high in ends} == {"0"}
    assert {high for _, high in ends} - {low for low, _ in ends} == {"∞"}


def test_at_no_error_the_answer_is_cloud_only_and_more_error_is_never_slower() -> None:
    found = frontier("resnet18")
    assert intervals(found)[0].outcome is Outcome.CLOUD_ONLY
    assert (found[-1].distortion, found[-1].objective_s) == (0.0, pytest.approx(simulated("resnet18").cloud_only_s))
    assert all(a.objective_s <= b.objective_s and a.distortion > b.distortion for a, b in itertools.pairwise(found))


def test_the_edge_runs_layers_at_the_paper_s_widths_alone() -> None:
    able = [bool(layer.variants) for layer in simulated("resnet18").problem.layers]
    for found in candidates_of("resnet18"):
        assert all(found.choice[i] > 0 for i in found.split.members if able[i])


@pytest.mark.parametrize("model", ["resnet18", "mobilenet_v2"])
def test_auto_split_is_no_slower_than_every_method_that_may_err_as_much(model: str) -> None:
    on, error = simulated(model), chosen(model).distortion
    best = chosen(model).objective_s
    assert error <= on.error_of(6)
    assert best <= min(on.cloud_only_s, on.solved("u6").objective_s, on.solved("u8").objective_s)


def test_one_bit_on_the_link_changes_what_is_sent_and_nothing_else() -> None:
    eight, one = at_split(14, 8, 8), at_split(14, 8, 1)
    assert (eight.memory_bytes, eight.sent_elements) == (one.memory_bytes, one.sent_elements)
    assert eight.seconds - one.seconds == pytest.approx(eight.sent_elements * 7 / 3e6, rel=1e-3)


def test_table_10_prints_the_paper_s_difference_beside_that_of_its_own_volumes() -> None:
    found = {row.id: (row.paper, row.ours) for row in rows_of_table_10()}
    assert found["autosplit/10/layer4.2.conv3/difference"] == ("-5076", "-50176")


def test_table_10_s_indices_and_choices_are_the_paper_s() -> None:
    rows = [row for row in rows_of_table_10() if row.id.endswith("/index") or "/fastest/" in row.id]
    assert len(rows) == 5 + 2
    assert [row.id for row in rows if row.ours.split(":")[0] != row.paper] == []


def test_both_orders_of_packing_are_faster_than_the_paper_s() -> None:
    def measured() -> bool:
        return all(float(row.ours.split()[0]) < float(row.paper.split()[0]) for row in table_6())

    assert holds_in_one(measured)


def test_rows_of_the_transmission_benchmark_are_read_with_the_paper_s_values(tmp_path: Path) -> None:
    measured = [
        {"what": "table 4, picture: RPC over socket (paper: 3566)", "measured": 12.5, "unit": "×"},
        {"what": "table 7, picture as zstd", "measured": 2, "unit": "×"},
        {"what": "encode 4 bits", "measured": 3, "unit": "GB/s"},
    ]
    results = tmp_path / "results.json"
    results.write_text(json.dumps({"transmission": {"rows": measured}}))
    (row,) = measured_rows("4", results)
    assert (row.quantity, row.paper, row.ours) == ("picture: RPC over socket", "3566", "12.5 ×")
    assert [row.paper for row in measured_rows("7", results)] == ["not printed"]


def test_without_a_benchmark_s_results_the_paper_s_rows_stand_alone(tmp_path: Path) -> None:
    rows = measured_rows("4", tmp_path / "results.json")
    assert [(row.paper, row.comparable) for row in rows] == [("3566", False), ("3981", False)]
