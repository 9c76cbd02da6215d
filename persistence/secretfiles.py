"""Secrets from files: where ``NAME`` is a secret's variable, ``NAME_FILE`` names a file that holds its value.

Every secret setting is read so, by ``FromEnvironment``, and so are the variables of others' that we go by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource

from persistence.errors import ConfigurationError
from persistence.opening import plain

SUFFIX = "_FILE"
#: Bytes of a secret at most: what is longer was hardly meant.
LONGEST = 65_536


def secret(environ: Mapping[str, str], name: str) -> str | None:
    """Return the value of a secret's variable, or of the file that ``NAME_FILE`` names; None where neither is set.

    Raises ConfigurationError, which never shows what is in the file.
    """
    value, path = environ.get(name), environ.get(name + SUFFIX)
    if not path:
        return value
    if value:
        raise ConfigurationError(
            f"Both {name} and {name}{SUFFIX} ({path}) are set.", hint="leave one of them out: the file, or the variable"
        )
    return read(name + SUFFIX, path)


def read(variable: str, path: str) -> str:
    """Return what is in a file, without one newline at its end. Raises ConfigurationError."""
    try:
        content = _content(Path(path).expanduser())
        text = content.decode()
    except (OSError, RuntimeError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "it is no text"
        raise _unusable(variable, path, f"cannot be read ({why})") from None
    if len(content) > LONGEST:
        raise _unusable(variable, path, f"is longer than {LONGEST:,} bytes")
    value = text.removesuffix("\n").removesuffix("\r")
    if not value:
        raise _unusable(variable, path, "is empty")
    return value


def _content(path: Path) -> bytes:
    with open(path, "rb", opener=plain) as file:
        return file.read(LONGEST + 1)


def _unusable(variable: str, path: str, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"The file {path} that {variable} names {what}.", hint=f"put the secret into it, or unset {variable}"
    )


def present(environ: Mapping[str, str], is_secret: Callable[[str], bool]) -> Iterator[tuple[str, str]]:
    """Yield the secrets that are in files, by their names; those that cannot be read are told of by who reads them."""
    for name, path in environ.items():
        base = name.upper().removesuffix(SUFFIX)
        if path and base != name.upper() and is_secret(base):
            try:
                yield base, read(name, path)
            except ConfigurationError:
                continue


def is_secret(field: FieldInfo) -> bool:
    """Say whether a setting is a secret, by its type."""
    return SecretStr in (field.annotation, *getattr(field.annotation, "__args__", ()))


class FromEnvironment(BaseSettings):
    """Settings from the environment, secrets from files among them."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the files where the environment is: under what is given."""
        return init_settings, _Files(settings_cls), env_settings, dotenv_settings, file_secret_settings


class _Files(EnvSettingsSource):
    """The variables ``NAME_FILE`` of secret settings."""

    def __call__(self) -> dict[str, Any]:
        given = self.current_state
        fields = self.settings_cls.model_fields
        found = {name: self._value(name) for name, field in fields.items() if is_secret(field) and name not in given}
        return {name: value for name, value in found.items() if value is not None}

    def _value(self, name: str) -> str | None:
        variable = f"{self.env_prefix}{name}".upper()
        return secret({key.upper(): value for key, value in self.env_vars.items() if value}, variable)
