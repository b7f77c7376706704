"""Unchanged programs under the interceptor, with the fake driver behind them."""

from __future__ import annotations

import subprocess
import unittest
from pathlib import Path

import container
from container import FAKE, FIRST_GPU, MIB, RELEASE, SECOND_GPU, TEST_LIBRARY, Share
from program_case import PROBES, SAMPLE, ProgramCase, end

TOTAL_CHARGED, TOTAL_DENIED = 0, 13
OUT_OF_MEMORY = 2
DENIED, NOT_NVIDIAS = 3, 4  # exit statuses of the samples


class MemoryTest(ProgramCase):
    """The memory limit of the container's shares."""

    def test_limit_holds_on_every_path(self) -> None:
        """Link, dlsym and cuGetProcAddress reach the same limit for every allocator."""
        container.lay_out(Share(memory_mib=3000))
        refused = self.sample("paths", 3001).splitlines()
        allowed = self.sample("paths", 3000).splitlines()
        self.assertGreaterEqual(len(refused), 24)
        self.assertEqual([line for line in refused if not line.endswith("CUDA_ERROR_OUT_OF_MEMORY")], [])
        self.assertEqual([line for line in allowed if not line.endswith("allocated")], [])

    def test_reports_show_the_share(self) -> None:
        """cuMemGetInfo, cuDeviceTotalMem and nvidia-smi say what the share is and what it uses."""
        container.lay_out(Share(memory_mib=3000))
        self.assertIn(f"uuid={FIRST_GPU} total={3000 * MIB} free={3000 * MIB}", self.sample("info"))
        self.hold(1000)
        self.assertIn(f"total={3000 * MIB} free={2000 * MIB}", self.sample("info"))
        self.assertIn("1000MiB /   3000MiB", self.run_program(FAKE / "nvidia-smi").stdout)

    def test_old_driver_without_newer_functions(self) -> None:
        """A driver of CUDA 11.0 lacks half of what we hook: what it has is held, and nothing breaks."""
        container.lay_out(Share(memory_mib=3000))
        libraries, type(self).libraries = self.libraries, f"{FAKE}/old:{self.libraries}"
        self.addCleanup(setattr, type(self), "libraries", libraries)
        root = str(Path(libraries).parents[2])
        for mebibytes, code in ((3001, OUT_OF_MEMORY), (3000, 0)):
            done = self.run_program(PROBES / "lookup-new", "alloc", mebibytes, FAKE_GPU_ROOT=root)
            self.assertEqual(done.stdout, f"{code}\n")

    def test_killed_process_frees_a_running_one(self) -> None:
        """What was killed is there for a process that had joined before, within its next call."""
        container.lay_out(Share(memory_mib=3000))
        waiting = subprocess.Popen(
            [str(container.BUILD / "tests/model_worker")],
            env=self.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.addCleanup(end, waiting)
        assert waiting.stdin is not None and waiting.stdout is not None
        self.addCleanup(waiting.stdin.close)
        self.assertEqual(waiting.stdout.readline(), "0\n")
        holder = self.hold(2500)
        answers = []
        for _ in range(2):
            waiting.stdin.write(f"a 1 {2600 * MIB}\n")
            answers.append(waiting.stdout.readline())
            holder.kill()
            holder.wait()
        self.assertEqual(answers, [f"{OUT_OF_MEMORY}\n", "0\n"])

    def test_processes_share_the_limit(self) -> None:
        """What one process holds is missing to the next one."""
        share = Share(memory_mib=3000)
        container.lay_out(share)
        self.hold(2000)
        self.assertIn("CUDA_ERROR_OUT_OF_MEMORY", self.sample("alloc", 1001))
        self.assertEqual(self.sample("alloc", 1000), "allocated 1000 MiB\n")
        self.assertEqual(share.total(TOTAL_DENIED), 1)

    def test_killed_process_gives_its_memory_back(self) -> None:
        """SIGKILL leaves nothing charged."""
        container.lay_out(Share(memory_mib=3000))
        end(self.hold(2500))
        self.assertEqual(self.sample("alloc", 3000), "allocated 3000 MiB\n")

    def test_shares_of_one_gpu_add_up(self) -> None:
        """An allocation is split in the order of the shares' ids, or refused whole."""
        first, second = Share("a", memory_mib=1000), Share("b", memory_mib=2000)
        container.lay_out(second, first)
        self.assertIn("CUDA_ERROR_OUT_OF_MEMORY", self.sample("alloc", 3001))
        self.hold(1500)
        self.assertEqual((first.total(TOTAL_CHARGED), second.total(TOTAL_CHARGED)), (1000 * MIB, 500 * MIB))
        self.assertIn(f"total={3000 * MIB} free={1500 * MIB}", self.sample("info"))

    def test_shares_of_two_gpus_stay_apart(self) -> None:
        """Each GPU has its own limit."""
        container.lay_out(Share("a", memory_mib=1000), Share("b", SECOND_GPU, memory_mib=2000))
        info = self.sample("info")
        self.assertIn(f"uuid={FIRST_GPU} total={1000 * MIB} ", info)
        self.assertIn(f"uuid={SECOND_GPU} total={2000 * MIB} ", info)
        self.assertIn("CUDA_ERROR_OUT_OF_MEMORY", self.sample("alloc", 1001))

    def test_gpu_without_a_share_is_closed(self) -> None:
        """In a container of ours a GPU that no share names gives no memory, but runs kernels."""
        container.lay_out(Share(uuid=SECOND_GPU))
        self.assertIn("CUDA_ERROR_OUT_OF_MEMORY", self.sample("alloc", 1))
        self.assertIn("launched 1 kernels", self.sample("launch", 1))

    def test_container_without_shares_is_closed(self) -> None:
        """Loaded by the preload file, without any share folder: no memory."""
        container.lay_out()
        self.assertIn("CUDA_ERROR_OUT_OF_MEMORY", self.sample("alloc", 1))

    def test_damaged_ledger_closes_memory_only(self) -> None:
        """A truncated, alien or zeroed ledger: no memory, but launches go on."""
        share = Share(cores=30)
        for content in (b"", bytes(100), b"\xff" * container.USAGE_BYTES):
            with self.subTest(bytes=len(content)):
                container.lay_out(share)
                (share.folder / "usage").write_bytes(content)
                self.assertIn("CUDA_ERROR_OUT_OF_MEMORY", self.sample("alloc", 1))
                self.assertIn("launched 1 kernels", self.sample("launch", 1))

    def test_grown_ledger_is_used_as_it_is(self) -> None:
        """Bytes behind the layout are nobody's."""
        share = Share(memory_mib=3000)
        container.lay_out(share)
        with (share.folder / "usage").open("r+b") as usage:
            usage.truncate(1 << 30)
        self.assertEqual(self.sample("alloc", 3000), "allocated 3000 MiB\n")

    def test_environment_changes_nothing(self) -> None:
        """In a container of ours no variable raises or lifts a limit."""
        container.lay_out(Share(memory_mib=3000))
        tries = {
            "HAMI_SHARE_A": f"uuid={FIRST_GPU},memory={80000 * MIB},cores=0",
            "CUDA_DEVICE_MEMORY_LIMIT": "80g",
            "CUDA_DEVICE_MEMORY_LIMIT_0": "80g",
        }
        for name, value in tries.items():
            with self.subTest(variable=name):
                self.assertIn("CUDA_ERROR_OUT_OF_MEMORY", self.sample("alloc", 3001, **{name: value}))

    def test_child_joins_for_itself(self) -> None:
        """A forked child charges its own slot, which is free again after it."""
        container.lay_out(Share(memory_mib=3000))
        self.assertEqual(self.run_program(PROBES / "lookup-new", "fork", "2000").stdout, "child 0 parent 0\n")

    def test_many_processes_at_once(self) -> None:
        """Twenty processes that start together fit what fits and not one byte more."""
        share = Share(memory_mib=1000)
        container.lay_out(share)
        command = [str(SAMPLE), "hold", "100", "60"]
        started = [
            subprocess.Popen(command, env=self.environment(), stdout=subprocess.PIPE, text=True) for _ in range(20)
        ]
        for process in started:
            self.addCleanup(end, process)
        lines = [process.stdout.readline() for process in started if process.stdout is not None]
        self.assertEqual(sum("OUT_OF_MEMORY" in line for line in lines), 10)
        self.assertEqual(share.total(TOTAL_CHARGED), 1000 * MIB)


class LookupTest(ProgramCase):
    """How programs find the driver."""

    def test_callers_of_old_and_new_glibc_are_caught(self) -> None:
        """dlsym of version 2.2.5 and of 2.34 both lead to the hooks."""
        container.lay_out(Share(memory_mib=3000))
        for probe in ("lookup-old", "lookup-new"):
            with self.subTest(probe=probe):
                self.assertEqual(self.run_program(PROBES / probe, "alloc", "3001").stdout, f"{OUT_OF_MEMORY}\n")
                self.assertEqual(self.run_program(PROBES / probe, "alloc", "3000").stdout, "0\n")

    def test_a_driver_in_its_own_name_space_is_held(self) -> None:
        """What a program looks up in a driver that it loaded by dlmopen leads to the hooks too."""
        container.lay_out(Share(memory_mib=3000))
        self.assertEqual(self.run_program(PROBES / "lookup-new", "space", "3001").stdout, f"{OUT_OF_MEMORY}\n")
        self.assertEqual(self.run_program(PROBES / "lookup-new", "space", "3000").stdout, "0\n")

    def test_lookups_answer_as_without_us(self) -> None:
        """What exists is found every time, what does not is not, with or without a driver."""
        container.lay_out(Share())
        for probe in ("lookup-old", "lookup-new"):
            for question in ("bare", "driver"):
                with self.subTest(probe=probe, question=question):
                    self.assertNotIn(": no", self.run_program(PROBES / probe, question).stdout)

    def test_errors_of_lookups_are_the_loaders(self) -> None:
        """Who asks dlerror hears what he would hear without us: of wrappers, and of what an old driver lacks."""
        container.lay_out(Share())
        old = {"LD_LIBRARY_PATH": f"{FAKE}/old:{self.libraries}", "FAKE_GPU_ROOT": str(Path(self.libraries).parents[2])}
        nowhere = {"LD_LIBRARY_PATH": "/nonexistent"}
        questions = (
            (("wrapper", PROBES / "libinterposer.so"), nowhere),
            (("missing", "cuMemAllocAsync"), old),
            (("bare",), old),
        )
        for preload in ((), self.preload):
            self.preload = preload
            for question, where in questions:
                with self.subTest(preload=preload, question=question[0]):
                    done = self.run_program(PROBES / "lookup-new", *question, **where)
                    self.assertEqual(done.returncode, 0, done.stdout)

    def test_other_interposers_work(self) -> None:
        """A second wrapper, before or after us, neither breaks nor bypasses the limit."""
        container.lay_out(Share(memory_mib=3000))
        other = PROBES / "libinterposer.so"
        for preload in ((TEST_LIBRARY, other), (other, TEST_LIBRARY)):
            self.preload = preload
            with self.subTest(first=preload[0].name):
                self.assertIn("CUDA_ERROR_OUT_OF_MEMORY", self.sample("alloc", 3001))
                self.assertEqual(self.sample("alloc", 3000), "allocated 3000 MiB\n")

    def test_a_wrapper_of_dlsym_goes_on(self) -> None:
        """A second one behind ours still answers what it is asked, all but for what we stand for."""
        container.lay_out(Share(memory_mib=3000))
        self.preload = (TEST_LIBRARY, PROBES / "libinterposer_dlsym.so")
        self.assertEqual(self.run_program(PROBES / "lookup-new", "wrapped").stdout, "wrapped: yes\n")
        self.assertEqual(self.run_program(PROBES / "lookup-new", "alloc", "3001").stdout, f"{OUT_OF_MEMORY}\n")

    def test_launch_is_the_drivers_own_without_core_limit(self) -> None:
        """A share without cores and priority costs a launch nothing."""
        cases = [(Share(), "driver"), (Share(cores=30), "hook"), (Share(priority=1), "hook")]
        for share, expected in cases:
            with self.subTest(share=share):
                container.lay_out(share)
                self.assertEqual(self.run_program(PROBES / "lookup-new", "launch").stdout, f"{expected}\n")


class RuntimeTest(ProgramCase):
    """Programs built on NVIDIA's own runtime library."""

    def test_cuda_malloc_keeps_to_the_share(self) -> None:
        """The real shared libcudart of both generations finds the hooks and reports the share."""
        container.lay_out(Share(memory_mib=3000))
        for runtime in container.runtimes():
            with self.subTest(runtime=runtime.name):
                refused = self.run_program(FAKE / "cudart-sample", runtime, "3001")
                if refused.returncode == NOT_NVIDIAS:
                    self.skipTest("libcudart works with NVIDIA's own driver only")
                self.assertEqual(refused.returncode, DENIED)
                allowed = self.run_program(FAKE / "cudart-sample", runtime, "3000")
                self.assertEqual(allowed.returncode, 0, allowed.stdout)
                self.assertIn(f"total={3000 * MIB}", allowed.stdout)


class VariablesTest(ProgramCase):
    """Outside Kubernetes: the released library and the environment."""

    preload = (RELEASE,)

    def test_named_share(self) -> None:
        """HAMI_SHARE_<ID> limits the GPU that it names, and no other."""
        value = f"uuid={FIRST_GPU},memory={100 * MIB},cores=0"
        self.assertIn("CUDA_ERROR_OUT_OF_MEMORY", self.sample("alloc", 101, HAMI_SHARE_A=value))
        info = self.sample("info", HAMI_SHARE_A=value)
        self.assertIn(f"uuid={FIRST_GPU} total={100 * MIB} ", info)
        self.assertNotIn(f"uuid={SECOND_GPU} total={100 * MIB} ", info)

    def test_variables_of_hami_core(self) -> None:
        """CUDA_DEVICE_MEMORY_LIMIT[_i] limits by device number."""
        self.assertIn("CUDA_ERROR_OUT_OF_MEMORY", self.sample("alloc", 101, CUDA_DEVICE_MEMORY_LIMIT="100m"))
        self.assertEqual(self.sample("alloc", 100, CUDA_DEVICE_MEMORY_LIMIT_0="100m"), "allocated 100 MiB\n")
        self.assertEqual(self.sample("alloc", 101, CUDA_DEVICE_MEMORY_LIMIT_1="100m"), "allocated 101 MiB\n")

    def test_without_variables_nothing_is_limited(self) -> None:
        """Preloaded without a word on limits the library is not there."""
        self.assertEqual(self.sample("alloc", 5000), "allocated 5000 MiB\n")
        self.assertEqual(self.run_program(PROBES / "lookup-new", "launch").stdout, "driver\n")


if __name__ == "__main__":
    unittest.main(verbosity=2)
