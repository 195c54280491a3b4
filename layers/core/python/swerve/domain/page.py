"""The page of one alert: self-contained HTML with inline SVG; no script, no request, under 30 kB.

Every text is escaped. Colours are those of Okabe and Ito, told apart by the colour-blind.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from swerve.domain.charts import activity_chart, score_chart, share_chart
from swerve.domain.figures import heard, is_floor, number, percent
from swerve.domain.texts import actions, texts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swerve.domain.texts import Texts

# Nothing may be loaded or run, whatever a category is called.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_STYLE = """
:root{color-scheme:light dark;--ink:#1a1d21;--soft:#5b6470;--line:#d9dee5;--paper:#fff;
--card:#f6f8fa;--critical:#b00020;--high:#b35000;--medium:#7a5b00;--low:#44546a}
@media(prefers-color-scheme:dark){:root{--ink:#e8eaed;--soft:#a3adb8;--line:#3a424c;
--paper:#14171a;--card:#1d2126;--critical:#ff8a94;--high:#ffb072;--medium:#e8cf7a;--low:#a9bad0}}
*{box-sizing:border-box}
body{margin:0 auto;padding:24px 16px 48px;max-width:760px;background:var(--paper);
color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",
"Noto Sans CJK SC","PingFang SC","Microsoft YaHei",sans-serif}
h1{font-size:1.5rem;line-height:1.25;margin:.35em 0 .5em;overflow-wrap:anywhere}
h2{font-size:1rem;margin:2em 0 .5em;color:var(--soft);font-weight:600}
p{margin:.4em 0}.lead{font-size:1.1rem}.soft,figcaption,dt{color:var(--soft)}
.badge{display:inline-block;padding:.1em .6em;border:1.5px solid;border-radius:99px;
font-size:.8rem;font-weight:600;letter-spacing:.02em}
.critical{color:var(--critical)}.high{color:var(--high)}
.medium{color:var(--medium)}.low{color:var(--low)}
.note{padding:.7em 1em;border-left:4px solid var(--high);background:var(--card)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.3em 1em;margin:1em 0}dd{margin:0}
figure{margin:.5em 0 0}svg{width:100%;height:auto;display:block}figcaption{font-size:.9rem}
svg text{font-size:12px;fill:var(--soft)}.axis{stroke:var(--line)}
.mark{stroke:var(--ink);stroke-width:1.5;stroke-dasharray:4 3}
.limit{stroke:var(--critical);stroke-width:1.5;stroke-dasharray:6 3}
.score{fill:none;stroke:var(--ink);stroke-width:2}.dot{fill:var(--ink)}
svg text.strong{fill:var(--ink)}
.legend{list-style:none;margin:.4em 0;padding:0;display:flex;flex-wrap:wrap;gap:.2em 1.1em;
font-size:.9rem}
.legend i{display:inline-block;width:.8em;height:.8em;margin-right:.4em;border-radius:2px}
table{border-collapse:collapse;width:100%;font-size:.95rem}
th,td{text-align:left;padding:.4em .8em .4em 0;border-bottom:1px solid var(--line);
vertical-align:top}
th{color:var(--soft);font-weight:600}
td.n,th.n{text-align:right;padding-right:1.6em;font-variant-numeric:tabular-nums}
summary{margin-top:1.5em;color:var(--soft);cursor:pointer}
.do{padding:0;list-style:none}.do li{padding:.5em .8em;margin:.4em 0;background:var(--card);
border-radius:6px}.do b{display:block;font-size:.85rem;color:var(--soft)}
footer{margin-top:3em;font-size:.85rem;color:var(--soft);overflow-wrap:anywhere}
@media(max-width:480px){svg text{font-size:22px}}
@media print{:root{--ink:#000;--soft:#333;--paper:#fff;--card:#fff;--line:#999;
--critical:#b00020;--high:#b35000;--medium:#7a5b00;--low:#44546a}
body{padding:0}h2,figure,table{break-inside:avoid}h2{break-after:avoid}}
""".replace("\n", "")

_WORDS: dict[str, dict[str, Any]] = {
    "en": {
        "interest": "Share of interest by category",
        "activity": {1: "Actions a day", 7: "Actions a week"},
        "since": "since {day}",
        "score": "Score against the alert line",
        "score_note": "Above the dashed line it alerts. A score of 4 means 1 in 10,000 by chance.",
        "why": "Why",
        "do": "What to do",
        "detector": "Detector",
        "value": "Value",
        "threshold": "Alerts from",
        "below": "below ",
        "vote": "Votes",
        "yes": "yes",
        "no": "no",
        "help": "How to read this page",
        "help_text": (
            "Swerve compares every subject with its own past. The dashed line marks the window in "
            "which the change began. A detector votes when its value passes its own line; the "
            "alert itself is decided by the calibrated p-value alone, which says how often an "
            "unchanged subject looks this unusual. An item counts once a day, at most four of a "
            "category on one day; usual is how many of as many the time before would give. "
            "Nothing here names a person: users are "
            "pseudonyms that only your own systems can resolve."
        ),
        "other": "other",
        "table": "The same as numbers",
        "window": "Window",
        "actions": "Actions",
    },
    "zh-CN": {
        "interest": "各品类兴趣占比",
        "activity": {1: "每日行为数", 7: "每周行为数"},
        "since": "{day} 起",
        "score": "得分与预警线",
        "score_note": "高于虚线即预警。得分为 4 表示偶然出现的机会为万分之一。",
        "why": "依据",
        "do": "建议",
        "detector": "检测方法",
        "value": "数值",
        "threshold": "预警线",
        "below": "低于 ",
        "vote": "同意",
        "yes": "是",
        "no": "否",
        "help": "如何阅读本页",
        "help_text": (
            "系统将每个对象与其自身的过去比较。虚线标出变化开始的一期。检测方法的数值超过其预警线即为"
            "同意；是否预警只取决于校准后的 p 值，即未变化的对象出现如此异常的频率。"
            "同一商品每天计一件，每个品类每天至多计四件；“平时”指按此前习惯，同样多的商品中应有的件数。"
            "本页不含任何个人身份：用户均为匿名编号，只能在贵司系统中对应。"
        ),
        "other": "其他",
        "table": "以数字表示",
        "window": "期",
        "actions": "行为",
    },
}


def alert_page(payload: Mapping[str, Any], language: str, now_ms: int) -> str:
    """Render the page of an `interest-alert/1.0` in one of the languages of `texts`."""
    words, said = texts(language), _WORDS[language]
    title = f"{words.kind_title(payload)}{': ' if words.ASCII else '：'}{words.headline(payload)}"
    parts = [
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        '<meta name="robots" content="noindex"><meta name="referrer" content="no-referrer">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>",
        _head(payload, words, title, now_ms),
        _do(payload, words, said),
        _charts(payload, words, said),
        _why(payload, words, said),
        f'<h2 id="help">{said["help"]}</h2><p class="soft">{said["help_text"]}</p>',
        f"</main><footer>{escape(words.footer(payload))}</footer></body></html>\n",
    ]
    return "".join(parts)


def _head(payload: Mapping[str, Any], words: Texts, title: str, now_ms: int) -> str:
    severity = payload["severity"]
    notes = "".join(f'<p class="note" role="note">{escape(n)}</p>' for n in words.note(payload))
    lead, *rest = words.what(payload)
    numbers = "".join(f"<p>{escape(line)}</p>" for line in rest)
    details = [
        (words.LABELS["who"], words.who(payload)),
        (words.LABELS["when"], words.when(payload, now_ms)),
        (words.LABELS["sure"], words.sure(payload)),
    ]
    rows = "".join(f"<dt>{label}</dt><dd>{_joined(said)}</dd>" for label, said in details)
    return (
        f'<span class="badge {severity}">{words.SEVERITY[severity]}</span>'
        f'<h1>{escape(title)}</h1>{notes}<p class="lead">{escape(lead)}</p>'
        f"{numbers}<dl>{rows}</dl>"
    )


def _joined(said: list[str]) -> str:
    return escape(" ".join(part for part in said if part))


def _charts(payload: Mapping[str, Any], words: Texts, said: Mapping[str, Any]) -> str:
    history, days = payload.get("history", []), payload["stack"]["window_days"]
    label = escape(" ".join(words.what(payload)))
    figures = []
    for title, svg in (
        (said["interest"], share_chart(payload, label, said["other"], said["since"])),
        (said["activity"][days], activity_chart(payload, label, said["since"])),
        (said["score"], score_chart(payload, label)),
    ):
        if svg:
            caption = f"<figcaption>{said['score_note']}</figcaption>" * (title == said["score"])
            figures.append(f"<h2>{title}</h2><figure>{svg}{caption}</figure>")
    return "".join(figures) + (_numbers(history, said) if history else "")


def _numbers(history: list[dict[str, Any]], said: Mapping[str, Any]) -> str:
    """Return the chart's numbers for those who do not see it."""
    rows = "".join(
        f'<tr><td>{point["window"]}</td><td class="n">{number(point["actions"])}</td><td>'
        + escape(", ".join(_counted(share, point["actions"]) for share in point["shares"][:3]))
        + "</td></tr>"
        for point in history
    )
    return (
        f"<details><summary>{said['table']}</summary><table><tr><th>{said['window']}</th>"
        f'<th class="n">{said["actions"]}</th><th>{said["interest"]}</th></tr>{rows}</table>'
        "</details>"
    )


def _counted(share: Mapping[str, Any], actions: float) -> str:
    return f"{share['name']} {percent(share['share'])} ({number(round(share['share'] * actions))})"


def _why(payload: Mapping[str, Any], words: Texts, said: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{escape(words.detector(found))}</td>"
        f'<td class="n">{number(found["value"])}</td>'
        f'<td class="n">{said["below"] * is_floor(found)}{number(found["threshold"])}</td>'
        f"<td>{said['yes'] if found['vote'] else said['no']}</td></tr>"
        for found in heard(payload)
    )
    return (
        f"<h2>{said['why']}</h2><table><tr><th>{said['detector']}</th>"
        f'<th class="n">{said["value"]}</th><th class="n">{said["threshold"]}</th>'
        f"<th>{said['vote']}</th></tr>{rows}</table>"
    )


def _do(payload: Mapping[str, Any], words: Texts, said: Mapping[str, Any]) -> str:
    if payload["status"] in {"resolved", "withdrawn"}:
        return ""
    items = "".join(
        f"<li><b>{escape(use_case)}</b>{escape(text)}</li>"
        for use_case, text in actions(words, payload)
    )
    return f'<h2>{said["do"]}</h2><ul class="do">{items}</ul>'
