"""The installer lays out a driver root that the fake driver works from."""

import importlib.util
import json
import os
import stat
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

FAKE = Path(__file__).parents[2] / "fake"
BUILT = ("libcuda.so.1", "libnvidia-ml.so.1", "nvidia-smi")


def load_installer() -> Any:
    """Return install.py as a module; it is a program, not part of a package."""
    spec = importlib.util.spec_from_file_location("install", FAKE / "install.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["install"] = module
    spec.loader.exec_module(module)
    return module


install = load_installer()


class Profiles(unittest.TestCase):
    """The profiles that come with the fake driver."""

    def test_every_profile_names_its_gpus(self) -> None:
        """Every profile has GPUs with UUIDs of NVML's form, none twice."""
        uuids = []
        for name in install.profile_names():
            text = install.find_profile(name).read_text()
            uuids += [gpu.uuid for gpu in (*install.parse_gpus(text), *install.parse_instances(text))]
        self.assertEqual(len(uuids), len(set(uuids)))
        for uuid in uuids:
            self.assertRegex(uuid, r"^(GPU|MIG)-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")

    def test_salt_makes_nodes_differ(self) -> None:
        """One profile on two nodes gives two sets of UUIDs, each always the same."""
        text = install.find_profile("h100x4").read_text()
        nodes = [install.parse_gpus(install.salt_profile(text, salt)) for salt in ("a", "b", "a", None)]
        self.assertEqual(nodes[0], nodes[2])
        self.assertFalse(set(nodes[0]) & set(nodes[1]))
        self.assertEqual(nodes[3], install.parse_gpus(text))
        self.assertRegex(nodes[0][0].uuid, r"^GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
        text = install.find_profile("h100-mig").read_text()
        one, other = (install.parse_instances(install.salt_profile(text, salt)) for salt in ("a", "b"))
        self.assertEqual(len({*one, *other}), 2 * len(one))
        self.assertRegex(one[0].uuid, r"^MIG-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")

    def test_unknown_profile_is_named(self) -> None:
        """A profile that is not there is an error that lists those that are."""
        with self.assertRaisesRegex(install.InstallError, "h100x4"):
            install.find_profile("h200x8")


class Spec(unittest.TestCase):
    """The CDI spec."""

    def test_one_device_per_gpu_and_all(self) -> None:
        """Each GPU is a device with its node; `all` has every node."""
        gpus = [install.Gpu(0, "GPU-a"), install.Gpu(3, "GPU-b")]
        spec = install.describe("/opt/fake-gpu", gpus)
        nodes = {
            device["name"]: [node["hostPath"] for node in device["containerEdits"]["deviceNodes"]]
            for device in spec["devices"]
        }
        first, second = "/opt/fake-gpu/dev/nvidia0", "/opt/fake-gpu/dev/nvidia3"
        self.assertEqual(nodes, {"GPU-a": [first], "GPU-b": [second], "all": [first, second]})
        self.assertEqual(spec["kind"], "k8s.gpu.hami.io/base")

    def test_a_split_gpu_is_named_by_its_instances(self) -> None:
        """Each instance has the GPU's node and those of its capabilities, as the real tool writes them."""
        gpus = [install.Gpu(0, "GPU-a"), install.Gpu(1, "GPU-b", is_split=True)]
        spec = install.describe("/opt/fake-gpu", gpus, [install.Instance(1, "MIG-c", 2, 0)])
        nodes = {
            device["name"]: [node["path"] for node in device["containerEdits"]["deviceNodes"]]
            for device in spec["devices"]
        }
        instance = ["/dev/nvidia1", "/dev/nvidia-caps/nvidia-cap156", "/dev/nvidia-caps/nvidia-cap157"]
        self.assertEqual(nodes, {"GPU-a": ["/dev/nvidia0"], "MIG-c": instance, "all": ["/dev/nvidia0", *instance]})

    def test_state_has_the_size_of_the_header(self) -> None:
        """The installer and the library mean the same file size."""
        header = (FAKE / "device/state.h").read_text()
        self.assertIn("FG_STATE_BYTES (16 << 20)", header)
        self.assertEqual(install.STATE_BYTES, 16 << 20)

    def test_only_the_state_can_be_written(self) -> None:
        """Containers get the driver read-only and the shared state writable."""
        mounts = install.describe("/opt/fake-gpu", [])["containerEdits"]["mounts"]
        writable = [mount["containerPath"] for mount in mounts if "rw" in mount["options"]]
        self.assertEqual(writable, ["/var/lib/fake-gpu/state"])


@unittest.skipUnless(os.geteuid() == 0, "device nodes are made by root only")
class Root(unittest.TestCase):
    """The driver root on disk."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.base = Path(folder.name)
        for name in BUILT:
            install.put(self.base / "build" / name, name.encode(), 0o755)

    def lay_out(self, profile: str, *options: str) -> Path:
        """Install a profile and return the root."""
        arguments = ["--profile", profile, "--build", str(self.base / "build"), "--root", str(self.base / "root")]
        self.assertEqual(install.main([*arguments, "--cdi-dir", str(self.base / "cdi"), *options]), 0)
        return self.base / "root"

    def test_device_nodes_can_be_left_to_somebody_else(self) -> None:
        """Everything else is there, and the CDI spec names the nodes that are missing."""
        root = self.lay_out("h100x4", "--no-devices")
        self.assertTrue((root / "usr/bin/nvidia-smi").exists())
        self.assertFalse((root / "dev").exists())
        self.assertIn("nvidia3", (self.base / "cdi" / install.SPEC_NAME).read_text())

    def test_root_has_what_a_driver_has(self) -> None:
        """Libraries, nvidia-smi, profile, state and device nodes are there."""
        root = self.lay_out("h100x4")
        self.assertEqual((root / "usr/lib/x86_64-linux-gnu/libcuda.so").read_bytes(), b"libcuda.so.1")
        self.assertTrue(os.access(root / "usr/bin/nvidia-smi", os.X_OK))
        links = {
            "usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1": "libnvidia-ml.so.580.95.05",
            "lib/firmware/nvidia/580.95.05/gsp_fake.bin": "../../../../etc/fake-gpu/profile",
            "run/nvidia-persistenced/socket": "../../var/lib/fake-gpu/state",
        }
        self.assertEqual({name: str((root / name).readlink()) for name in links}, links)
        self.assertTrue(all((root / name).exists() for name in links))
        for name in ("nvidiactl", "nvidia0", "nvidia3"):
            status = (root / "dev" / name).stat()
            self.assertTrue(stat.S_ISCHR(status.st_mode))
            self.assertEqual((stat.S_IMODE(status.st_mode), status.st_rdev), (0o666, os.makedev(1, 3)))
        self.assertEqual(stat.S_IMODE((root / "var/lib/fake-gpu/state").stat().st_mode), 0o666)
        spec = json.loads((self.base / "cdi" / install.SPEC_NAME).read_text())
        self.assertEqual(len(spec["devices"]), 5)

    def test_again_changes_nothing(self) -> None:
        """A second run leaves every file, the state's content included."""
        root = self.lay_out("h100x4")
        with (root / "var/lib/fake-gpu/state").open("r+b") as state:
            state.write(b"in use")
        before = {path: path.lstat().st_ino for path in root.rglob("*")}
        self.lay_out("h100x4")
        self.assertEqual({path: path.lstat().st_ino for path in root.rglob("*")}, before)
        self.assertEqual((root / "var/lib/fake-gpu/state").read_bytes().rstrip(b"\0"), b"in use")

    def test_another_profile_takes_old_nodes_away(self) -> None:
        """GPUs and instances that the new profile does not have lose their nodes."""
        self.lay_out("h100x4")
        root = self.lay_out("h100-mig")
        self.assertEqual(len(list((root / "dev/nvidia-caps").iterdir())), 8)
        root = self.lay_out("odd-total")
        self.assertEqual(
            [path.name for path in sorted((root / "dev").rglob("*"))], ["nvidia-caps", "nvidia0", "nvidiactl"]
        )


if __name__ == "__main__":
    unittest.main()
