"""Evaluates the CEL selectors of classes and requests against devices.

An expression is parsed with cel-python's grammar, its names and macros are resolved, and it is compiled once to Python
closures. cel-python's own interpreter is some hundred times slower and knows no Kubernetes library; it is the oracle
in tests. Semantics are those of resource.k8s.io: ``device.driver``, ``device.attributes``, ``device.capacity`` and
``device.allowMultipleAllocations``; a domain that nobody published is an empty map.
"""

from hami_dra.controller.cel.matcher import CelMatcher, warm_up

__all__ = ["CelMatcher", "warm_up"]
