"""Keys of what is remembered by what somebody wrote, however long that is."""

from __future__ import annotations

import hashlib

_LONGEST = 1_000


def short_key(text: str) -> str:
    """The text, or where it is long a digest of it: claims and pods have megabytes, and keys outlive them."""
    if len(text) <= _LONGEST:
        return text
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()
