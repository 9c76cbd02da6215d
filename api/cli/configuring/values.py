"""What the values of some variables must be; of the others the programs that they are for see to it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

from api.cli.configuring.generating import A_NAME
from api.http.settings import ApiConfig
from persistence.errors import ConfigurationError
from persistence.settings import PersistenceConfig
from sync.timing import timing_of, zone_of

_PORTS = range(1, 65_536)
_SIZE = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:[bkmg]|[kKMG]B)?", re.ASCII | re.IGNORECASE)


def _port(value: str) -> bool:
    return value.isascii() and value.isdecimal() and int(value) in _PORTS


def _count(value: str) -> bool:
    return value.isascii() and value.isdecimal()


def _subnet(value: str) -> bool:
    return "/" in value and bool(ipaddress.ip_network(value))


def _setting(name: str) -> Callable[[str], bool]:
    return lambda value: bool(PersistenceConfig.model_validate({name: value}))


def _rate(value: str) -> bool:
    return bool(ApiConfig(rate_limit=value))


def _timing(value: str) -> bool:
    return timing_of("it", value) is not None


def _zone(value: str) -> bool:
    return zone_of(value) is not None


#: By variable: whether a value will do (False, or any error: it will not), and what would.
_RULES: dict[str, tuple[Callable[[str], object], str]] = {
    "DIPTYCH_NAME": (A_NAME.fullmatch, "a name such as memories.example.org, without https://"),
    "DIPTYCH_HTTPS_PORT": (_port, "a port"),
    "DIPTYCH_HTTP_PORT": (_port, "a port"),
    "DIPTYCH_GRAFANA_PORT": (_port, "a port"),
    "DIPTYCH_FRONT_SUBNET": (_subnet, "a network such as 172.30.77.0/28"),
    "DIPTYCH_RATE_LIMIT": (_rate, "a limit such as 100/second"),
    "DIPTYCH_SYNC_POLICY": (_setting("sync_policy"), "none, report_only or repair"),
    "DIPTYCH_TIMEZONE": (_zone, "a time zone such as Europe/Berlin"),
    "DIPTYCH_BACKUP_EVERY": (_timing, "a cron expression, or an interval such as 6h"),
    "DIPTYCH_BACKUP_KEEP_DAILY": (_count, "a number"),
    "DIPTYCH_BACKUP_KEEP_WEEKLY": (_count, "a number"),
    "DIPTYCH_EMBEDDING_DIMENSION": (_setting("embedding_dimension"), "a number of dimensions"),
    **dict.fromkeys(
        (
            *(f"DIPTYCH_{name}_MEMORY" for name in ("API", "WORKER", "POSTGRES", "NEO4J", "QDRANT")),
            *("DIPTYCH_POSTGRES_BUFFERS", "DIPTYCH_NEO4J_HEAP", "DIPTYCH_NEO4J_PAGECACHE"),
        ),
        (_SIZE.fullmatch, "a size such as 512m or 2g"),
    ),
}


def wrong(name: str, value: str) -> str | None:
    """Return why a variable's value will not do, None where it will."""
    will_do, allowed = _RULES.get(name, (bool, ""))
    try:
        right = bool(will_do(value))
    except (ValueError, ConfigurationError):
        right = False
    return None if right else f"It must be {allowed}."
