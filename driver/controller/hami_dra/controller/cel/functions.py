"""All functions, methods and types that an expression can name."""

from __future__ import annotations

from hami_dra.controller.cel import (
    conversions,
    formats,
    formatting,
    lists,
    networks,
    optionals,
    quantities,
    regexes,
    semvers,
    strings,
    times,
    urls,
)
from hami_dra.controller.cel.registry import Library

LIBRARY = Library()
for _module in (conversions, quantities, semvers, strings, formatting, regexes, lists, optionals):
    LIBRARY.include(_module.LIBRARY)
for _module in (networks, urls, formats, times):
    LIBRARY.include(_module.LIBRARY)
TYPES = conversions.TYPES
