"""Eight shops that differ in structure, as parameters of `training.panel_shops`.

They come from two outside judges, who wrote their own simulators to find where the detector is
weak. Retold here with one generator, so that each keeps what made it hard and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

_EVERY_DAY = (1.0,) * 7


@dataclass(frozen=True, slots=True)
class Promotion:
    """A week that moves everybody, each user by his own keenness (0 to 2, one on average).

    Attributes
    ----------
    week : int
    volume : float
        Visits of this week over those of others.
    pull : float
        Share of the lines that go to `categories` chosen for the week.
    """

    week: int
    volume: float
    pull: float
    categories: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """What its users are like, what they do in a visit, and what moves all of them.

    Attributes
    ----------
    first : str
        Date of the first day, a Monday.
    visits, spread : float
        Median visits a week, and the log deviation between users.
    regularity : float
        Shape of the gamma gaps between visits: 1 is Poisson, 30 nearly a clock.
    activity : float
        Log deviation of a user's visits from week to week.
    pauses, away : float
        How often a user stays away, and for how many weeks, on average.
    growing : bool
        Users join all the time instead of having been there.
    weekdays : tuple of float
        Visits from Monday on, relative.
    lines, basket : float
        Mean lines of a visit, and their log deviation: 1 is heavy-tailed, 0 is one size.
    focus : float
        Share of the lines that stay with the visit's first category.
    buys : float
        Below 1 lines are views, of which this share is bought; at 1 there are purchases only.
    breadth : int
        Categories in a user's taste.
    evenness : float
        Dirichlet shape of a taste: small ones have a clear favourite.
    zipf, mainstream : float
        Exponent of the categories' popularity, and of that how much a taste follows it.
    background : float
        Share of the lines that follow the shop's popularity and no taste.
    mood, drift : float
        Log deviation of a taste's weights that comes and goes, and that adds up each week.
    items : int
        Of the catalogue; where `life` is given, new ones a week.
    loyalty : float
        Share of the lines that are one of four own items of the category.
    life : float
        Mean weeks in which an item is seen; 0 means forever.
    season : float
        Log amplitude of the yearly seasons, which gather in spring and autumn.
    fads : int
        Categories that everybody likes four times as much for two to four weeks.
    promotions : tuple of Promotion
    slumps : tuple of (int, float)
        Weeks with less of everything that no operator announces, and the share that is left.
    in_visits : float
        How much of a change of volume is in the number of visits; the rest is in their size.
    """

    name: str
    first: str
    weeks: int
    categories: int
    visits: float
    spread: float = 0.45
    regularity: float = 1.0
    activity: float = 0.4
    pauses: float = 1.5
    away: float = 1.5
    growing: bool = False
    weekdays: tuple[float, ...] = _EVERY_DAY
    lines: float = 3.0
    basket: float = 0.6
    focus: float = 0.5
    buys: float = 1.0
    breadth: int = 10
    evenness: float = 0.6
    zipf: float = 0.8
    mainstream: float = 0.7
    background: float = 0.06
    mood: float = 0.5
    drift: float = 0.0
    items: int = 15_000
    loyalty: float = 0.3
    life: float = 0.0
    season: float = 0.0
    fads: int = 0
    promotions: tuple[Promotion, ...] = ()
    slumps: tuple[tuple[int, float], ...] = ()
    in_visits: float = 1.0


_ALL = (
    Shop(  # long sessions of views, strong seasons, items gone within months
        name="fashion",
        first="2023-08-07",
        weeks=52,
        categories=60,
        visits=0.65,
        activity=0.7,
        pauses=4.0,
        away=2.0,
        weekdays=(1.0, 0.9, 0.9, 1.0, 1.1, 1.4, 1.6),
        lines=11.0,
        focus=0.6,
        buys=0.03,
        breadth=12,
        background=0.08,
        mood=0.7,
        items=460,
        loyalty=0.0,
        life=12.0,
        season=1.4,
        promotions=tuple(Promotion(week, 1.7, 0.08, 8) for week in (16, 24, 47)),
    ),
    Shop(  # items are new every week, tastes wander and the shop has hits
        name="video",
        first="2024-02-05",
        weeks=36,
        categories=25,
        visits=4.6,
        spread=0.4,
        activity=0.3,
        pauses=1.0,
        away=1.3,
        weekdays=(1.0, 1.0, 1.0, 1.0, 1.2, 1.5, 1.5),
        buys=0.0,
        breadth=11,
        zipf=0.6,
        mood=0.6,
        drift=0.07,
        items=600,
        loyalty=0.0,
        life=1.8,
        fads=4,
    ),
    Shop(  # one big order every two to four weeks, on weekdays, of the same items
        name="b2b",
        first="2024-01-01",
        weeks=52,
        categories=200,
        visits=0.36,
        spread=0.2,
        regularity=8.0,
        activity=0.15,
        pauses=1.0,
        weekdays=(1.2, 1.2, 1.1, 1.0, 0.8, 0.0, 0.0),
        lines=30.0,
        focus=0.1,
        breadth=30,
        evenness=0.8,
        background=0.03,
        items=12_000,
        loyalty=0.85,
        slumps=((30, 0.65), (31, 0.65), (32, 0.65), (50, 0.35), (51, 0.3)),
        in_visits=0.5,
    ),
    Shop(  # users arrive all the time, eager at first
        name="growth",
        first="2023-03-06",
        weeks=60,
        categories=120,
        visits=1.9,
        away=2.0,
        growing=True,
        lines=3.6,
        buys=0.1,
        zipf=0.9,
        drift=0.02,
        items=18_000,
    ),
    Shop(  # nearly a clock: the same few things every two weeks
        name="petbaby",
        first="2024-01-08",
        weeks=50,
        categories=15,
        visits=0.52,
        spread=0.15,
        regularity=30.0,
        activity=0.05,
        pauses=0.6,
        away=1.3,
        lines=5.5,
        basket=0.25,
        focus=0.0,
        breadth=6,
        evenness=2.5,
        zipf=0.5,
        background=0.015,
        mood=0.25,
        items=900,
        loyalty=0.9,
        in_visits=0.5,
    ),
    Shop(  # one item an order, few favourites, and a lunar new year of which all make a feast
        name="food_delivery",
        first="2023-08-28",
        weeks=48,
        categories=40,
        visits=2.3,
        activity=0.3,
        weekdays=(0.5, 0.45, 0.55, 0.7, 1.7, 2.2, 1.9),
        lines=1.0,
        basket=0.0,
        breadth=3,
        evenness=2.2,
        zipf=0.7,
        mainstream=0.8,
        background=0.12,
        items=4_000,
        loyalty=0.55,
        promotions=(Promotion(23, 2.0, 0.45, 8),),
    ),
    Shop(  # trolleys and single items, wide baskets, promotions that sell six categories fourfold
        name="supermarket",
        first="2023-01-09",
        weeks=46,
        categories=100,
        visits=1.0,
        spread=0.35,
        activity=0.25,
        weekdays=(0.9, 0.8, 0.9, 1.0, 1.4, 1.8, 0.3),
        lines=9.0,
        basket=1.0,
        focus=0.1,
        breadth=40,
        evenness=0.8,
        mainstream=1.0,
        background=0.3,
        items=8_000,
        loyalty=0.6,
        season=0.3,
        promotions=tuple(Promotion(week, 1.25, 0.2, 6) for week in (9, 21, 27, 38)),
        in_visits=0.6,
    ),
    Shop(  # niches in a long tail of categories, short fads, many items
        name="marketplace",
        first="2024-01-01",
        weeks=48,
        categories=1_500,
        visits=1.9,
        away=2.0,
        lines=2.6,
        buys=0.36,
        breadth=8,
        evenness=0.7,
        zipf=1.0,
        mainstream=0.45,
        background=0.1,
        drift=0.015,
        items=90_000,
        loyalty=0.25,
        fads=25,
        promotions=tuple(Promotion(week, 1.5, 0.06, 8) for week in (13, 30)),
    ),
)
SHOPS = {shop.name: shop for shop in _ALL}
