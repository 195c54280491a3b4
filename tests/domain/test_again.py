from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from swerve.domain.again import FIXED, Things, alike

DEED = st.tuples(st.integers(1, 4), st.integers(1, 5))
WINDOW = st.dictionaries(DEED, st.integers(1, 7), max_size=12)
HIGH = np.uint64(1 << 45)


def things(window: dict[tuple[int, int], int]) -> Things:
    rows = sorted(window)
    user, thing = (np.array([row[i] for row in rows], np.uint64) * HIGH for i in (0, 1))
    return Things.categories(user, thing, np.array([window[row] for row in rows], np.int32))


def test_deeds_of_the_same_thing_are_counted_user_by_user():
    # GIVEN a user who does one thing on two days, then on three, and another on one
    now = things({(1, 1): 3, (1, 2): 1, (2, 1): 5})
    then = things({(1, 1): 2, (1, 3): 1, (3, 1): 4})
    # THEN of 4 x 3 pairs of deeds 3 x 2 are alike; nobody else did anything twice
    assert alike((now, then), (1,)).tolist() == [FIXED * 6 // 64, FIXED * 12 // 64]


@given(WINDOW, WINDOW)
def test_it_is_the_sum_over_pairs(
    now: dict[tuple[int, int], int], then: dict[tuple[int, int], int]
):
    wanted = np.zeros(2, np.int64)
    for who in range(1, 5):
        one, two = ({t: d for (u, t), d in w.items() if u == who} for w in (now, then))
        both = max(sum(one.values()), 8) * max(sum(two.values()), 8)
        same = sum(days * two.get(thing, 0) for thing, days in one.items())
        wanted += [round(FIXED * x / both) for x in (same, sum(one.values()) * sum(two.values()))]
    assert alike((things(now), things(then)), (1, 5)).tolist() == wanted.tolist()


@given(WINDOW, WINDOW)
def test_shards_sum_to_the_whole(now: dict[tuple[int, int], int], then: dict[tuple[int, int], int]):
    def part(window: dict[tuple[int, int], int], odd: int) -> Things:
        return things({deed: days for deed, days in window.items() if deed[0] % 2 == odd})

    parts = [alike((part(now, odd), part(then, odd)), (1,)) for odd in (0, 1)]
    assert (parts[0] + parts[1]).tolist() == alike((things(now), things(then)), (1,)).tolist()
