"""What each detector measures, in a reader's words, and what a statistician calls it."""

from __future__ import annotations

import re
from dataclasses import dataclass

GROUP = "users_with_same_move"
_EARLY = "early_"
_OF_MANY = frozenset({"volume", "launch", "mix"})  # of categories, products, campaigns, the shop
_UP, _DOWN = frozenset({"surge"}), frozenset({"drop", "churn_risk"})
_TRAILING_WEEKS = re.compile(r"^(?P<stem>.+?)_?(?P<weeks>\d+)w?$")


@dataclass(frozen=True, slots=True)
class Words:
    """Name of a detector in one language.

    Attributes
    ----------
    measures : str
        What it looks at.
    statistic : str
        What a statistician calls it; may be empty.
    """

    measures: str
    statistic: str


# By stem: what it measures in English and Chinese, its statistic in English and Chinese.
_TABLE: dict[str, tuple[str, str, str, str]] = {
    GROUP: ("Users who made this same move", "做出同样转变的用户", "", ""),
    "early_surge": (
        "Actions so far, the window still open",
        "本期至今的行为数（尚未结束）",
        "negative binomial",
        "负二项分布",
    ),
    "early_new_interest": (
        "Actions so far in a category never used before",
        "本期至今在从未用过的品类中的行为数",
        "negative binomial",
        "负二项分布",
    ),
    "switch": (
        "Mix of categories against the usual mix",
        "品类构成与以往相比",
        "Bayes factor",
        "贝叶斯因子",
    ),
    "person": (
        "Mix of categories and items against the usual mix",
        "品类与商品构成与以往相比",
        "Bayes factor",
        "贝叶斯因子",
    ),
    "up3": (
        "Growth of the three categories that grew most",
        "增长最多的三个品类",
        "likelihood ratio",
        "似然比",
    ),
    "own3down": (
        "Loss in the three favourite categories",
        "最常用的三个品类的下降",
        "likelihood ratio",
        "似然比",
    ),
    "own8down": (
        "Loss in the eight favourite categories",
        "最常用的八个品类的下降",
        "likelihood ratio",
        "似然比",
    ),
    "fresh": (
        "Actions in categories hardly used before",
        "以往很少使用的品类中的行为",
        "negative binomial",
        "负二项分布",
    ),
    "narrow": ("Fewer different categories than usual", "品类数少于平时", "z-score", "z 值"),
    "wide": ("More different categories than usual", "品类数多于平时", "z-score", "z 值"),
    "breadth": ("Number of different categories", "品类数", "z-score", "z 值"),
    "events_low": ("Fewer actions than usual", "行为少于平时", "negative binomial", "负二项分布"),
    "events_high": ("More actions than usual", "行为多于平时", "negative binomial", "负二项分布"),
    "days_low": (
        "Fewer active days than usual",
        "活跃天数少于平时",
        "negative binomial",
        "负二项分布",
    ),
    "volume": (
        "Activity, as a multiple of the usual",
        "活跃度（平时的倍数）",
        "Student's t",
        "t 检验",
    ),
    "launch": (
        "Users in its first window, against those of earlier newcomers",
        "首期用户数，与以往新品相比",
        "Student's t",
        "t 检验",
    ),
    "mix": (
        "Distance of the shop's mix of categories from the usual mix",
        "全店品类构成与平时的距离",
        "Student's t",
        "t 检验",
    ),
    "lstm": (
        "Behaviour the model did not expect",
        "模型未预料到的行为",
        "LSTM residual",
        "LSTM 残差",
    ),
    "lstm_residual": (
        "Behaviour the model did not expect",
        "模型未预料到的行为",
        "LSTM residual",
        "LSTM 残差",
    ),
    "iqr_fence": (
        "Distance outside the usual range of surprises",
        "意外程度超出平时范围",
        "IQR fence",
        "四分位距法",
    ),
    "mann_kendall": (
        "Steady trend, not one spike",
        "稳步变化而非单次波动",
        "Mann-Kendall",
        "Mann-Kendall",
    ),
}


def words_of(name: str, language: str) -> Words:
    """Words of a detector; one without words is shown by its name.

    A name may end with the weeks that the detector looks back on.

    Examples
    --------
    >>> words_of("switch4", "en").measures
    'Mix of categories against the usual mix, last 4 weeks'
    >>> words_of("up3_1", "zh-CN")
    Words(measures='增长最多的三个品类（最近1周）', statistic='似然比')
    >>> words_of("entropy_gap", "en").measures
    'entropy gap'
    """
    english = language == "en"
    if name in _TABLE:
        return _in(name, "", english=english)
    found = _TRAILING_WEEKS.match(name)
    if found is None or found["stem"] not in _TABLE:
        return Words(name.replace("_", " "), "")
    weeks = int(found["weeks"])
    if english:
        return _in(found["stem"], f", last {weeks} week{'s' if weeks > 1 else ''}", english=True)
    return _in(found["stem"], f"（最近{weeks}周）", english=False)


def speaks_of(name: str, kind: str) -> bool:
    """Whether a detector looks for such a change: who looks for more says nothing of a drop."""
    opposite = {"_high": _DOWN, "_low": _UP}
    return not any(name.endswith(side) and kind in kinds for side, kinds in opposite.items())


def compares_with_usual(name: str) -> bool:
    """Whether its threshold is the usual value, not a line that it has to pass."""
    return name.startswith(_EARLY) or name in _OF_MANY


def _in(stem: str, span: str, *, english: bool) -> Words:
    measures, chinese, statistic, statistic_chinese = _TABLE[stem]
    return (
        Words(measures + span, statistic) if english else Words(chinese + span, statistic_chinese)
    )
