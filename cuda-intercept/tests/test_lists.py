"""NVML's lists of processes, and what it tells of each."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

import container
from container import TEST_LIBRARY, Share
from program_case import LISTS, ProgramCase

NOT_SUPPORTED, NOT_FOUND, TOO_SMALL = 3, 6, 7
PROFILES = container.HERE.parent / "fake" / "profiles"
OTHER_LISTS = [
    f"nvmlDeviceGet{kind}RunningProcesses{version}"
    for kind in ("Graphics", "MPSCompute")
    for version in ("", "_v2", "_v3")
]


class ListsCase(ProgramCase):
    """Two processes in the share, and one of somebody else on the GPU."""

    more = ""
    """What the driver is told beside its profile."""

    @classmethod
    def setUpClass(cls) -> None:
        with tempfile.TemporaryDirectory(prefix="hami-lists-") as folder:
            profile = Path(folder) / "profile"
            profile.write_text(cls.more + (PROFILES / "h100x4").read_text())
            root = container.install_driver(str(profile))
        cls.addClassCleanup(root.cleanup)
        cls.libraries = container.libraries_of(root.name)

    def setUp(self) -> None:
        container.lay_out(Share(memory_mib=3000))
        self.preload = ()
        self.stranger = self.hold(500).pid
        self.preload = (TEST_LIBRARY,)
        self.first, self.second = self.hold(1000).pid, self.hold(300).pid

    def lines(self, pid: int = 0) -> dict[str, str]:
        """What the probe prints, by what it asked for."""
        names = ("room for pids", "room")
        found = {}
        for line in self.run_program(LISTS, str(pid)).stdout.splitlines():
            name = next((name for name in names if line.startswith(name)), line.split(" ", 1)[0])
            found[name] = line[len(name) :].strip()
        return found


class ListsTest(ListsCase):
    """The driver as it is installed."""

    def test_every_version_names_those_of_the_share(self) -> None:
        """With what they hold of it, and nobody else."""
        lines = self.lines()
        members = {f"{self.first}:1000", f"{self.second}:300"}
        names = [f"nvmlDeviceGetComputeRunningProcesses{version}" for version in ("", "_v2", "_v3")]
        for name in (*names, "nvmlDeviceGetRunningProcessDetailList"):
            status, *found = lines[name].split()
            self.assertEqual((status, set(found)), ("0", members), name)
        self.assertEqual([lines[name] for name in OTHER_LISTS], ["0"] * len(OTHER_LISTS))
        for name in ("nvmlDeviceGetProcessUtilization", "nvmlDeviceGetProcessesUtilizationInfo"):
            self.assertEqual(set(lines[name].split()), {"0", str(self.first), str(self.second)})
        self.assertEqual(lines["room"], f"{TOO_SMALL} 2")

    def test_accounting_is_off_as_the_driver_says(self) -> None:
        """The driver's own answer, where nothing is remembered."""
        lines = self.lines(self.first)
        for name in ("Pids", "Stats", "Stats_v2"):
            self.assertEqual(lines[f"nvmlDeviceGetAccounting{name}"].split()[0], str(NOT_SUPPORTED))


class OtherListsTest(ListsCase):
    """A driver on which processes that compute draw too, and are clients of MPS."""

    more = "in_all_lists 1\n"

    def test_they_name_those_of_the_share(self) -> None:
        """Every version of the lists of processes that draw, and of MPS' clients."""
        lines = self.lines()
        members = {f"{self.first}:1000", f"{self.second}:300"}
        for name in OTHER_LISTS:
            status, *found = lines[name].split()
            self.assertEqual((status, set(found)), ("0", members), name)


class AccountingTest(ListsCase):
    """A driver that was told to remember processes."""

    more = "accounting 1\n"

    def test_accounting_tells_of_the_share(self) -> None:
        """Its processes are told of, others are not there."""
        for pid, status in ((self.first, 0), (self.stranger, NOT_FOUND)):
            lines = self.lines(pid)
            self.assertEqual(
                set(lines["nvmlDeviceGetAccountingPids"].split()), {"0", str(self.first), str(self.second)}
            )
            self.assertEqual(lines["room for pids"], f"{TOO_SMALL} 2")
            self.assertEqual(lines["nvmlDeviceGetAccountingStats"], str(status))
            self.assertEqual(lines["nvmlDeviceGetAccountingStats_v2"], str(status))


if __name__ == "__main__":
    unittest.main(verbosity=2)
