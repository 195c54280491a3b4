from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from swerve.domain.names import NAME_LENGTH, name_key, name_keys, normalise


@given(st.text())
def test_normalising_is_idempotent_and_safe_to_show(text: str) -> None:
    name = normalise(text)
    assert normalise(name) == name
    assert len(name) <= NAME_LENGTH
    assert not any(unicodedata.category(character) in {"Cc", "Cf", "Cs"} for character in name)


@given(st.text(st.characters(codec="ascii", exclude_categories=["C"])))
def test_a_key_is_blind_to_case_and_spaces(text: str) -> None:
    assert name_key(normalise(f"  {text.upper()} ")) == name_key(normalise(text.lower()))


def test_composed_and_decomposed_names_are_one() -> None:
    assert name_key(normalise("Cafe\u0301")) == name_key(normalise("CAF\u00c9"))


def test_keys_never_change() -> None:
    # GIVEN keys that live in stored partials
    # THEN a new release must find the same ones
    assert name_keys(["", "Fresh Milk", "家电/手机"]).tolist() == [
        0,
        6007516595469309184,
        16852050661608482671,
    ]
