"""`make demo`: a cluster with fake GPUs, the driver, and a pod with a share of a GPU."""

import os
import sys
from collections.abc import Callable

from cluster.errors import ClusterError
from testbed import clusters
from testbed.bed import Testbed, testbed
from testbed.errors import TestbedError
from testbed.images import built_images
from testbed.kubectl import Kubectl
from testbed.story import EXAMPLES, Story
from testbed.waiting import until

NAME = "demo"
ALLOCATOR = os.environ.get("ALLOCATOR", "controller")


def say(text: str) -> None:
    print(f"==> {text}", file=sys.stderr, flush=True)


def up() -> None:
    """Bring everything up, run the first share, show it, and say how to go on."""
    choice = clusters.chosen()
    say(str(choice))
    bed = testbed(NAME, choice)
    say("two nodes with fake GPUs: 4 x H100 80 GB on the first, 4 x A100 40 GB on the second")
    bed.up()
    say(f"the driver, from its Helm chart (allocator: {ALLOCATOR})")
    bed.install_driver(ALLOCATOR)
    say("deploy/examples/first-share: a pod with 3000 MiB and 30 % of a GPU")
    story = Story("first-share", bed.kubectl, tuple(bed.nodes))
    story.apply("claim.yaml")
    story.apply("pod.yaml")
    story.log_with("first-share", "done", timeout=120)
    show(bed, story)


def show(bed: Testbed, story: Story) -> None:
    """The claim and the container, one after the other, then how to go on."""
    name = story.claim("first-share")["metadata"]["name"]
    until(lambda: "Ready" in story.kubectl("describe", "resourceclaim", name), "the claim says that its share is ready")
    section("What the claim says:  kubectl describe resourceclaim", story.kubectl("describe", "resourceclaim", name))
    section("What the container saw:  kubectl logs first-share", story.log("first-share"))
    print(how_to_go_on(bed.kubectl))


def section(title: str, text: str) -> None:
    print(f"\n{title}\n{'-' * len(title)}\n{text.rstrip()}")


def how_to_go_on(kubectl: Kubectl) -> str:
    examples = os.path.relpath(EXAMPLES)
    return f"""
The cluster stays up. Go on with it in this shell:
  export KUBECONFIG={kubectl.kubeconfig}
  export PATH={kubectl.programs}:$PATH
  kubectl get pods,resourceclaims,resourceslices
  kubectl exec first-share -- nvidia-smi
  kubectl apply -f {examples}/two-pods-one-gpu/
Remove every trace of it:
  make demo-down"""


def down() -> None:
    clusters.remove(NAME)
    say("the demo's cluster is gone")


def chosen() -> None:
    print(clusters.chosen().cluster)


def packages() -> None:
    clusters.install_packages(clusters.chosen())


def programs() -> None:
    clusters.build_programs(clusters.chosen())


def images() -> None:
    print(f"the driver's image: {built_images().driver.archive}")


def main(argv: list[str]) -> int:
    commands: dict[str, Callable[[], None]] = {
        "up": up,
        "down": down,
        "chosen": chosen,
        "packages": packages,
        "programs": programs,
        "images": images,
    }
    if len(argv) != 1 or argv[0] not in commands:
        print("usage: python -m testbed up|down|chosen|packages|programs|images", file=sys.stderr)
        return 2
    try:
        commands[argv[0]]()
    except (TestbedError, ClusterError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0
