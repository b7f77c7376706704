"""Debian packages."""

from cluster.packages import missing_packages


def test_only_installed_packages_count() -> None:
    """A package that was removed but not purged is missing, like one dpkg never heard of."""
    output = "runc installed\nbuildah config-files\n"
    assert missing_packages(output, ["runc", "buildah", "mmdebstrap"]) == ["buildah", "mmdebstrap"]
