"""The process in the background that local servers are made of."""

import os
import signal
import sys
import textwrap
from pathlib import Path

import anyio
import psutil
import pytest

from persistence.errors import ConfigurationError
from persistence.local import watch
from persistence.local.daemon import Daemon

FOREVER = ["sleep", "1000"]
DEAF = ["/bin/sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"]


@pytest.fixture
async def daemon(tmp_path: Path):
    daemon = Daemon(tmp_path / "pid")
    yield daemon
    await daemon.kill()


async def start(daemon: Daemon, command: list[str] = FOREVER) -> int:
    await daemon.start(command, log=daemon.file.with_name("log"))
    with anyio.fail_after(10):
        while daemon.pid() is None:  # noqa: ASYNC110 - the process writes a file
            await anyio.sleep(0.01)
    return daemon.pid()


async def test_its_id_is_known_while_it_lives(daemon: Daemon):
    """The id is that of the server itself, and there is none once it has been stopped."""
    pid = await start(daemon)
    with anyio.fail_after(10):
        while psutil.Process(pid).cmdline() != FOREVER:  # noqa: ASYNC110 - a shell becomes it, by the same id
            await anyio.sleep(0.01)
    assert await daemon.stop(grace=10)
    assert daemon.pid() is None


async def test_a_stale_file_is_not_believed(daemon: Daemon):
    """A file that names a living process which is not the server counts as no server, and nothing is killed."""
    daemon.file.write_text(f"{os.getpid()}\n")
    assert daemon.pid() is None
    assert not await daemon.stop(grace=1)
    assert not await daemon.kill()
    assert await start(daemon) != os.getpid()


async def test_it_is_not_started_twice(daemon: Daemon):
    """A second start is refused, and leaves the first alone."""
    pid = await start(daemon)
    with pytest.raises(ConfigurationError, match="running already"):
        await daemon.start(FOREVER, log=daemon.file.with_name("log"))
    assert daemon.pid() == pid


async def test_it_outlives_a_killed_parent(daemon: Daemon):
    """Whoever comes after a parent that was killed finds the server and can stop it."""
    script = f"""
        import anyio, os, signal
        from pathlib import Path
        from persistence.local.daemon import Daemon
        async def main():
            await Daemon(Path({str(daemon.file)!r})).start({FOREVER!r}, log=Path({str(daemon.file)!r} + ".log"))
            os.kill(os.getpid(), signal.SIGKILL)
        anyio.run(main)
    """
    done = await anyio.run_process([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert daemon.pid() is not None
    assert await daemon.stop(grace=10)
    assert daemon.pid() is None


async def test_what_does_not_listen_is_killed(daemon: Daemon):
    """A server that ignores SIGTERM is gone after the grace."""
    await start(daemon, DEAF)
    assert await daemon.stop(grace=0.2)
    assert not daemon.is_alive()


async def test_what_is_frozen_can_be_stopped(daemon: Daemon):
    """A server under SIGSTOP gets its SIGTERM all the same."""
    await start(daemon)
    daemon.signal(signal.SIGSTOP)
    with anyio.fail_after(10):
        assert await daemon.stop(grace=60)
    assert not daemon.is_alive()


async def test_stopping_twice_is_no_error(daemon: Daemon):
    """The second stop says that there was nothing to stop."""
    await start(daemon)
    assert [await daemon.stop(grace=10), await daemon.stop(grace=10)] == [True, False]


@pytest.mark.parametrize("frozen", [False, True])
async def test_the_watch_ends_servers_whose_session_was_killed(daemon: Daemon, frozen):
    """When the watched process is gone the server is killed, frozen or not, and its folder removed."""
    await start(daemon)
    if frozen:
        daemon.signal(signal.SIGSTOP)
    folder = daemon.file.parent
    async with await anyio.open_process([sys.executable, "-I", watch.__file__, str(folder)]) as process:
        assert daemon.is_alive()
        await process.stdin.aclose()  # as the end of the watched process would
        assert await process.wait() == 0
    assert not folder.exists()
    assert not daemon.is_alive()
