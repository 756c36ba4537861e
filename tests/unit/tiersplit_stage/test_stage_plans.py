"""Routes as one tier sees them."""

import pytest
from safetensors.numpy import save

from tests.support.stages import TinyModel
from tiersplit_core.errors import BundleError, InputError, OperationError
from tiersplit_stage.golden import Golden
from tiersplit_stage.plans import compile_plans
from tiersplit_stage.pool import BlobStore, SegmentPool


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return TinyModel(tmp_path_factory.mktemp("plans") / "bundle")


def test_a_tier_knows_what_it_runs_and_what_travels_on(model):
    plan = compile_plans(model.route(1, ["012"], "012", {}), "mdc")["012"]
    assert [plan.segments[i].id for i in plan.own(1)] == ["b"]
    assert plan.needed_from(1) == {"y"}
    assert plan.needed_from(2) == {"y", "z"}, "the skip connection travels with the activation"
    assert plan.last_tier == 2
    assert plan.stage_names == ("edge", "mdc", "cloud")


def test_a_tier_without_segments_relays(model):
    plan = compile_plans(model.route(1, ["022"], "022", {}), "mdc")["022"]
    assert not list(plan.own(1))
    assert plan.own_segments == ()


def test_positions_that_are_not_for_a_tier_are_refused(model):
    plan = compile_plans(model.route(1, ["012"], "012", {}), "mdc")["012"]
    for position in (0, 3, -1, 99):
        with pytest.raises(InputError):
            plan.own(position)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda r: r.plans[0].segments[1].MergeFrom(type(r.plans[0].segments[1])(segment="q")), "segments[1].segment"),
        (lambda r: r.plans[0].segments[1].MergeFrom(type(r.plans[0].segments[1])(tier="moon")), "segments[1].tier"),
        (lambda r: r.plans[0].ClearField("segments"), "plans[0].segments"),
        (lambda r: r.plans[0].segments.pop(), "plans[0].segments"),
        (lambda r: r.segments[1].inputs.append("nothing"), "segments[1]"),
        (lambda r: r.ClearField("tiers"), "route.tiers"),
    ],
)
def test_a_malformed_route_is_refused_with_its_field(model, change, path):
    route = model.route(1, ["012"], "012", {})
    change(route)
    with pytest.raises(InputError) as caught:
        compile_plans(route, "edge")
    assert path in caught.value.path


def test_a_flipped_byte_and_a_missing_blob_are_refused_by_name(tmp_path):
    model = TinyModel(tmp_path / "bundle")
    plan = compile_plans(model.route(1, ["000"], "000", {}), "edge")["000"]
    digest = plan.segments[1].weights[0]
    blob = model.bundle / "blobs" / "sha256" / digest.removeprefix("sha256:")
    data = bytearray(blob.read_bytes())
    data[7] ^= 1
    blob.write_bytes(data)
    pool = SegmentPool(BlobStore(model.bundle), 1)
    with pytest.raises(BundleError, match=digest):
        pool.load(plan.segments[1])
    blob.unlink()
    with pytest.raises(BundleError, match=digest):
        pool.load(plan.segments[1])
    assert not pool.loaded
    for name in ("sha256:../../etc/passwd", "md5:00", ""):
        with pytest.raises(BundleError):
            BlobStore(model.bundle).path(name)


def test_the_golden_check_refuses_missing_misshapen_wrong_and_infinite_answers(model):
    route = model.route(1, ["012"], "012", {})
    plan = compile_plans(route, "edge")["012"]
    golden = Golden(BlobStore(model.bundle), plan.origin)
    good = {"out": golden.outputs["out"], "aux": golden.outputs["aux"]}
    golden.check(good, plan)
    for wrong in (None, good["out"][:, :2], good["out"] * 1.01, good["out"] * float("nan")):
        answers = {**good, "out": wrong}
        if wrong is None:
            del answers["out"]
        with pytest.raises(OperationError, match="plan 012, golden request, compared with the model's answer: out"):
            golden.check(answers, plan)
    coarse = compile_plans(model.route(1, ["012"], "012", {}, bits=8), "edge")["012"]
    golden.check({**good, "out": good["out"] * 1.01}, coarse)


def rated(model, answers, **more):
    """A route whose plan `012` answers the golden request with `answers`, and whose plan `000` as the model."""
    route = model.route(1, ["012", "000"], "012", {}, **more)
    data = {"input/image": model.golden_input, **{f"output/{name}": value for name, value in answers.items()}}
    route.plans[0].golden_blobs.append(model.blob(save(data)))
    return route


def test_a_plan_is_compared_with_the_answer_of_its_own_segments_where_the_route_has_one(model):
    own = {name: value * 0.8 for name, value in model.reference(model.golden_input).items()}
    plans = compile_plans(rated(model, own), "edge")
    assert (plans["012"].own_golden, plans["000"].own_golden) == (True, False)
    assert plans["012"].origin.signature == plans["000"].origin.signature, "clients see one model"
    golden = Golden(BlobStore(model.bundle), plans["012"].origin)
    golden.check({"out": own["scores"], "aux": own["aux"]}, plans["012"])
    answer = model.reference(model.golden_input)
    with pytest.raises(OperationError, match=r"plan 012.*own segments answered.*differs by 0\.25"):
        golden.check({"out": answer["scores"], "aux": answer["aux"]}, plans["012"])


@pytest.mark.parametrize(
    ("crossing", "bits", "off", "own", "passes"),
    [
        (0, 0, 0.01, False, False),
        (0, 8, 0.2, False, True),
        (0, 8, 0.4, False, False),
        (4, 8, 0.9, False, True),
        (16, 8, 0.2, False, True),
        (0, 8, 0.2, True, False),
        (2, 2, 0.2, True, False),
        (2, 2, 0.05, True, True),
        (16, 0, 0.05, True, False),
        (0, 0, 0.01, True, False),
    ],
)
def test_how_far_an_answer_may_be_off_follows_the_narrowest_width_and_whose_answer_it_is(
    model, crossing, bits, off, own, passes
):
    good = model.reference(model.golden_input)
    route = rated(model, good, bits=crossing) if own else model.route(1, ["012"], "012", {}, bits=crossing)
    route.plans[0].bits = bits
    plan = compile_plans(route, "edge")["012"]
    golden = Golden(BlobStore(model.bundle), plan.origin)
    answers = {"out": good["scores"] * (1 + off), "aux": good["aux"]}
    if passes:
        golden.check(answers, plan)
    else:
        with pytest.raises(OperationError, match="allowed is"):
            golden.check(answers, plan)


def test_a_golden_answer_and_widths_are_nothing_that_frames_name(model):
    plain = compile_plans(model.route(1, ["012"], "012", {}), "edge")["012"]
    route = rated(model, model.reference(model.golden_input))
    route.plans[0].bits = 8
    assert compile_plans(route, "edge")["012"].key == plain.key


def test_a_route_with_two_plans_of_one_digest_or_with_costs_for_other_tiers_is_refused(model):
    route = model.route(1, ["000", "012"], "012", {})
    route.plans[1].digest = "000"
    with pytest.raises(InputError, match=r"route\.plans\[1\]\.digest"):
        compile_plans(route, "edge")
    route = model.route(1, ["000"], "000", {})
    route.plans[0].costs.add(batch=1, compute_s=[0.1, 0.1, 0.1], link_bytes=[1, 2], link_trips=[1])
    with pytest.raises(InputError, match=r"route\.plans\[0\]\.costs\[0\]"):
        compile_plans(route, "edge")
