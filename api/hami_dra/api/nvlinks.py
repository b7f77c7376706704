"""The text of a GPU's `nvlinks` attribute: how many NVLinks it has to which other GPUs of its node.

`18:0,2-3` means 18 links to each of the GPUs with minor number 0, 2 and 3; groups of other numbers follow after `;`.
An attribute may have 64 characters, which a list of pairs would exceed from 12 GPUs on.
"""

from __future__ import annotations

from collections.abc import Mapping


def format_nvlinks(links: Mapping[int, int]) -> str:
    """The text for numbers of links by minor number of the other GPU; empty where there are none."""
    by_count: dict[int, list[int]] = {}
    for minor, count in sorted(links.items()):
        if count > 0:
            by_count.setdefault(count, []).append(minor)
    return ";".join(f"{count}:{_ranges(minors)}" for count, minors in sorted(by_count.items()))


def parse_nvlinks(text: str) -> dict[int, int]:
    """Numbers of links by minor number of the other GPU; empty where the text cannot be understood."""
    links: dict[int, int] = {}
    try:
        for group in text.split(";"):
            count, _, minors = group.partition(":")
            for part in minors.split(","):
                first, _, last = part.partition("-")
                links |= dict.fromkeys(range(int(first), min(int(last or first), 1023) + 1), int(count))
    except ValueError:
        return {}
    return links


def _ranges(minors: list[int]) -> str:
    parts: list[list[int]] = []
    for minor in minors:
        if parts and minor == parts[-1][-1] + 1:
            parts[-1].append(minor)
        else:
            parts.append([minor])
    return ",".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)
