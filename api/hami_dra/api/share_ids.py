"""The identities of shares, which tell who allocated them.

Our controller makes UUIDs of version 8 (RFC 9562: free for private use), which no other allocator makes:
kube-scheduler's are of version 4. So both daemons see who allocated a share, without managedFields.
"""

import secrets
import uuid
from typing import Final

from hami_dra.api.names import ShareId

_VERSION: Final = 8


def new_share_id() -> ShareId:
    """A fresh identity for a share that our controller allocates."""
    value = secrets.randbits(128) & ~(0xF << 76) & ~(0b11 << 62) | (_VERSION << 76) | (0b10 << 62)
    return ShareId(str(uuid.UUID(int=value)))


def is_from_controller(share_id: str | None) -> bool:
    """Whether our controller allocated the share of this identity; False for what is no UUID."""
    try:
        return share_id is not None and uuid.UUID(share_id).version == _VERSION
    except ValueError:
        return False
