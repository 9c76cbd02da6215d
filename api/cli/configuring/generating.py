"""Makes what the production stack is started with; what is there already stays as it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from api.cli.configuring import envfile
from api.cli.configuring.envfile import ENV, Variable, is_placeholder
from api.cli.configuring.secret_files import Chosen, make_missing, write_new
from persistence.errors import ConfigurationError

ENV_MODE = 0o600
NAME, PROFILES, SECRETS = "DIPTYCH_NAME", "COMPOSE_PROFILES", "DIPTYCH_SECRETS"
#: What a name looks like under which the stack is reached.
A_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Made:
    """What was not there before. ``env``: the whole file; ``added``: variables that it lacked."""

    env: bool
    added: tuple[str, ...]
    secrets: tuple[str, ...]


def generate(folder: Path, given: Mapping[str, str]) -> Made:
    """Make the file of variables, with what is given in it, and the secrets. Raises ConfigurationError."""
    example = envfile.read_example(folder)
    if (name := given.get(NAME)) is not None and not A_NAME.fullmatch(name):
        raise ConfigurationError(f"{name!r} is no name of a host.", hint="--name memories.example.org")
    if (folder / ENV).exists():
        _refuse_others(folder, given)
        env, added = False, _completed(folder, envfile.variables(example))
    else:
        env, added = True, ()
        _make_env(folder, example, given)
    values = envfile.read_env(folder)
    made = make_missing(secrets_folder(folder, values), profiles(values))
    return Made(env, added, tuple(made))


def secrets_folder(folder: Path, values: Mapping[str, str]) -> Path:
    """Return where the secrets lie. Raises ConfigurationError."""
    if not (name := values.get(SECRETS)):
        raise ConfigurationError(f"{SECRETS} is not set in {folder / ENV}.", hint=f"{SECRETS}=./secrets")
    return folder / name


def profiles(values: Mapping[str, str]) -> Chosen:
    """Return which profiles are chosen."""
    return frozenset(part.strip() for part in values.get(PROFILES, "").split(",") if part.strip())


def _make_env(folder: Path, example: str, given: Mapping[str, str]) -> None:
    text = envfile.filled(example, given)
    for one in envfile.variables(text):
        if not one.optional and is_placeholder(one.value):
            raise ConfigurationError("The name under which the stack is reached is needed.", hint="--name NAME")
    write_new(folder / ENV, text, ENV_MODE)


def _refuse_others(folder: Path, given: Mapping[str, str]) -> None:
    """Refuse to change what somebody may have written; the same again is no change."""
    there = envfile.read_env(folder)
    for name, value in given.items():
        if there.get(name, value) != value:
            raise ConfigurationError(
                f"{folder / ENV} is there already, with another {name}.", hint=f"change {name} there, by hand"
            )


def _completed(folder: Path, wanted: tuple[Variable, ...]) -> tuple[str, ...]:
    """Add the variables that a newer example has, with their comments."""
    there = envfile.read_env(folder)
    missing = [one for one in wanted if not one.optional and one.name not in there]
    if missing:
        text = envfile.read_text(folder / ENV).rstrip("\n")
        write_new(folder / ENV, "\n\n".join([text, *(one.text for one in missing)]), ENV_MODE)
    return tuple(one.name for one in missing)
