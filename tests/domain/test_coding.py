from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from swerve.domain.coding import Coder, Secret, hashes
from swerve.domain.fields import PADDING, Texts, fields_of, holds, marks_of, row_bounds, until

ASCII = st.text(st.sampled_from('ab"'), max_size=30)


def texts_of(texts: list[str]) -> Texts:
    data = "".join(f"{text}\n" for text in texts).encode() + bytes(PADDING)
    marks, _ = marks_of(data, ord("\n"))
    return fields_of(data, row_bounds(marks, 1), [0])[0]


@given(st.lists(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 50)), max_size=6))
@settings(max_examples=50)
def test_codes_are_those_of_a_dictionary(blocks: list[list[int]]) -> None:
    # GIVEN blocks of hashes, 0 standing for nothing
    coder, known = Coder(), {0: 0}
    for block in blocks:
        # WHEN they are coded
        codes, fresh = coder.codes(np.array(block, np.uint64))
        # THEN each is known by its own code, counted in the order of their coming
        before = len(known)
        expected = [known.setdefault(value, len(known)) for value in block]
        assert codes.tolist() == expected
        assert [expected[row] for row in fresh] == list(range(before, len(known)))


def test_codes_survive_the_growth_of_the_table() -> None:
    # GIVEN many hashes that crowd into the same slots, in blocks that overlap
    rng = np.random.default_rng(4)
    pool = (rng.integers(0, 2**20, 60_000).astype(np.uint64) << np.uint64(44)) | np.arange(
        60_000, dtype=np.uint64
    )
    coder, known = Coder(), {0: 0}
    for _ in range(20):
        block = rng.choice(pool, 9000)
        # WHEN / THEN
        codes, _ = coder.codes(block)
        assert codes.tolist() == [known.setdefault(value, len(known)) for value in block.tolist()]


@given(st.lists(st.text(max_size=40).filter(lambda t: "\n" not in t), max_size=30))
@settings(max_examples=50)
def test_texts_have_one_hash_each(texts: list[str]) -> None:
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    # GIVEN texts of all lengths
    column = texts_of(texts)
    assert list(column) == texts
    # WHEN they are hashed
    hashed = hashes(column, Secret()).tolist()
    # THEN equal texts have equal hashes, different ones different hashes, and empty ones none
    assert len(set(zip(texts, hashed, strict=True))) == len(set(texts)) == len(set(hashed))
    assert all((value == 0) == (text == "") for text, value in zip(texts, hashed, strict=True))


@given(st.lists(ASCII, min_size=1), st.text(st.sampled_from('aé"'), max_size=12))
@settings(max_examples=200)
def test_places_are_searched_as_bytes_are(texts: list[str], sought: str) -> None:
    # GIVEN some texts, half of them followed by one that is looked for
    rows = [text + sought * (place % 2) for place, text in enumerate(texts)]
    lines = texts_of(rows)
    behind = np.array([len(text.encode()) for text in texts])
    # WHEN / THEN it is found just where it stands
    found = holds(lines.data, lines.start + behind, sought.encode())
    expected = [
        lines.data.startswith(sought.encode(), start) for start in (lines.start + behind).tolist()
    ]
    assert found.tolist() == expected
    # AND the bytes before a quote are counted, those within the text at least
    before = until(lines.data, lines.start, lines.start + lines.size, ord('"'))
    for row, size in zip(rows, before.tolist(), strict=True):
        spelled = row.encode()
        assert size == spelled.find(b'"') if b'"' in spelled else size >= len(spelled)


def test_texts_with_newlines_are_read_like_others() -> None:
    data = "añb\nc".encode()
    texts = Texts(
        data + bytes(PADDING), np.array([0, 4, 1], np.int32), np.array([4, 2, 0], np.int32)
    )
    assert list(texts) == ["añb", "\nc", ""]


def test_a_text_longer_than_all_data_stands_nowhere() -> None:
    lines = texts_of(["ab", ""])
    assert not holds(lines.data, lines.start, b"ab" * 20).any()
