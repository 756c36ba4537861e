"""Which layers are measured together where a model does not fit: the decision alone."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.support.profiles import chain, graphs
from tiersplit_core.profile.chunks import Footprint, chunks, halves
from tiersplit_core.profile.memory import weight_bytes
from tiersplit_core.quantization.forms import RunForm

LIMITS = st.integers(0, 3 * 10**7)
FORMS = st.sampled_from(list(RunForm))


@st.composite
def footprints(draw):
    """Of random graphs, in any form: fewer bytes than as they are, for some of the layers."""
    graph = draw(graphs())
    stored = {layer.name: layer.weight_bytes // draw(st.integers(1, 8)) for layer in graph.layers[::2]}
    return Footprint(graph, draw(st.integers(1, 4)), draw(FORMS), stored)


@given(footprints(), LIMITS)
def test_every_layer_stands_in_one_chunk_that_fits_or_does_not_fit_by_itself(held, limit):
    found, apart = chunks(held, limit), held.too_large(limit)
    together = [name for chunk in found for name in chunk]
    assert sorted([*together, *apart]) == sorted(held.graph.index)
    assert together == [name for name in held.graph.index if name not in apart]
    for chunk in found:
        first = held.graph.index[chunk[0]]
        assert tuple(held.graph.index)[first : first + len(chunk)] == chunk
        assert held.bytes_of(chunk) <= limit
    for name, needed in apart.items():
        assert needed == held.bytes_of((name,)) > limit


@given(footprints(), LIMITS)
def test_no_division_has_fewer_chunks(held, limit):
    names, apart = tuple(held.graph.index), held.too_large(limit)
    least = {0: 0}
    for end in range(1, len(names) + 1):
        fitting = [b for b in range(end) if not apart.keys() & set(names[b:end])]
        before = [least[b] + 1 for b in fitting if held.bytes_of(names[b:end]) <= limit]
        least[end] = least[end - 1] if names[end - 1] in apart else min(before)
    assert len(chunks(held, limit)) == least[len(names)]


@given(footprints(), st.data())
def test_fewer_layers_never_hold_more(held, data):
    names = tuple(held.graph.index)
    begin = data.draw(st.integers(0, len(names) - 1))
    end = data.draw(st.integers(begin + 1, len(names)))
    inner = data.draw(st.integers(begin, end - 1))
    assert held.bytes_of(names[inner:end]) <= held.bytes_of(names[begin:end])
    assert held.bytes_of(names[begin : inner + 1]) <= held.bytes_of(names[begin:end])


@given(footprints())
def test_a_chunk_that_took_too_much_becomes_two_that_hold_less_or_as_much(held):
    names = tuple(held.graph.index)
    assume(len(names) > 1)
    one, other = halves(held, names)
    assert one
    assert other
    assert one + other == names
    assert max(held.bytes_of(one), held.bytes_of(other)) <= held.bytes_of(names)


def test_bytes_are_those_of_the_weights_in_the_form_and_of_the_tensors():
    graph = chain(("a", 1, 1000, 10), ("b", 1, 600, 20), input_elements=5)
    as_it_is = Footprint(graph, 2)
    assert as_it_is.bytes_of(("a", "b")) == weight_bytes(graph, ("a", "b")) + 2 * 4 * (10 + 20)
    small = {"a": 130, "b": 80}
    assert Footprint(graph, 1, RunForm.INT8, small).bytes_of(("a", "b")) == 130 + 80 + 4 * 30
    # The larger one's weights are real numbers while it runs.
    assert Footprint(graph, 1, RunForm.PACKED, small).bytes_of(("a", "b")) == 130 + 80 + 1000 + 4 * 30
    assert Footprint(graph, 1, RunForm.PACKED, small).bytes_of(("b",)) == 80 + 600 + 4 * 30


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(10_000, (("a", "b", "c"),)), (2_500, (("a", "b"), ("c",))), (1_500, (("a",), ("b",), ("c",))), (900, (("c",),))],
)
def test_a_model_that_fits_is_one_chunk_and_less_memory_means_more_of_them(limit, expected):
    graph = chain(("a", 1, 1000, 10), ("b", 1, 1000, 10), ("c", 1, 500, 10))
    assert chunks(Footprint(graph, 1), limit) == expected
