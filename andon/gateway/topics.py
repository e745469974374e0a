"""Topics with a place for the machine: `plant/{machine}/readings`."""

from __future__ import annotations

import re

MACHINE = "{machine}"


def subscription(topic: str) -> str:
    """The MQTT filter of a topic template."""
    return topic.replace(MACHINE, "+")


def machine_pattern(topic: str) -> re.Pattern[str] | None:
    """Matches a topic and gives its machine; None if the template has no place for it."""
    if MACHINE not in topic:
        return None
    levels = []
    for level in topic.split("/"):
        if level == MACHINE:
            levels.append("(?P<machine>[^/]+)")
        elif level == "+":
            levels.append("[^/]+")
        elif level == "#":
            levels.append(".*")
        else:
            levels.append(re.escape(level))
    return re.compile("/".join(levels) + r"\Z")
