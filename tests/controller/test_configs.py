"""What configurations say to requests, and how often they are read for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from controller_objects import classes, config, make_claim
from work import calls_of

from hami_dra.api.share_config import Choice
from hami_dra.controller.asks import read_requests
from hami_dra.controller.errors import BadClaim

REQUESTS = [
    {"name": f"r{number}", "firstAvailable": [{"name": f"a{n}", "deviceClassName": "gpu.hami.io"} for n in range(8)]}
    for number in range(32)
]
"""As many as a claim may have."""


def read(*configs: object) -> Callable[[], object]:
    """Reading a claim with so many requests."""
    claim = make_claim("claim", *REQUESTS, configs=configs)
    return lambda: read_requests(claim, classes(), require_cores=False)


def test_parameters_are_read_once_for_all_requests() -> None:
    """A claim with many requests and configurations costs what reading its configurations costs, again and again."""
    many = [config(uuids={"exclude": [f"GPU-{number}"]}) for number in range(32)]
    read(*many)()
    assert calls_of(read(*many)) - calls_of(read()) < 30_000


def test_a_configuration_reaches_the_requests_that_it_names() -> None:
    """A request, or one of its alternatives; a later one beats an earlier one field by field."""
    claim = make_claim(
        "claim",
        *REQUESTS[:2],
        configs=[
            config(models={"include": ["H100"]}, priority=1),
            config(("r0",), priority=2),
            config(("r0/a7",), models={"include": ["A100"]}),
        ],
    )
    first, second = read_requests(claim, classes(), require_cores=False)
    assert [(ask.config.priority, ask.config.models) for ask in first] == [
        *[(2, Choice(include=("H100",)))] * 7,
        (2, Choice(include=("A100",))),
    ]
    assert {(ask.config.priority, ask.config.models) for ask in second} == {(1, Choice(include=("H100",)))}


def test_wrong_parameters_are_read_once() -> None:
    """Their pod has a turn at every change of the cluster, to be told the same as before."""
    fields: dict[str, Any] = {f"field{number}": 0 for number in range(1000)}
    wrong = read(config(**fields))

    def fail() -> None:
        with pytest.raises(BadClaim, match=r"field0: unknown field.*and 984 more"):
            wrong()

    fail()
    assert calls_of(fail) < 500
