"""What a shopper can do, and how much each behaviour says about interest."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Behaviour(IntEnum):
    """Codes stored in every partial: append only, a number never changes its meaning."""

    OTHER = 0
    VIEW = 1
    LIST_VIEW = 2
    CLICK = 3
    SEARCH = 4
    CART_ADD = 5
    CART_REMOVE = 6
    WISHLIST_ADD = 7
    WISHLIST_REMOVE = 8
    CHECKOUT = 9
    PURCHASE = 10
    REFUND = 11
    REVIEW = 12
    SHARE = 13
    CONTACT = 14  # customer service was contacted


# Names of the common schema that differ from the enum's own.
ALIASES = {
    "cart": Behaviour.CART_ADD,
    "favorite": Behaviour.WISHLIST_ADD,
    "favourite": Behaviour.WISHLIST_ADD,
    "return": Behaviour.REFUND,
    "cancel": Behaviour.REFUND,
    "remove_from_cart": Behaviour.CART_REMOVE,
}

# Weights of the article's interest vector x_i = (1/N) sum_j w_ij. Behaviours with weight 0 are
# kept and counted, but say nothing in favour of a category.
_WEIGHTS = {
    Behaviour.VIEW: 1.0,
    Behaviour.LIST_VIEW: 0.3,
    Behaviour.CLICK: 1.0,
    Behaviour.SEARCH: 1.5,
    Behaviour.CART_ADD: 3.0,
    Behaviour.WISHLIST_ADD: 2.0,
    Behaviour.CHECKOUT: 3.0,
    Behaviour.PURCHASE: 5.0,
    Behaviour.REVIEW: 3.0,
    Behaviour.SHARE: 2.0,
}
WEIGHTS = np.array([_WEIGHTS.get(b, 0.0) for b in Behaviour], dtype=np.float32)


def behaviour_named(name: str) -> Behaviour | None:
    """Return the behaviour with this name of ours or of the common schema, else None."""
    folded = name.strip().lower()
    if folded in ALIASES:
        return ALIASES[folded]
    return Behaviour.__members__.get(folded.upper())
