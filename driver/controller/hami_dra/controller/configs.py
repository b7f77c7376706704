"""What the configurations of a claim, or of a class, say to its requests.

There may be 32 of 10 KiB each, and 256 requests with their alternatives: parameters are read once for all of them.
"""

from __future__ import annotations

import json
from functools import lru_cache

from hami_dra.api import names
from hami_dra.api.errors import ShareConfigError
from hami_dra.api.resources import OpaqueConfig
from hami_dra.api.share_config import ShareConfig, merge_share_configs, parse_share_config
from hami_dra.controller.errors import BadClaim

NOTHING_SAID = ShareConfig()
_REMEMBERED = 256


class Configs:
    """Those of one object that are for our driver. ``title`` names the object in errors."""

    def __init__(self, title: str, configs: tuple[OpaqueConfig, ...]) -> None:
        self._title = title
        self._ours = tuple(config for config in configs if config.driver == names.DRIVER)
        # In the order of the source, which is the order in which an error names the fields.
        self._texts = tuple(json.dumps(config.parameters) for config in self._ours)
        self._merged: dict[tuple[int, ...], ShareConfig] = {}

    def whole(self) -> ShareConfig:
        """What they say together. Raises BadClaim."""
        return self._merge(tuple(range(len(self._ours))))

    def of_request(self, request: str) -> ShareConfig:
        """What they say to one request. Raises BadClaim."""
        return self._merge(tuple(at for at, config in enumerate(self._ours) if config.applies_to(request)))

    def _merge(self, chosen: tuple[int, ...]) -> ShareConfig:
        if not chosen:
            return NOTHING_SAID
        known = self._merged.get(chosen)
        if known is None:
            known = self._merged[chosen] = merge_share_configs(*(self._read(self._texts[at]) for at in chosen))
        return known

    def _read(self, text: str) -> ShareConfig:
        found = _parsed(text)
        if isinstance(found, ShareConfigError):
            raise BadClaim(f"{self._title}: {found}") from found
        return found


@lru_cache(maxsize=_REMEMBERED)
def _parsed(text: str) -> ShareConfig | ShareConfigError:
    # Claims of one template say the same again and again, and a ShareConfig cannot be changed.
    try:
        return parse_share_config(json.loads(text))
    except ShareConfigError as error:
        return ShareConfigError(error.problems)  # Without what it was raised from, which is as long as the text.
