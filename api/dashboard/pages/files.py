"""The files that the pages load; they hold nothing of anybody, so nobody is asked who they are."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request, Response

from api.dashboard.stage import stage_of


def add(router: APIRouter) -> None:
    """Add the files."""
    router.add_api_route("/static/{name}", serve, methods=["GET"])


async def serve(request: Request, name: str) -> Response:
    """Serve one file; its address changes with it, so that a browser may keep it."""
    asset = stage_of(request).assets.get(name)
    if asset is None:
        raise HTTPException(404, "There is no such file.")
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "ETag": f'"{asset.tag}"'}
    return Response(asset.body, media_type=asset.media_type, headers=headers)
