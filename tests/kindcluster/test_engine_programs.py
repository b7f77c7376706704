"""Which packages hold the engine's programs."""

from kindcluster.engine_programs import PACKAGES, versions

POLICY = """docker.io:
  Installed: (none)
  Candidate: 20.10.24+dfsg1-1
  Version table:
     20.10.24+dfsg1-1 500
        500 http://mirror bookworm/main amd64 Packages
containerd:
  Installed: (none)
  Candidate: (none)
  Version table:
"""


def test_a_package_that_cannot_be_had_is_left_out() -> None:
    """Known without a candidate, and not known at all."""
    assert versions(POLICY) == {"docker.io": "20.10.24+dfsg1-1"}
    assert set(PACKAGES) - set(versions(POLICY)) == {"containerd", "tini"}
