"""Services of the stack on this machine without an engine.

Each has the command, environment, mounts, secrets, user and read-only root that its Compose file says; all are in one
network that is theirs alone.

What stands in for an image is this machine: the programs that Debian has, and this checkout in its environment.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.deploy.compose import ROOT

#: Seconds that all services together may take until they are healthy.
PATIENCE = 180.0
INSIDE = Path(__file__).with_name("inside.py")
#: What this machine shows of itself, where it has it.
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/opt", "/dev", "/proc", "/etc/ssl", "/etc/alternatives")
_FILES = ("passwd", "group", "nsswitch.conf", "ld.so.cache", "localtime")


def reason() -> str | None:
    """Return why services cannot be run here, None where they can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "a root and a network of its own for a service need root on Linux"
    tried = subprocess.run(["unshare", "--mount", "--net", "true"], check=False, capture_output=True, text=True)
    return f"unshare: {tried.stderr.strip()}" if tried.returncode else None


class Stage:
    """``stack``: a Compose file with its variables put in. ``folder``: for what the services keep."""

    def __init__(self, stack: Mapping[str, Any], checkout: Path, folder: Path) -> None:
        self.stack = stack
        self.checkout = checkout
        self.folder = folder
        self._until = time.monotonic() + PATIENCE
        self._holder: subprocess.Popen[str] | None = None

    @contextmanager
    def network(self, doors: Mapping[int, str], windows: Mapping[str, int]) -> Iterator[None]:
        """Have the network inside the block.

        ``doors``: ports there that lead to addresses out here; ``windows``: names of sockets in the folder that lead to
        ports there.
        """
        with ExitStack() as stack:
            inner = []
            for port, address in doors.items():
                path = str(self.folder / f"door-{port}")
                stack.enter_context(self._helper([sys.executable, str(INSIDE), "outside", path, address]))
                inner += [str(port), path]
            for name, port in windows.items():
                inner += [str(self.folder / name), f"127.0.0.1:{port}"]
            command = ["unshare", "--net", sys.executable, str(INSIDE), "inside", *inner]
            self._holder = stack.enter_context(self._helper(command))
            yield

    @contextmanager
    def _helper(self, command: list[str]) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "ready\n"
            try:
                yield process
            finally:
                process.stdin.close()

    def argv(self, name: str, command: list[str] | None = None) -> list[str]:
        """Return the words that run a service; ``command`` takes the place of its own."""
        service = self.stack["services"][name]
        script = self.folder / f"{name}.sh"
        script.write_text(self._script(name, service), encoding="utf-8")
        words = _entry(service) + list(command if command is not None else service["command"])
        return self._entering("sh", str(script), *words)

    @contextmanager
    def running(self, name: str, command: list[str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
        """Run a service inside the block, and wait until its health check goes well; at the end it is told to end."""
        service = self.stack["services"][name]
        log = self.log(name)
        log.touch()
        os.chown(log, int(service["user"].partition(":")[0]), -1)  # an engine's pipes are the user's, too
        with log.open("ab") as out, subprocess.Popen(self.argv(name, command), stdout=out, stderr=out) as process:
            try:
                self._wait(name, process)
                yield process
            finally:
                process.send_signal(signal.Signals[service.get("stop_signal", "SIGTERM")])
                process.wait(30)

    def log(self, name: str) -> Path:
        """Return where a service's output is."""
        return self.folder / f"{name}.log"

    def _wait(self, name: str, process: subprocess.Popen[bytes]) -> None:
        while (ran := subprocess.run(self.health(name), check=False, capture_output=True, text=True)).returncode:
            said = f"{name}: {ran.stdout}{ran.stderr}\n{self.log(name).read_text()[-2_000:]}"
            assert process.poll() is None, said
            assert time.monotonic() < self._until, said

    def health(self, name: str) -> list[str]:
        """Return the words that run a service's health check; that of the image where it has none of its own."""
        test = self.stack["services"][name].get("healthcheck", {}).get("test", ["CMD", "diptych", "doctor"])
        words = ["sh", "-c", test[1]] if test[0] == "CMD-SHELL" else test[1:]
        return [*self.entering(name), *words]

    def entering(self, name: str) -> list[str]:
        """Return the words before those that are run in a root such as a service's."""
        return self._entering("sh", str(self.folder / f"{name}.sh"))

    def network_words(self) -> list[str]:
        """Return the words before those that are run in the network."""
        return ["nsenter", f"--net=/proc/{self._holder.pid}/ns/net"]

    def volume(self, name: str) -> Path:
        """Return the folder of a named volume."""
        return self.folder / "volumes" / name

    def _entering(self, *words: str) -> list[str]:
        return [*self.network_words(), "unshare", "--mount", *words]

    def _script(self, name: str, service: Mapping[str, Any]) -> str:
        """Return a script that makes the root, mounts what the service is shown, and becomes the service."""
        root = self.folder / "roots" / name
        user, _, group = service["user"].partition(":")
        lines = ["set -eu", f"R={shlex.quote(str(root))}", 'mkdir -p "$R"', 'mount -t tmpfs none "$R"']
        lines += list(_scratch(service))
        lines += [_bound(path, path) for path in (*_SYSTEM, *_checkout()) if Path(path).exists()]
        lines += ['mkdir -p "$R/etc" "$R/run/secrets" "$R/tmp"']
        lines += [f'cp -p /etc/{one} "$R/etc/"' for one in _FILES if Path("/etc", one).exists()]
        hosts = "\\n".join(f"127.0.0.1 {other}" for other in ("localhost", *self.stack["services"]))
        lines += [f"printf '{hosts}\\n' > \"$R/etc/hosts\""]
        lines += list(self._mounts(service, user))
        lines += ['mount -o remount,ro "$R"']
        environment = {
            "PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/tmp",  # noqa: S108  # the only place it may write to
            "DIPTYCH_HOME": "/var/lib/diptych",
            "PYTHONDONTWRITEBYTECODE": "1",
            **service.get("environment", {}),
        }
        given = " ".join(shlex.quote(f"{key}={value}") for key, value in environment.items())
        drop = (
            f"setpriv --reuid={user} --regid={group} --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all"
        )
        return "\n".join([*lines, f'exec env -i {given} chroot "$R" {drop} "$@"', ""])

    def _mounts(self, service: Mapping[str, Any], user: str) -> Iterator[str]:
        for volume in service.get("volumes", []):
            source, target, *read_only = volume.split(":")
            outside = self.checkout / source
            if not source.startswith("."):
                outside = self.volume(source)
                outside.mkdir(parents=True, exist_ok=True)
                os.chown(outside, int(user), -1)
            yield _bound(str(outside), target, read_only=bool(read_only))
        for secret in service.get("secrets", []):
            source, target = (secret, secret) if isinstance(secret, str) else (secret["source"], secret["target"])
            outside = self.checkout / self.stack["secrets"][source]["file"]
            yield _bound(str(outside), f"/run/secrets/{target}", read_only=True)


def _scratch(service: Mapping[str, Any]) -> Iterator[str]:
    """Yield what makes the folders that a service may write to; before all mounts, which may lie below them here."""
    for place in service.get("tmpfs", []):
        path, _, options = place.partition(":")
        yield f'mkdir -p "$R{path}" && mount -t tmpfs -o {options} none "$R{path}"'


def _entry(service: Mapping[str, Any]) -> list[str]:
    """Return what the image begins each command with."""
    return ["diptych"] if service["image"].startswith("diptych:") else []


def _checkout() -> set[str]:
    """Return where this checkout, its environment and its Python are."""
    return {str(ROOT), str(Path(sys.prefix)), sys.base_prefix} - {"/usr"}


def _bound(source: str, target: str, *, read_only: bool = False) -> str:
    at = f'"$R"{shlex.quote(target)}'
    make = f"mkdir -p {at}" if Path(source).is_dir() else f'mkdir -p "$(dirname {at})" && touch {at}'
    again = f" && mount -o remount,ro,bind {at}" if read_only else ""
    return f"{make} && mount --rbind {shlex.quote(source)} {at}{again}"


def copied(folder: Path) -> Path:
    """Return a copy of what somebody who starts the stack has in front of him."""
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    for name in ("docker-compose.production.yml", "docker-compose.dev.yml", "Dockerfile", ".dockerignore"):
        shutil.copy(ROOT / name, folder / name)
    return folder
