"""The claims that pods of the benchmark make, read from the file beside this module."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import yaml

from hami_dra.api.resources import JsonObject
from hollow.workload import claim_spec, claim_template

FILE = Path(__file__).with_name("claims.yaml")
_SEED = 4


@dataclass(frozen=True)
class Entry:
    """One kind of claim; `weight` pods of each hundred make it."""

    name: str
    weight: int
    memory: str
    cores: int
    selector: str = ""

    @property
    def template(self) -> JsonObject:
        """The ResourceClaimTemplate of this name."""
        return claim_template(self.name, claim_spec(self.memory, self.cores, selector=self.selector))


def read_mix() -> list[Entry]:
    """All kinds of claims."""
    return [Entry(**entry) for entry in yaml.safe_load(FILE.read_text())]


def templates_of(pods: int) -> list[str]:
    """The template of each pod, in the order of their creation; the same in every run."""
    mix = read_mix()
    return random.Random(_SEED).choices([entry.name for entry in mix], [entry.weight for entry in mix], k=pods)
