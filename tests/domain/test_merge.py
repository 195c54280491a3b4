from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from swerve.domain.event import COLUMN_TYPES, Events
from swerve.domain.merge import Merged, Part, Renames, merge
from swerve.domain.pseudonym import UserTable

ROWS = st.lists(
    st.tuples(
        st.integers(1, 3),  # user
        st.integers(1, 6),  # key
        st.integers(0, 2),  # time: content may differ for one key
        st.sampled_from([1.0, 2.0, float("nan")]),
    ),
    max_size=12,
)
BATCHES = st.dictionaries(st.sampled_from("abcdef"), ROWS, max_size=4)


def events(rows: list[tuple[int, int, int, float]]) -> Events:
    empty = Events.empty()
    columns = {name: np.zeros(len(rows), kind) for name, kind in COLUMN_TYPES.items()}
    if not rows:
        return empty
    user, key, time_ms, value = zip(*rows, strict=True)
    columns |= {
        "user": np.array(user, np.uint64),
        "key": np.array(key, np.uint64),
        "time_ms": np.array(time_ms, np.int64),
        "value": np.array(value, np.float32),
    }
    return Events(**columns)


def parts(batches: dict[str, list[tuple[int, int, int, float]]]) -> list[Part]:
    return [Part(batch_id, events(rows)) for batch_id, rows in batches.items()]


def image(found: Events) -> tuple[bytes, ...]:
    return tuple(getattr(found, name).tobytes() for name in COLUMN_TYPES)


def table(pairs: dict[int, int]) -> UserTable:
    """User -> previous pseudonym."""
    users = np.array(sorted(pairs), np.uint64)
    previous = np.array([pairs[int(user)] for user in users], np.uint64)
    return UserTable(users, np.zeros(users.size, np.uint32), previous)


@given(BATCHES, st.randoms(use_true_random=False))
def test_order_and_split_of_parts_do_not_matter(batches, dice):
    # GIVEN
    whole = parts(batches)
    pieces = [
        Part(part.batch_id, part.events.take(np.array([row], np.intp)))
        for part in whole
        for row in range(len(part.events))
    ]
    dice.shuffle(pieces)
    # WHEN
    first, second = merge(whole, Renames.none()), merge(pieces, Renames.none())
    # THEN
    assert image(first.events) == image(second.events)
    assert (first.duplicates, first.conflicts) == (second.duplicates, second.conflicts)


@given(BATCHES, st.integers(0, 4))
def test_merging_is_associative(batches, at: int):
    # GIVEN batches in order, cut in two groups
    ordered = sorted(parts(batches), key=lambda part: part.batch_id)
    left, right = ordered[:at], ordered[at:]
    # WHEN
    inner = merge(left, Renames.none())
    outer = merge([Part("", inner.events), *right], Renames.none())
    # THEN
    assert image(outer.events) == image(merge(ordered, Renames.none()).events)
    assert inner.duplicates + outer.duplicates == merge(ordered, Renames.none()).duplicates


@given(BATCHES)
def test_merging_twice_changes_only_the_count_of_duplicates(batches):
    # GIVEN
    once = merge(parts(batches), Renames.none())
    # WHEN
    twice = merge(parts(batches) * 2, Renames.none())
    again = merge([Part("x", once.events)], Renames.none())
    # THEN
    assert image(once.events) == image(twice.events) == image(again.events)
    assert twice.duplicates == 2 * once.duplicates + len(once.events)
    assert again.duplicates == 0


@given(BATCHES)
def test_agrees_with_a_dictionary(batches):
    # GIVEN
    kept: dict[tuple[int, int], tuple[str, int]] = {}
    rows = 0
    for batch_id in sorted(batches):
        for user, key, time_ms, _ in batches[batch_id]:
            rows += 1
            best = kept.setdefault((user, key), (batch_id, time_ms))
            if best[0] == batch_id:
                kept[user, key] = min(best, (batch_id, time_ms))
    # WHEN
    found = merge(parts(batches), Renames.none())
    # THEN
    expected = sorted((user, time_ms, key) for (user, key), (_, time_ms) in kept.items())
    triples = zip(found.events.user, found.events.time_ms, found.events.key, strict=True)
    assert [tuple(map(int, triple)) for triple in triples] == expected
    assert found.duplicates == rows - len(kept)


def test_smaller_batch_wins_and_other_content_is_a_conflict():
    # GIVEN
    early, late = events([(1, 5, 10, 1.0)]), events([(1, 5, 20, 1.0)])
    # WHEN
    found = merge([Part("b", late), Part("a", early)], Renames.none())
    # THEN
    assert found == Merged(found.events, duplicates=1, conflicts=1)
    assert found.events.time_ms.tolist() == [10]


def test_equal_key_of_two_users_is_two_events():
    # GIVEN / WHEN
    found = merge([Part("a", events([(1, 5, 0, 1.0), (2, 5, 0, 1.0)]))], Renames.none())
    # THEN
    assert len(found.events) == 2


def test_previous_pseudonyms_become_the_current_one_before_deduplication():
    # GIVEN user 9 was called 1 under the previous key
    renames = Renames.of([table({9: 1, 7: 0})])
    # WHEN
    found = merge(
        [Part("a", events([(1, 5, 0, 1.0)])), Part("b", events([(9, 5, 0, 1.0)]))], renames
    )
    # THEN
    assert found.events.user.tolist() == [9]
    assert (found.duplicates, found.conflicts) == (1, 0)


def test_renames_follow_a_second_rotation():
    # GIVEN
    first, second = Renames.of([table({2: 1})]), Renames.of([table({3: 2})])
    together = Renames.of([table({3: 2}), table({2: 1})])
    # WHEN
    both = first.then(second)
    # THEN
    for renames in (both, together, both.then(Renames.none()), Renames.none().then(both)):
        assert renames.apply(np.array([1, 2, 3, 4], np.uint64)).tolist() == [3, 3, 3, 4]


def test_nothing_to_rename():
    # GIVEN
    nothing = Renames.none().then(Renames.of([UserTable.empty()]))
    # WHEN / THEN
    assert len(nothing) == 0
    assert nothing.apply(np.array([5], np.uint64)).tolist() == [5]


def test_no_parts_no_events():
    # GIVEN / WHEN
    found = merge([], Renames.none())
    # THEN
    assert found == replace(found, duplicates=0, conflicts=0)
    assert len(found.events) == 0


def test_all_names_of_a_user_are_found_from_any_of_them():
    # GIVEN one user who was renamed twice, and another
    renames = Renames.of([table({3: 2, 8: 7}), table({2: 1})])
    # WHEN / THEN
    for known in ([1], [2], [3], [1, 3]):
        assert renames.names_of(np.array(known, np.uint64)).tolist() == [1, 2, 3]
    assert renames.names_of(np.array([5], np.uint64)).tolist() == [5]
    left = renames.without(np.array([1, 2, 3], np.uint64))
    assert (left.old.tolist(), left.new.tolist()) == ([7], [8])
