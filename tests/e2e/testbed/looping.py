"""The pod of the story `faults`, which allocates and frees without end."""

from testbed.errors import CommandError
from testbed.story import Story
from testbed.waiting import until


def rounds(story: Story) -> list[str]:
    """What the loop has printed."""

    def look() -> list[str]:
        # A log that kubelet or containerd cannot serve yet says nothing about the loop.
        try:
            return [line for line in story.log("loop").splitlines() if "unable to retrieve" not in line]
        except CommandError:
            return []

    lines = until(look, "the loop's log can be read")
    assert all(line.startswith("ok ") for line in lines), lines[-5:]
    return lines


def goes_on(story: Story) -> None:
    """The loop prints more rounds than it had, and has printed nothing else."""
    before = len(rounds(story))
    until(lambda: len(rounds(story)) > before + 1, "the loop goes on")
