"""kubectl and helm, the way a user runs them; reading alone goes past them."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from testbed.errors import CommandError
from testbed.reading import Json, read_list, read_object


def run(
    argv: Sequence[str | Path], *, env: dict[str, str] | None = None, stdin: str | None = None, timeout: float = 180
) -> str:
    """Run a program and return what it printed to stdout.

    Raises: CommandError with both outputs when it exits non-zero.
    """
    words = [str(word) for word in argv]
    done = subprocess.run(
        words,
        env={**os.environ, **(env or {})},
        input=stdin,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
    )
    if done.returncode:
        raise CommandError(words, done.returncode, done.stdout + done.stderr)
    return done.stdout


@dataclass(frozen=True)
class Kubectl:
    """kubectl against one cluster, in one namespace."""

    programs: Path
    kubeconfig: Path
    namespace: str = "default"

    def within(self, namespace: str) -> "Kubectl":
        return replace(self, namespace=namespace)

    def __call__(self, *args: str | Path, stdin: str | None = None, timeout: float = 180) -> str:
        argv = [self.programs / "kubectl", "--namespace", self.namespace, *args]
        return run(argv, env=self.environment, stdin=stdin, timeout=timeout)

    @property
    def environment(self) -> dict[str, str]:
        return {"KUBECONFIG": str(self.kubeconfig), "PATH": f"{self.programs}:{os.environ['PATH']}"}

    def get(self, resource: str, name: str) -> Json:
        """One object, {} when it does not exist; `resource` in the plural."""
        return read_object(self.kubeconfig, resource, name, self.namespace)

    def items(self, resource: str, *, labels: str = "", fields: str = "", everywhere: bool = False) -> list[Json]:
        """The objects of the namespace, or of all."""
        selectors = {"labelSelector": labels, "fieldSelector": fields}
        chosen = {key: value for key, value in selectors.items() if value}
        return read_list(self.kubeconfig, resource, "" if everywhere else self.namespace, chosen)

    def apply(self, path: Path) -> None:
        self("apply", "--filename", path)

    def apply_text(self, manifest: str) -> None:
        self("apply", "--filename", "-", stdin=manifest)

    def delete(self, resource: str, name: str, *args: str) -> None:
        self("delete", resource, name, "--ignore-not-found", *args)

    def exec(self, pod: str, *argv: str, container: str = "") -> str:
        """What a command in a running container prints, stderr included."""
        where = ["--container", container] if container else []
        return self("exec", pod, *where, "--", *argv)
