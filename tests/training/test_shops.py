"""Every simulated shop is in form and does to its users what its truth says."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from training import data, panel_shops, shop_users
from training.panels import TRUTH_COLUMNS, shop_panel
from training.shops import SHOPS

USERS = 120


@pytest.fixture(scope="module", params=SHOPS)
def shop(request):
    return SHOPS[request.param]


@pytest.fixture(scope="module")
def simulated(shop):
    events, labels, promotions = panel_shops.simulate(shop, 7, USERS, 0.5)
    time = pd.to_datetime(events["timestamp"], utc=True)
    week = (time - pd.Timestamp(shop.first, tz="UTC")).dt.days // 7
    return events.assign(week=week), {label.user_id: label for label in labels}, promotions


def moved(events: pd.DataFrame, labels: list, by: str = "change") -> float:
    """Mean distance (total variation) of users' mixes before and after, or of every other week."""
    told = []
    of_user = dict(iter(events.groupby("user_id")))
    for label in labels:
        own = of_user[label.user_id]
        since = own["week"] - label.change_week
        sides = (since < 0, since >= 4) if by == "change" else (since % 2 == 0, since % 2 == 1)
        if min(side.sum() for side in sides) >= 20:
            one, other = (own["category_id"][side].value_counts(normalize=True) for side in sides)
            told.append(one.sub(other, fill_value=0).abs().sum() / 2)
    return float(np.mean(told))


def of_kind(labels: dict, *kinds: str) -> list:
    return [label for label in labels.values() if label.kind in kinds]


def test_events_are_in_the_common_schema_and_in_order(shop, simulated):
    events, labels, promotions = simulated
    assert list(events.columns) == [*data.COLUMNS, "week"]
    keys = list(zip(events["timestamp"], events["user_id"], strict=True))
    assert keys == sorted(keys)
    assert events["week"].between(0, shop.weeks - 1).all()
    assert set(events["user_id"]) == set(labels)
    assert len(promotions) == len(shop.promotions)


def test_a_seed_gives_the_same_shop_again(shop):
    first, again, other = (panel_shops.simulate(shop, seed, 30, 0.3)[0] for seed in (1, 1, 2))
    assert data.fingerprint(first) == data.fingerprint(again)
    assert data.fingerprint(first) != data.fingerprint(other)


def test_all_kinds_are_dealt_out(shop, simulated):
    kinds = {label.kind for label in simulated[1].values()}
    assert kinds == {"none", *shop_users.KINDS}


def test_unchanged_users_keep_their_mix_and_shifted_ones_do_not(shop, simulated):
    events, labels, _ = simulated
    unchanged = of_kind(labels, "none")
    still, noise = moved(events, unchanged), moved(events, unchanged, by="parity")
    assert still < noise + 0.1 * (1 + shop.season)
    assert moved(events, of_kind(labels, "shift", "gradual")) > still + 0.3


def test_volume_changes_and_mix_stays(simulated):
    events, labels, _ = simulated
    told = {}
    for kind in ("none", "drop", "surge"):
        users = of_kind(labels, kind)
        own = events[events["user_id"].isin([label.user_id for label in users])]
        change = own["user_id"].map({label.user_id: label.change_week for label in users})
        told[kind] = (own["week"] >= change).mean()
        assert not any(label.changed for label in users)
    assert told["drop"] < told["none"] < told["surge"]


def test_stopped_users_are_silent(simulated):
    events, labels, _ = simulated
    last = events.groupby("user_id")["week"].max()
    stopped = of_kind(labels, "stop")
    assert stopped
    assert all(last[label.user_id] < label.change_week for label in stopped)


def test_the_truth_names_categories_that_rise_or_fall(simulated):
    events, labels, _ = simulated
    for label in of_kind(labels, "shift", "partial", "gradual", "new_category", "narrowing"):
        assert label.changed
    for label in of_kind(labels, "new_category"):
        own = events[events["user_id"] == label.user_id]
        late = own[own["week"] >= label.change_week]["category_id"]
        early = own[own["week"] < label.change_week]["category_id"]
        if min(len(late), len(early)) >= 60:
            gains = late.value_counts(normalize=True).sub(
                early.value_counts(normalize=True), fill_value=0
            )
            assert gains.idxmax() in label.changed


def test_a_feast_moves_everybody_in_its_week_only():
    events, _, _ = panel_shops.simulate(SHOPS["food_delivery"], 0, 300)
    since = pd.to_datetime(events["timestamp"], utc=True) - pd.Timestamp("2024-02-05", tz="UTC")
    counts = pd.crosstab(since.dt.days // 7, events["category_id"])
    mix = counts.div(counts.sum(axis=1), axis=0)
    away = (mix - mix.loc[-5:-2].mean()).abs().sum(axis=1)
    assert counts.loc[0].sum() > 1.5 * max(counts.loc[-1].sum(), counts.loc[1].sum())
    assert away[0] > 2 * max(away[-1], away[1])


def test_a_panel_of_a_shop_is_written_as_the_others_are(tmp_path):
    folder = shop_panel("food_delivery", 3, tmp_path, users=20, changed=0.3)
    assert folder.name == "shop_food_delivery-20u-30-3"
    about = json.loads((folder / "panel.json").read_text())
    truth = pd.read_csv(folder / "truth.csv", dtype=str, keep_default_na=False)
    assert list(truth.columns) == list(TRUTH_COLUMNS)
    assert about["promotion_weeks"] == ["2024-02-05T00:00:00Z"]
    assert about["users"] == len(truth) == 20
    assert about["events"] == len(pd.read_csv(folder / "EVENTS.csv.gz"))


def test_b2b_orders_come_on_weekdays():
    events, _, _ = panel_shops.simulate(SHOPS["b2b"], 0, 30)
    assert pd.to_datetime(events["timestamp"]).dt.day_of_week.max() < 5


def test_food_comes_one_item_an_order():
    events, _, _ = panel_shops.simulate(SHOPS["food_delivery"], 0, 30, 0.5)
    assert not events.duplicated(["user_id", "timestamp"]).any()


def test_items_of_the_video_shop_are_soon_gone():
    events, _, _ = panel_shops.simulate(SHOPS["video"], 0, 30)
    day = pd.to_datetime(events["timestamp"]).dt.day_of_year
    lives = day.groupby(events["item_id"]).agg(lambda days: days.max() - days.min())
    assert lives.quantile(0.9) < 28
