"""Logs as one JSON object a line on stderr: ts, level, event, then fields.

ERROR: the flow failed. WARNING: degraded and handled. INFO: state changed. DEBUG: why.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Final

_FIELDS: Final = "hami_fields"
# What every record has; anything else was given as a field by a library.
_STANDARD: Final = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", _FIELDS})


class Log:
    """A logger whose events carry fields; `bind` gives one that adds some to every event."""

    def __init__(self, name: str, **fields: object) -> None:
        self._logger = logging.getLogger(name)
        self._fields = fields

    def bind(self, **fields: object) -> Log:
        """The same logger with these fields on every event."""
        return Log(self._logger.name, **{**self._fields, **fields})

    def debug(self, event: str, **fields: object) -> None:
        """Why something was decided."""
        self._write(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: object) -> None:
        """State changed."""
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Degraded, handled."""
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        """The flow failed."""
        self._write(logging.ERROR, event, fields)

    def exception(self, event: str, **fields: object) -> None:
        """The flow failed in a way nobody foresaw: with the traceback."""
        self._logger.log(logging.ERROR, event, exc_info=sys.exc_info(), extra={_FIELDS: {**self._fields, **fields}})

    def _write(self, level: int, event: str, fields: dict[str, object]) -> None:
        self._logger.log(level, event, extra={_FIELDS: {**self._fields, **fields}})


class JsonFormatter(logging.Formatter):
    """Formats records of ours and of libraries alike."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON; values that JSON has no form for appear as text."""
        line: dict[str, object] = {
            "ts": self._timestamp(record),
            "level": record.levelname,
            "event": record.getMessage(),
            "logger": record.name,
            **{key: value for key, value in vars(record).items() if key not in _STANDARD},
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)

    def _timestamp(self, record: logging.LogRecord) -> str:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        return f"{seconds}.{int(record.msecs):03d}Z"


def configure(level: int = logging.INFO) -> None:
    """Send every logger's records to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
