from hypothesis import given
from hypothesis import strategies as st

from tiersplit_operator.resources.merging import merged

LEAVES = st.one_of(st.integers(), st.text(max_size=3), st.booleans())
TREES = st.dictionaries(
    st.sampled_from("abcd"),
    st.recursive(
        LEAVES,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abcd"), inner, max_size=3)
        ),
        max_leaves=8,
    ),
    max_size=4,
)


@given(TREES)
def test_nothing_laid_over_a_tree_leaves_it(tree):
    assert merged(tree, {}) == tree


@given(TREES, TREES)
def test_every_field_of_both_is_there(ours, theirs):
    assert merged(ours, theirs).keys() == ours.keys() | theirs.keys()


@given(TREES, TREES)
def test_laying_the_same_over_it_again_changes_nothing(ours, theirs):
    once = merged(ours, theirs)
    assert merged(once, theirs) == once


def test_named_items_join_and_others_are_appended():
    ours = {"env": [{"name": "A", "value": "1"}], "tolerations": [{"key": "x"}]}
    theirs = {"env": [{"name": "A", "value": "2"}, {"name": "B", "value": "3"}], "tolerations": [{"key": "y"}]}
    assert merged(ours, theirs) == {
        "env": [{"name": "A", "value": "2"}, {"name": "B", "value": "3"}],
        "tolerations": [{"key": "x"}, {"key": "y"}],
    }
