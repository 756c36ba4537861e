"""Quantities of core types, as people write them."""

import pytest

from tiersplit_core.errors import ManifestError
from tiersplit_operator.resources.quantities import parse_core_quantity


@pytest.mark.parametrize(("text", "number"), [("250m", 0.25), (2, 2), ("1.5", 1.5), ("512Mi", 512 * 2**20)])
def test_a_quantity_is_a_number(text, number):
    assert parse_core_quantity(text, "spec") == number


@pytest.mark.parametrize("text", ["", "much", True, "1e9", "-1", "9" * 5000])
def test_what_is_no_quantity_is_refused_in_few_words(text):
    with pytest.raises(ManifestError, match="write a number such as 250m") as refused:
        parse_core_quantity(text, "spec")
    assert len(str(refused.value)) < 200
