"""Looks whether the production stack can be started with what is there; each trouble is one sentence."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from api.cli.configuring import envfile
from api.cli.configuring.agreeing import disagreements
from api.cli.configuring.certificates import certificate_troubles
from api.cli.configuring.envfile import ENV, Variable, is_placeholder
from api.cli.configuring.generating import PROFILES as CHOSEN
from api.cli.configuring.generating import profiles, secrets_folder
from api.cli.configuring.secret_files import PROFILES, REDIS, SECRETS, Chosen, Secret
from api.cli.configuring.values import wrong
from persistence.errors import ConfigurationError

_OURS = "DIPTYCH_"
_CACHE = "DIPTYCH_EMBEDDING_CACHE_URL_FILE"
_GENERATE = "diptych config generate"
#: Whoever is not the owner.
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is not right. ``where``: the variable or the file; ``hint``: what to do."""

    where: str
    message: str
    hint: str


def check(folder: Path) -> list[Trouble]:
    """Return what is not right; nothing where the stack can be started. Raises ConfigurationError."""
    example = envfile.variables(envfile.read_example(folder))
    values = envfile.read_env(folder)
    found = [*_of_env(folder / ENV, example, values), *_of_profiles(profiles(values), values)]
    if values.get("DIPTYCH_SECRETS"):
        found += _of_secrets(secrets_folder(folder, values), profiles(values), values)
    return found


def _of_env(path: Path, example: tuple[Variable, ...], values: Mapping[str, str]) -> Iterator[Trouble]:
    if path.stat().st_mode & _OTHERS:
        yield Trouble(str(path), "Others than its owner can read it.", f"chmod 600 {path}")
    for one in example:
        yield from _of_variable(one, values.get(one.name))
    known = {one.name for one in example}
    for name in sorted(set(values) - known):
        if name.startswith(_OURS):
            yield Trouble(name, "There is no such variable.", f"remove it, or see {envfile.EXAMPLE}")


def _of_variable(one: Variable, value: str | None) -> Iterator[Trouble]:
    if value is None:
        if not one.optional:
            yield Trouble(one.name, "It is missing.", _GENERATE)
    elif is_placeholder(value):
        yield Trouble(one.name, "It is the example's placeholder.", f"fill it in, in {ENV}")
    elif not value.strip():
        if one.value or one.optional:
            yield Trouble(one.name, "It is empty.", f"fill it in, in {ENV}, or remove its line")
    elif why := wrong(one.name, value):
        yield Trouble(one.name, why, f"change it, in {ENV}")


def _of_profiles(chosen: Chosen, values: Mapping[str, str]) -> Iterator[Trouble]:
    for name in sorted(chosen - set(PROFILES)):
        yield Trouble(CHOSEN, f"There is no profile {name}.", f"choose of {', '.join(PROFILES)}")
    if _CACHE in values and REDIS not in chosen:
        yield Trouble(
            _CACHE, "It leads to Redis, which is not started.", f"add {REDIS} to {CHOSEN}, or remove its line"
        )


def _of_secrets(folder: Path, chosen: Chosen, values: Mapping[str, str]) -> Iterator[Trouble]:
    if not folder.is_dir():
        yield Trouble(str(folder), "There is no such folder.", _GENERATE)
        return
    if folder.stat().st_mode & _OTHERS:
        yield Trouble(str(folder), "Others than its owner can enter it.", f"chmod 700 {folder}")
    known: dict[str, str] = {}
    for secret in SECRETS:
        if secret.wanted(chosen):
            yield from _of_secret(folder / secret.name, secret, known)
    yield from (Trouble(str(folder / name), why, hint) for name, why, hint in disagreements(chosen, known))
    for name in ("embedding_api_key", "extraction_api_key"):
        if values.get(f"DIPTYCH_{name.upper()}_FILE") and known.get(name) == "":
            yield Trouble(str(folder / name), "It is empty.", f"put the key into it, or remove its line from {ENV}")
    if {"tls_certificate", "tls_key"} <= set(known):
        for name, why in certificate_troubles(known["tls_certificate"], known["tls_key"], values):
            yield Trouble(str(folder / name), why, "get another certificate")


def _of_secret(path: Path, secret: Secret, known: dict[str, str]) -> Iterator[Trouble]:
    """Look at one file, and keep what it says where it is right."""
    if not path.is_file():
        yield Trouble(str(path), "There is no such file.", secret.hint)
        return
    if not path.stat().st_mode & stat.S_IROTH:
        yield Trouble(str(path), "The container's user cannot read it.", f"chmod 444 {path}")
    if not os.access(path, os.R_OK):
        yield Trouble(str(path), "It cannot be read.", f"chmod 444 {path}, as its owner")
        return
    try:
        text = envfile.read_text(path).strip()
    except ConfigurationError as error:
        yield Trouble(str(path), error.message, secret.hint)
        return
    if is_placeholder(text):
        yield Trouble(str(path), "It is a placeholder.", secret.hint)
    elif not text and not secret.may_be_empty:
        yield Trouble(str(path), "It is empty.", f"remove it, and {secret.hint}")
    else:
        known[secret.name] = text
