"""All that `serve` keeps in one process, opened in order and closed in the order that loses nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from api.access.gate import open_gate
from api.cli._run import Cli
from api.cli.serving.commands import say, scheduled
from api.cli.serving.signals import Starting
from api.http import ApiConfig, Face, authenticating, create_app, hosting
from api.http.caller import is_loopback
from api.http.serving import Stop, listen, serve, url_of
from api.telemetry.serving import telemetry


async def keep_house(
    cli: Cli, starting: Starting, given: Mapping[str, Any], *, api: bool, relay: bool, schedule: bool
) -> None:
    """Serve until a signal comes. The socket comes first: where it cannot be had, no store is opened for nothing."""
    config = ApiConfig.load(**given)
    gate = await open_gate(config, cli.config().home)
    faces = {face for face, wanted in ((Face.API, api),) if wanted}
    with await listen(config.host, config.port, may=lambda address: not gate.is_open or is_loopback(address)) as at:
        async with (
            telemetry(os.environ) as seen,
            cli.service(enable_relay=relay, observer=seen.observer) as memories,
            hosting(memories, config) as host,
            scheduled(memories, wanted=schedule),
        ):
            app = create_app(host, authenticate=authenticating(gate), faces=faces)
            seen.install(app)
            stop = Stop()
            starting.done(stop.come)
            url = url_of(at)
            await serve(
                app, host, at, stop, ready=lambda: say(cli, f"Listening on {url}", {"status": "ready", "address": url})
            )
