"""All functions, methods and types that an expression can name."""

from __future__ import annotations

from hami_dra.controller.cel import conversions, quantities, regexes, semvers, strings, times
from hami_dra.controller.cel.registry import Library

LIBRARY = Library()
for _module in (conversions, quantities, regexes, semvers, strings, times):
    LIBRARY.include(_module.LIBRARY)
TYPES = conversions.TYPES
