"""What may stand in a message: clean names, SNS subjects, widths, personal data.

Category, product and campaign names come from uploads and are not trusted: they may carry control
or bidirectional characters, links, or somebody's address.
"""

from __future__ import annotations

import re
import unicodedata

# SNS: "less than 100 characters", no line breaks or control characters (Publish, API reference).
SUBJECT_CHARACTERS = 99
EMAIL_COLUMNS = 76
NAME_CHARACTERS = 40
_WHOLE_PATH = 24  # characters, a longer one is shown by its last part
PATH_CHARACTERS = 128
# SNS: message and attributes together at most 256 KiB.
MESSAGE_BYTES = 240 * 1024
HIDDEN = "(hidden)"

_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
# Seven or more digits with the marks of a phone, card or account number between them. Hex ids of
# ours are never matched, as their digits touch letters or other hex.
_NUMBER = re.compile(r"(?<![\w-])\+?\d(?:[ ()./-]?\d){8,18}(?![\w-])")
_SCHEME = re.compile(r"(?i)\b(https?|ftp|file|javascript|data)\s*:(?=\S)")
_HOST_DOT = re.compile(r"(?<=[\w-])\.(?=[a-z]{2,24}(?:[^a-z]|$))")
_DROPPED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})


def clean(name: str, limit: int = NAME_CHARACTERS) -> str:
    r"""Return a name that may stand in a message: printable, without links or personal data.

    Examples
    --------
    >>> clean("Baby\x00 toys\u202e  https://evil.example.com/x")
    'Baby toys hxxps://evil[.]example[.]com/x'
    >>> clean("ask jane@example.com")
    'ask (hidden)'
    """
    text = unicodedata.normalize("NFC", name)
    kept = "".join(
        " " if character.isspace() or unicodedata.category(character) in {"Zl", "Zp"} else character
        for character in text
        if character.isspace() or unicodedata.category(character) not in _DROPPED_CATEGORIES
    )
    shown = " ".join(kept.split())
    # A name of digits alone is the source's own id of a category or item.
    return shorten(shown if shown.isdigit() else defang(mask(shown)), limit)


def clean_path(path: str) -> str:
    """Clean every part of a category path `a/b/c`."""
    return "/".join(clean(part, PATH_CHARACTERS) for part in path.split("/") if part.strip())


def display_name(path: str) -> str:
    """Return a category's name, of a long path its last part, made fit for a text.

    Many shops' names have a slash and are no path: `BEERS/ALES` is not ales, and what is written
    in capitals throughout is mostly the label of a till.

    Examples
    --------
    >>> display_name("BEERS/ALES"), display_name("home/appliances/Portable Fans")
    ('Beers/ales', 'Portable Fans')
    >>> display_name("WATER - CARBONATED/FLVRD DRINK")
    'Water - carbonated/flvrd drink'
    """
    whole = len(path) <= _WHOLE_PATH or path.isupper()
    name = path if whole else path.rsplit("/", 1)[-1]
    shown = clean(name.strip("/") or path)
    return shown.capitalize() if shown.isupper() and shown.isascii() and len(shown) > 3 else shown


def mask(text: str) -> str:
    """Hide what looks like an e-mail address or a phone, card or account number."""
    return _NUMBER.sub(HIDDEN, _ADDRESS.sub(HIDDEN, text))


def defang(text: str) -> str:
    """Break links, so that no mail client makes them clickable."""
    text = _SCHEME.sub(lambda found: _DEFANGED.get(found[1].lower(), found[1]) + ":", text)
    return _HOST_DOT.sub("[.]", text)


_DEFANGED = {
    "http": "hxxp",
    "https": "hxxps",
    "ftp": "fxp",
    "javascript": "script-",
    "data": "data-",
    "file": "file-",
}


def shorten(text: str, limit: int) -> str:
    """Cut to `limit` characters, the last of them dots."""
    return text if len(text) <= limit else text[: max(limit - 2, 1)].rstrip() + ".."


def ascii_only(text: str) -> str:
    r"""Nearest ASCII form; characters without one become `?`.

    Examples
    --------
    >>> ascii_only("Caf\u00e9 \u2192 \u6bcd")
    'Cafe -> ?'
    """
    text = text.replace("→", "->").replace("…", "..").replace("’", "'")
    plain = unicodedata.normalize("NFKD", text)
    return (
        "".join(c for c in plain if not unicodedata.combining(c))
        .encode("ascii", "replace")
        .decode("ascii")
    )


def subject_line(text: str) -> str:
    """Return the nearest subject that SNS accepts."""
    printable = " ".join(
        "".join(
            c if unicodedata.category(c) not in _DROPPED_CATEGORIES else " " for c in text
        ).split()
    )
    return shorten(printable, SUBJECT_CHARACTERS) or "Swerve"


def subject_faults(subject: str, *, ascii_mode: bool) -> tuple[str, ...]:
    """Say why SNS would refuse a subject, or a mail client show it badly."""
    faults = []
    if not subject or subject != subject.strip():
        faults.append("empty, or spaces at its ends")
    if len(subject) > SUBJECT_CHARACTERS:
        faults.append(f"{len(subject)} characters; SNS takes {SUBJECT_CHARACTERS}")
    if any(unicodedata.category(c) in _DROPPED_CATEGORIES | {"Zl", "Zp"} for c in subject):
        faults.append("control or formatting character")
    if ascii_mode and not subject.isascii():
        faults.append("not ASCII")
    return tuple(faults)


def body_faults(body: str, *, ascii_mode: bool) -> tuple[str, ...]:
    """Say what is wrong with an e-mail's text."""
    faults = []
    for number, line in enumerate(body.split("\n"), start=1):
        if display_width(line) > EMAIL_COLUMNS:
            faults.append(f"line {number}: {display_width(line)} columns")
        if any(unicodedata.category(c) in _DROPPED_CATEGORIES for c in line):
            faults.append(f"line {number}: control or formatting character")
        if line != line.rstrip():
            faults.append(f"line {number}: spaces at its end")
    if ascii_mode and not body.isascii():
        faults.append("not ASCII")
    if len(body.encode()) > MESSAGE_BYTES:
        faults.append(f"{len(body.encode())} bytes")
    return (*faults, *personal_data(body))


def personal_data(text: str) -> tuple[str, ...]:
    """Say what looks like an address or number of a person."""
    found = [*_ADDRESS.findall(text), *_NUMBER.findall(text)]
    return tuple(f"looks like personal data: {item[:4]}..." for item in found)


def display_width(text: str) -> int:
    """Columns of a fixed-width font; wide and ambiguous East Asian characters take two."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(c) in "WFA" else 1 for c in text)
