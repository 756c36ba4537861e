"""Structured logs: one JSON object per line."""

import json
import logging
import sys
from datetime import UTC, datetime

from tiersplit_operator.settings import OperatorSettings

MAX_TEXT = 8000
_QUIET = ("httpx", "httpcore", "aiohttp.access", "kopf.objects", "asyncio")
_FIELDS = ("resource", "pod", "step")


class JsonFormatter(logging.Formatter):
    """A record as JSON: time, level, logger, message, what it is about, and the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        found = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage()[:MAX_TEXT],
        }
        found |= {name: str(getattr(record, name)) for name in _FIELDS if hasattr(record, name)}
        if record.exc_info:
            found["error"] = self.formatException(record.exc_info)[-MAX_TEXT:]
        return json.dumps(found, ensure_ascii=False)


def set_up_logs(settings: OperatorSettings) -> None:
    """Send everything to stderr, in the format and from the level that are set."""
    handler = logging.StreamHandler(sys.stderr)
    plain = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else plain)
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(settings.log_level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
