"""The faces of a server: what it shows besides its probes. Whoever adds one adds it here, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum

from fastapi import APIRouter

from api import dashboard
from api.http.routes import MAKERS


class Face(StrEnum):
    """What can be switched off."""

    API = "api"
    DASHBOARD = "dashboard"


ALL = frozenset(Face)

Make = Callable[[], APIRouter]


def _make_dashboard() -> APIRouter:
    """Look the function up late: its pages stand on this package, whichever of the two is imported first."""
    return dashboard.make_dashboard()


#: What each face is made of.
ROUTERS: Mapping[Face, tuple[Make, ...]] = {
    Face.API: MAKERS,
    Face.DASHBOARD: (_make_dashboard,),
}


#: The faces that take JSON and nothing else.
OF_JSON = frozenset({Face.API})


def make_routers(faces: Iterable[Face]) -> Iterator[tuple[Face, APIRouter]]:
    """Make the routers of some faces."""
    for face in faces:
        for make in ROUTERS[face]:
            yield face, make()
