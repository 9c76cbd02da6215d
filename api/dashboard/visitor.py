"""Who looks at a page, what they may do there, and whether a form really comes from one of our pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Form, HTTPException, Request

from api.access import ADMIN, READ, Principal
from api.dashboard.names import tenant_named
from api.dashboard.stage import stage_of
from api.http.caller import needs
from api.http.host import Host, host_of

#: The name of the route of the first screen; the paths of all others begin with its path.
HOME = "dashboard_overview"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Whoever looks; ``token`` goes into each form."""

    principal: Principal
    host: Host
    session_id: str
    token: str

    @property
    def tenant(self) -> str | None:
        """The only tenant they see, None for all."""
        return self.principal.user_id

    def named(self, user_id: str) -> str | None:
        """Return the tenant that is meant by a field of a form. Raises InvalidInputError, Denied."""
        return self.principal.tenant(tenant_named(user_id))

    @property
    def may_act(self) -> bool:
        """Whether the pages offer what changes anything."""
        return self.principal.may(ADMIN) and not self.host.config.read_only


def home_of(request: Request) -> str:
    """Return the path of the first screen, wherever the application is mounted."""
    return request.url_for(HOME).path.rstrip("/")


async def visiting(request: Request, principal: Annotated[Principal, Depends(needs(READ))]) -> Visitor:
    """Name the visitor, who may read. Raises Unauthenticated, Denied."""
    host = host_of(request)
    sessions = stage_of(request).sessions(host.config)
    session_id = sessions.id_of(request) or sessions.new_id()
    return Visitor(principal, host, session_id, sessions.token(session_id, principal))


async def acting(
    request: Request, visitor: Annotated[Visitor, Depends(visiting)], csrf: Annotated[str, Form()] = ""
) -> Visitor:
    """Name the visitor who sends a form of ours, and may act. Raises Denied, HTTPException."""
    check_origin(request)
    if visitor.host.config.read_only:
        raise HTTPException(403, "This server is read-only: nothing can be changed here.")
    visitor.principal.require(ADMIN)
    check_token(request, csrf, visitor.principal)
    return visitor


def check_origin(request: Request) -> None:
    """Refuse a form that another site sent."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    ours = site == "same-origin" if origin is None else urlsplit(origin).netloc == request.headers.get("host")
    if not ours or site not in {None, "same-origin"}:
        raise HTTPException(403, "This form was not sent by a page of this dashboard, so nothing was done.")


def check_token(request: Request, token: str, principal: Principal) -> None:
    """Refuse a form that was shown to somebody else, or by a server that is no more."""
    sessions = stage_of(request).sessions(host_of(request).config)
    if not sessions.token_fits(token, sessions.id_of(request), principal):
        raise HTTPException(403, "This form is older than the server or your session. Load the page again.")


Looking = Annotated[Visitor, Depends(visiting)]
Acting = Annotated[Visitor, Depends(acting)]
