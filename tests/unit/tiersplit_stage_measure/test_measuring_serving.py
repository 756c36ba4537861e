"""What serving costs: the sums over what was seen, and once for real."""

import numpy as np
import pytest

from tests.support.patience import holds_in_one
from tiersplit_core.profile.serving import AtHand, ServingProfile
from tiersplit_stage.measure.serving import Seen, costs_of, measure_serving, payload_sizes, profile_of
from tiersplit_stage.measure.settings import Settings
from tiersplit_stage.processors import Quota


def test_without_a_limit_the_parts_sum_to_what_the_client_saw():
    near, far = Seen(0.004, 0.001, 0.0032, 0.0002), Seen(0.007, 0.001, 0.0042, 0.0022)
    costs = costs_of(near, far)
    assert costs.request_s == pytest.approx(near.wall_s)
    assert costs.request_s + costs.send_s + costs.receive_s == pytest.approx(far.wall_s)
    assert costs.receive_s == pytest.approx(2 * costs.send_s)


def test_under_a_limit_the_parts_cost_their_processor_seconds_and_only_what_is_taken_waits():
    near, far = Seen(0.027, 0.001, 0.0032, 0.0002), Seen(0.042, 0.001, 0.0042, 0.0022)
    costs = costs_of(near, far, Quota(0.15, 0.01))
    assert costs.request_s == pytest.approx(0.0015 + (0.003 - 0.0015) / 0.15 + 0.001)
    after_a_rest_s = 0.0015 + (0.002 - 0.0015) / 0.15
    assert (costs.send_s, costs.receive_s) == pytest.approx((0.001, after_a_rest_s))
    assert costs.own == pytest.approx((0.001 + after_a_rest_s) / 0.015)


def test_what_taking_and_receiving_leave_of_a_period_is_at_hand_for_layers():
    near, far = Seen(0.006, 0.001, 0.0032, 0.0002), Seen(0.012, 0.001, 0.0042, 0.0022)
    costs = costs_of(near, far, Quota(0.6, 0.01))
    assert (costs.send_s, costs.receive_s) == pytest.approx((0.001, 0.002))
    assert costs.at_hand == AtHand(0.6, pytest.approx(0.006 - 0.003), pytest.approx(0.006 - 0.002))
    assert costs_of(near, far, Quota(0.15, 0.01)).at_hand == AtHand(0.15, 0.0, 0.0)
    assert costs_of(near, far).at_hand is None


def test_a_limit_of_a_whole_processor_changes_nothing():
    near, far = Seen(0.004, 0.001, 0.0032, 0.0002), Seen(0.0065, 0.001, 0.0042, 0.0022)
    assert costs_of(near, far, Quota(1.0, 0.1)) == costs_of(near, far)


def test_noise_never_makes_a_cost_negative():
    costs = costs_of(Seen(0.005, 0.001, 0.003, 0.001), Seen(0.004, 0.001, 0.002, 0.0))
    assert min(costs.request_s, costs.send_s, costs.receive_s) >= 0


@pytest.mark.parametrize(("sample", "batches"), [(1, (1,)), (3072, (1, 8)), (10**6, (1, 64)), (10**9, (1,))])
def test_payloads_reach_the_models_input_within_bounds(sample, batches):
    sizes = payload_sizes(sample, batches)
    assert list(sizes) == sorted(set(sizes))
    assert 2**20 - 4 <= sizes[-1] <= 4 * 2**20
    assert all(size % 4 == 0 for size in sizes)


def test_a_profile_is_the_line_through_what_the_sizes_cost():
    found = {
        size: (Seen(0.002 + 1e-9 * size, 0.0, 0.002, 0.0), Seen(0.005 + 4e-9 * size, 0.0, 0.004, 0.001))
        for size in (4096, 65536, 2**20)
    }
    profile = profile_of(found, [(size, 0.001 + 2e-9 * size) for size in (100, 4200, 65_600) for _ in range(3)])
    assert (profile.request.fixed_s, profile.request.s_per_byte) == pytest.approx((0.002, 1e-9))
    assert (profile.send.fixed_s, profile.send.s_per_byte) == pytest.approx((0.002, 2e-9))
    assert (profile.receive.fixed_s, profile.receive.s_per_byte) == pytest.approx((0.001, 1e-9))
    assert (profile.receipt.fixed_s, profile.receipt.s_per_byte) == pytest.approx((0.001, 2e-9))


def test_a_profile_tells_what_small_requests_leave_at_hand():
    small, large = Seen(0.006, 0.001, 0.003, 0.0), Seen(0.012, 0.001, 0.009, 0.0)
    profile = profile_of({4096: (small, small), 8192: (large, large)}, [], Quota(0.6, 0.01))
    assert profile.at_hand == AtHand(0.6, pytest.approx(0.003), pytest.approx(0.006))


def test_without_transmissions_nothing_is_said_about_receipts():
    seen = Seen(0.002, 0.001, 0.001, 0.0)
    assert profile_of({4096: (seen, seen), 8192: (seen, seen)}, []).receipt == ServingProfile().receipt


def test_where_memory_is_short_serving_is_left_out_and_that_is_said(monkeypatch):
    monkeypatch.setattr("tiersplit_stage.measure.serving.room_bytes", lambda: 1000)
    said = []
    assert measure_serving(Settings("edge"), 1000, said.append) is None
    assert "left out" in said[0]


def test_real_stages_take_real_seconds_at_both_ends_and_until_the_receipt():
    def measured():
        profile = measure_serving(Settings("edge", batches=(1,), budget_s=0.01), 1000, lambda _: None)
        parts = np.array([part.fixed_s for part in (profile.request, profile.send, profile.receive, profile.receipt)])
        return bool((parts > 1e-5).all() and (parts < 1).all())

    assert holds_in_one(measured)
