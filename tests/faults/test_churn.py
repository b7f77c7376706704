"""Everything that pods need changes under them: claims, their own names, GPUs, nodes, kube-scheduler, bindings."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from functools import partial

import pytest
from abreast import abreast
from clusters import AS_INSTALLED, SPACE, Clusters
from ordeal import CORES, MEMORIES, Ordeal, ordeal, template_name
from proxying import DENIED_BINDINGS, proxied_scheduler
from stages import Stage, Victim

from cluster.control_plane import SCHEDULER
from hami_dra.kube.paths import CLAIMS, namespaced
from hollow.workload import claim, claim_spec, pod
from hollow.writing import create_all

pytestmark = pytest.mark.cluster

NODES = 6
WORKERS = 4


def lose_gpus(trial: Ordeal) -> None:
    """Half of a node's GPUs vanish under what runs on them, and come back."""
    trial.fleet.lose_gpus(1, [0, 1])
    trial.wait_allocated(trial.books.begun() + 2)
    trial.fleet.publish(trial.fleet.name(1), trial.fleet.inventory(1))


def lose_node(trial: Ordeal) -> None:
    """A Node and its slices vanish, and come back before Kubernetes ends what ran there."""
    trial.fleet.lose_node(2)
    trial.wait_allocated(trial.books.begun() + 2)
    trial.fleet.add(1, first=2)


def lose_all_gpus(trial: Ordeal) -> None:
    """A node has no GPUs for an instant, as when its plugin publishes anew."""
    trial.fleet.lose_gpus(3, range(4))
    trial.fleet.publish(trial.fleet.name(3), trial.fleet.inventory(3))


def kill_scheduler(trial: Ordeal) -> None:
    trial.bed.cluster.kill_component(SCHEDULER)


DISTURBANCES: tuple[Callable[[Ordeal], None], ...] = (lose_gpus, kill_scheduler, lose_node, lose_all_gpus)
BLOWS: tuple[Callable[[Victim], None], ...] = (Victim.delete_claim, Victim.replace)


def disturb_all(trial: Ordeal) -> None:
    """One after the other, each while pods come."""
    for number, disturb in enumerate(DISTURBANCES):
        trial.add_pods(f"amid-{number}", 15)
        disturb(trial)


def victims(trial: Ordeal) -> list[tuple[Victim, Stage, Callable[[Victim], None]]]:
    """A pod for each stage and blow, with a claim of its own, and with one that it names."""
    cases = list(itertools.product(Stage, BLOWS))
    generated = [pod(f"generated-{n}", template=template_name(n % len(MEMORIES))) for n in range(2 * len(cases))]
    found = [(Victim(trial, body), *case) for body, case in zip(generated, cases * 2, strict=True)]
    claims = [claim(f"named-{stage}", claim_spec(MEMORIES[0], CORES)) for stage in Stage]
    create_all(trial.client, namespaced(CLAIMS, SPACE), claims)
    named = [pod(f"named-{stage}", claim_name=f"named-{stage}") for stage in Stage]
    return found + [(Victim(trial, body), stage, Victim.replace) for body, stage in zip(named, Stage, strict=True)]


def test_everything_changes_under_the_pods(clusters: Clusters) -> None:
    """Claims are deleted and pods replaced at every step, while GPUs, nodes and kube-scheduler come and go."""
    with ordeal(clusters, NODES, AS_INSTALLED) as trial, proxied_scheduler(trial) as scheduler:
        scheduler.set_faults(*DENIED_BINDINGS)
        for number in (0, 1):
            trial.bed.controllers.start(number)
        trial.add_pods("steady", 60)
        blows = [partial(victim.strike, stage, blow) for victim, stage, blow in victims(trial)]
        abreast([partial(disturb_all, trial), *blows], WORKERS + 1, trial.given_up)
        for proxy in trial.proxies.values():
            proxy.set_faults()
        trial.restore_pods()
        trial.reckon("everything changes", time.monotonic())
