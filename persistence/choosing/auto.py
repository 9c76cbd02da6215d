"""Where a URL is ``auto``: the backend is chosen by what is there, and said.

The choice must be the same tomorrow, or memories would seem to be gone. So a URL in the environment decides, whether
its server answers or not; then what is kept in the folder of the settings already; only then what is installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pydantic import SecretStr

from persistence import urls
from persistence.choosing.probing import installed, local_ones
from persistence.choosing.truths import SQLITE_FILE, sqlite_url
from persistence.log import get_logger
from persistence.settings import PersistenceConfig

log = get_logger("choosing")


class Pick(NamedTuple):
    """What was chosen, and why. ``set``: it has to be set; else the settings lead to it without a URL."""

    url: SecretStr
    reason: str
    set: bool = True


async def settled(
    config: PersistenceConfig, environ: Mapping[str, str], *, truth_given: bool = False
) -> PersistenceConfig:
    """Return settings without ``auto``. ``truth_given``: truth is an adapter that the caller made."""
    bare = urls.without_auto(config)
    if config.vector_url and not bare.vector_url and not truth_given:
        bare = _said(bare, "vector_url", _truth(bare, environ))
    if config.graph_url and not bare.graph_url:
        bare = _said(bare, "graph_url", await _graph(bare, environ, truth_given=truth_given))
    return bare


def _said(config: PersistenceConfig, name: str, pick: Pick) -> PersistenceConfig:
    url = urls.mask(pick.url.get_secret_value())
    sentence = f"{name} is auto: {url}, because {pick.reason}."
    log.info(sentence, action="choose", url=url, reason=pick.reason)
    return config.model_copy(update={name: pick.url}) if pick.set else config


def _truth(config: PersistenceConfig, environ: Mapping[str, str]) -> Pick:
    source = urls.vector_source(config, environ)
    if source.origin != "default":
        return Pick(source.url, f"{source.origin} is set", set=False)
    home, wheel = config.home.expanduser(), "embedded" in installed()
    embedded = Pick(source.url, "the embedded PostgreSQL is installed", set=False)
    if (home / "postgres" / "data").exists():
        return embedded._replace(reason=f"there is one in {home} already")
    file = Pick(SecretStr(sqlite_url(home)), "no server is named, and no embedded PostgreSQL installed")
    if (home / SQLITE_FILE).exists():
        return file._replace(reason=f"there is one in {home} already")
    return embedded if wheel else file


async def _graph(config: PersistenceConfig, environ: Mapping[str, str], *, truth_given: bool) -> Pick:
    source = urls.graph_source(config, environ)
    if source.origin != "default":
        return Pick(source.url, f"{source.origin} is set", set=False)
    if "neo4j" in installed():
        for server in await local_ones(config):
            if server.kind == "neo4j":
                return Pick(server.url, "the Neo4j of diptych local runs")
    if truth_given:
        return Pick(source.url, "truth was given as an adapter", set=False)
    return _beside(urls.vector_source(config, environ).url, source.url)


def _beside(truth: SecretStr, default: SecretStr) -> Pick:
    """Return a graph where truth is: what is durable there, and shared by as many processes."""
    scheme = urls.scheme(truth.get_secret_value())
    if scheme in urls.POSTGRES_SCHEMES:
        return Pick(truth, "truth is on PostgreSQL, which takes the graph, too")
    if scheme == "file":
        return Pick(truth, "truth is kept in files")
    return Pick(default, "no graph server is named or runs here", set=False)
