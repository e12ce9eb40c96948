"""Keys: whatever a part holds, it comes back, and the key is one that the store takes."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.entry import key, parts

ANYTHING = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(st.lists(ANYTHING, min_size=1))
def test_parts_come_back(given: list[str]) -> None:
    made = key(*given)
    assert parts(made) == tuple(given)
    assert re.fullmatch(r"[-=_a-zA-Z0-9]+(\.[-=_a-zA-Z0-9]+)*", made)


@given(st.lists(ANYTHING, min_size=1), st.lists(ANYTHING, min_size=1))
def test_different_parts_have_different_keys(one: list[str], other: list[str]) -> None:
    assert (key(*one) == key(*other)) == (one == other)


def test_plain_names_stay_as_they_are() -> None:
    assert key("namespaces", "shop-2") == "namespaces.shop-2"
    assert key("reserved", "address", "10.210.1.5") == "reserved.address.10=2E210=2E1=2E5"


@pytest.mark.parametrize("given", [(), ("",), ("a", "")])
def test_an_empty_part_is_a_mistake(given: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="key"):
        key(*given)
