"""Everything that the kubelet plugin raises.

PluginError
├── SettingsError          a setting is missing or malformed
├── DriverUnavailable      no NVIDIA driver answers on this node (idle, retry)
│   ├── DriverInterrupted  it stopped answering, but may be the one that it was
│   └── OwnersUnknown      it answers, but it is not known yet which GPUs others give out
├── ToolkitError           NVIDIA's toolkit on the node did not describe the GPUs
├── CheckpointCorrupt      the checkpoint's bytes cannot be trusted
├── NodeStateError         a file of ours could not be read or written
├── KubeletUnavailable     kubelet does not say which containers have which shares
└── ClaimError             one claim cannot be prepared; its text is for an operator
    ├── ClaimRefused       it will not work until claim, node or settings change
    └── OverCapacity       its GPU is booked by other claims
"""

from __future__ import annotations


class PluginError(Exception):
    """The base of every error here."""


class SettingsError(PluginError):
    """A setting is missing or malformed."""


class DriverUnavailable(PluginError):
    """No NVIDIA driver answers on this node."""


class DriverInterrupted(DriverUnavailable):
    """NVML ended a session with an error that may be one GPU's: the driver need not have gone."""


class OwnersUnknown(DriverUnavailable):
    """It is not known yet which GPUs others give out, so none can be used; the text says why."""


class ToolkitError(PluginError):
    """NVIDIA's toolkit on the node did not describe the GPUs; the text says which program and why."""


class KubeletUnavailable(PluginError):
    """kubelet does not say which containers have which shares."""


class CheckpointCorrupt(PluginError):
    """The checkpoint's bytes cannot be trusted; the text says why."""


class NodeStateError(PluginError):
    """A file of ours could not be read or written; the text names path and cause."""

    @classmethod
    def from_os(cls, action: str, path: object, error: OSError) -> NodeStateError:
        """Say which `action` ("write", "remove", …) failed on which path, and why."""
        return cls(f"cannot {action} {path}: {error.strerror or error}")


class ClaimError(PluginError):
    """One claim cannot be prepared; the text is for an operator."""


class ClaimRefused(ClaimError):
    """The claim will not work until claim, node or settings change."""


class OverCapacity(ClaimError):
    """A GPU of the claim is booked by other claims."""
