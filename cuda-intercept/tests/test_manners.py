"""What the interceptor must not change in the programs that it is loaded into."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
import unittest
from pathlib import Path

import container
from container import FIRST_GPU, MIB, RELEASE, Share
from model_world import Driver
from program_case import PROBES, SAMPLE, ProgramCase

TOTAL_CHARGED = 0
SLOTS_OFFSET, SLOT_BYTES = 4096, 256
PREAMBLE = """
    import atexit, ctypes, os, subprocess, threading
    cuda, libc, context = ctypes.CDLL("libcuda.so.1"), ctypes.CDLL(None), ctypes.c_void_p()
    def allocate(mebibytes):
        return cuda.cuMemAlloc_v2(ctypes.byref(ctypes.c_uint64()), ctypes.c_size_t(mebibytes << 20))
    def use(mebibytes):
        assert cuda.cuInit(0) == 0 and cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0) == 0
        assert cuda.cuCtxSetCurrent(context) == 0 and allocate(mebibytes) == 0
    """


class MannersTest(ProgramCase):
    """What programs do to themselves while the library is in them."""

    def run_python(self, source: str, **extra: str) -> str:
        source = textwrap.dedent(PREAMBLE) + textwrap.dedent(source)
        return self.run_program(sys.executable, "-c", source, **extra).stdout

    def setUp(self) -> None:
        container.lay_out(Share(memory_mib=3000))

    def test_many_children_by_every_way_to_make_them(self) -> None:
        """fork, vfork and exec from a process with a context: each child works and the parent keeps its share."""
        source = """
            use(1000)
            for _ in range(20):
                assert subprocess.run(["sh", "-c", "true & wait; ls /dev/null"], capture_output=True).returncode == 0
                assert os.posix_spawn("/bin/true", ["true"], {}) > 0 and os.wait()[1] == 0
                child = os.fork()
                if child == 0:
                    os._exit(0)
                assert os.waitpid(child, 0)[1] == 0
            print(allocate(2001), allocate(2000))
            """
        self.assertEqual(self.run_python(source), "2 0\n")

    def test_exec_gives_everything_back(self) -> None:
        """A process that becomes another program holds nothing of the GPU any more."""
        share = Share(memory_mib=3000)
        source = f"""
            use(2500)
            os.execve("{SAMPLE}", ["{SAMPLE}", "alloc", "3000"], os.environ)
            """
        self.assertEqual(self.run_python(source), "allocated 3000 MiB\n")
        self.assertLessEqual(share.total(TOTAL_CHARGED), 3000 * MIB)

    def test_driver_may_be_closed_and_opened(self) -> None:
        """dlclose and dlopen of the driver between calls, and calls from other threads."""
        source = """
            use(100)
            for _ in range(3):
                handle = ctypes.CDLL("libcuda.so.1")
                libc.dlclose(ctypes.c_void_p(handle._handle))
            threads = [threading.Thread(target=lambda: (cuda.cuCtxSetCurrent(context), allocate(1))) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            print(allocate(2893), allocate(2892))
            """
        self.assertEqual(self.run_python(source), "2 0\n")

    @unittest.skipIf(os.environ.get("HAMI_SANITIZER_RUNTIME"), "sanitizers forbid deep binding")
    def test_driver_opened_with_deep_binding_is_held(self) -> None:
        """RTLD_DEEPBIND on the driver itself changes nothing: its functions are looked up by dlsym."""
        source = """
            use(1)
            cuda = ctypes.CDLL("libcuda.so.1", mode=os.RTLD_NOW | os.RTLD_DEEPBIND)
            print(allocate(3000), allocate(2999))
            """
        self.assertEqual(self.run_python(source), "2 0\n")

    def test_exit_handlers_may_use_the_driver(self) -> None:
        """Frees in atexit handlers work, and the exit status stays the program's."""
        source = """
            use(100)
            address = ctypes.c_uint64()
            cuda.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(1 << 20))
            atexit.register(lambda: print(cuda.cuMemFree_v2(address)))
            """
        self.assertEqual(self.run_python(source), "0\n")

    def test_destructors_may_use_the_driver(self) -> None:
        """Those of threads and of the program, which may open it anew; all are held, and the exit status stays."""
        done = self.run_program(container.BUILD / "tests/probe_ends")
        self.assertEqual((done.returncode, done.stdout), (7, "thread 2 0\nexit 2 0\ndestructor 2 0\n"))

    def test_asking_which_gpus_there_are_joins_nothing(self) -> None:
        """cuInit and questions make no context, start no thread and take no slot."""
        share = Share(memory_mib=3000)
        source = """
            count = ctypes.c_int()
            assert cuda.cuInit(0) == 0 and cuda.cuDeviceGetCount(ctypes.byref(count)) == 0
            assert cuda.cuDeviceTotalMem_v2(ctypes.byref(ctypes.c_size_t()), 0) == 0
            flags, active = ctypes.c_uint(), ctypes.c_int(7)
            assert cuda.cuDevicePrimaryCtxGetState(0, ctypes.byref(flags), ctypes.byref(active)) == 0
            print(count.value > 0, active.value, len(os.listdir("/proc/self/task")))
            """
        self.assertEqual(self.run_python(source), "True 0 1\n")
        self.assertEqual((share.folder / "usage").read_bytes()[SLOTS_OFFSET:][:SLOT_BYTES][:4], bytes(4))

    def test_asking_for_functions_searches_no_library(self) -> None:
        """NVIDIA's runtime asks for hundreds as it starts: for none of them is NVML looked for in every folder."""
        source = """
            address, status = ctypes.c_void_p(), ctypes.c_int()
            for name in (b"cuDeviceGetCount", b"cuMemAlloc", b"cuStreamWaitEvent"):
                arguments = ctypes.byref(address), 12000, ctypes.c_uint64(), ctypes.byref(status)
                assert cuda.cuGetProcAddress_v2(name, *arguments) == 0
            """
        with tempfile.TemporaryDirectory(prefix="hami-searches-") as folder:
            self.run_python(source, LD_DEBUG="libs", LD_DEBUG_OUTPUT=f"{folder}/of")
            (said,) = [path.read_text() for path in Path(folder).iterdir()]
        searched = [said.count(f"library={name}") for name in ("libcuda.so.1", "libnvidia-ml.so.1")]
        self.assertEqual(searched, [1, 0])

    def test_program_that_locks_itself_up_after_init_keeps_its_share(self) -> None:
        """What has to be opened is open by then."""
        source = """
            import tempfile
            assert cuda.cuInit(0) == 0
            os.chroot(tempfile.mkdtemp())
            os.chdir("/")
            use(1)
            print(allocate(3000), allocate(2999))
            """
        self.assertEqual(self.run_python(source), "2 0\n")

    def test_nothing_of_the_process_is_changed(self) -> None:
        """Signal handlers, umask, open files and standard error stay the program's own."""
        source = """
            import signal
            def state():
                mask = os.umask(0o22)
                os.umask(mask)
                handlers = [signal.getsignal(number) for number in range(1, 32)]
                return mask, handlers, signal.pthread_sigmask(signal.SIG_BLOCK, [])
            before = state()
            use(100)
            links = [os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd") if name.isdigit()
                     and os.path.exists(f"/proc/self/fd/{name}")]
            print(state() == before, [link for link in links if "hami" in link or "usage" in link])
            """
        self.assertEqual(self.run_python(source), "True []\n")


class ThreadsTest(ProgramCase):
    """The library in a program that is watched by the thread sanitizer."""

    preload = ()

    def test_contexts_code_and_graphs_in_many_threads(self) -> None:
        """No two threads touch anything of ours at once without a lock."""
        share = f"uuid={FIRST_GPU},memory={1000 * MIB}"
        done = self.run_program(container.BUILD / "tests/probe_threads", "all", HAMI_SHARE_A=share, LD_PRELOAD="")
        self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_primary_context_is_charged_while_a_thread_holds_it(self) -> None:
        """Whoever makes it and whoever ends it, in whatever order: once, and not at all when all have let it go."""
        turns = ",".join(f"yield:cuDevicePrimaryCtx{call}" for call in ("GetState", "Release"))
        self.run_costly("primary", FAKE_GPU_FAULTS=turns)

    def test_code_is_charged_while_another_thread_frees(self) -> None:
        """What it gives back after the driver has taken what the code needs hides nothing of that."""
        fifo = container.TEST_ROOT / "fifo"
        container.lay_out()
        os.mkfifo(fifo)
        self.run_costly("code", FAKE_GPU_FAULTS="hold:cuModuleLoad:1,hold:cuModuleLoad:2", FAKE_GPU_HOLD=str(fifo))

    def run_costly(self, what: str, **variables: str) -> None:
        """On a driver where contexts and code take something."""
        driver = Driver()
        self.addCleanup(driver.root.cleanup)
        self.addCleanup(setattr, type(self), "libraries", self.libraries)
        type(self).libraries = driver.libraries
        variables |= {"HAMI_SHARE_A": f"uuid={FIRST_GPU},memory={1000 * MIB}", "LD_PRELOAD": ""}
        done = self.run_program(container.BUILD / "tests/probe_threads", what, **variables)
        self.assertEqual((done.returncode, done.stdout), (0, ""))


@unittest.skipIf(os.environ.get("HAMI_SANITIZER_RUNTIME"), "one sanitizer at a time")
class SanitizedProgramTest(ProgramCase):
    """Programs that were built with a sanitizer, under a library that was not."""

    def test_they_are_held_and_nothing_is_reported(self) -> None:
        """Neither the limit is lost nor does the sanitizer find anything of ours, at the end neither."""
        container.lay_out(Share(memory_mib=3000))
        for sanitizer in ("address", "thread", "undefined"):
            for mebibytes, code in ((3001, 2), (3000, 0)):
                with self.subTest(sanitizer=sanitizer, mebibytes=mebibytes):
                    probe = container.BUILD / "tests" / f"probe_with_{sanitizer}"
                    done = self.run_program(probe, "alloc", str(mebibytes), ASAN_OPTIONS="detect_leaks=1")
                    self.assertEqual((done.returncode, done.stdout), (0, f"{code}\n"))


class BareProgramTest(ProgramCase):
    """Programs that never use a GPU."""

    preload = (RELEASE,)

    def test_ordinary_programs_are_left_alone(self) -> None:
        """Shells and static programs run, say nothing more and exit as ever."""
        self.assertEqual(self.run_program("sh", "-c", "ls / >/dev/null; (exit 7)").returncode, 7)
        self.assertEqual(self.run_program("sh", "-c", "kill -TERM $$").returncode, -15)
        self.assertEqual(self.run_program(PROBES / "static").stdout, "here\n")

    def test_no_file_of_ours_is_opened(self) -> None:
        """Nothing is read before a program asks for the driver."""
        done = subprocess.run(
            ["sh", "-c", "exec cat /proc/self/maps"],
            env=self.environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertIn("libhami_share.so", done.stdout)
        self.assertNotIn("libcuda", done.stdout)
        self.assertNotIn("/run/hami", done.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
