"""Encryption of a backup with a passphrase: a key for the frames of its parts, and one for its manifest.

Each backup has a salt, and so keys, of its own. A frame is sealed under a nonce that says of which part it is, the
how-many-th of it, and whether it is the last: one that is moved, repeated, left out or cut off does not open.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Any, Self

from persistence.backends import adapter
from persistence.errors import BackupDamagedError, BackupPassphraseError
from sync.backing.manifest import Encryption, Sealed, canonical

_EXTRA = "backup"
#: What a guess at a passphrase costs: 64 MB of memory, and some 0.2 s.
COST = 2**16
_MEMORY = 256 * 2**20


class Keys:
    """The keys of one backup."""

    def __init__(self, secret: bytes) -> None:
        self._aead: Any = adapter("cryptography.hazmat.primitives.ciphers.aead", _EXTRA).ChaCha20Poly1305(
            _derived(secret, b"frames")
        )
        self._manifest = _derived(secret, b"manifest")
        self._check = _derived(secret, b"check").hex()

    @classmethod
    def made(cls, passphrase: str) -> tuple[Self, Encryption]:
        """Return new keys, and what a manifest says of them. Slow on purpose."""
        about = Encryption(n=COST, salt=secrets.token_hex(16), check="0" * 64)
        keys = cls(_stretched(passphrase, about))
        return keys, about.model_copy(update={"check": keys._check})

    @classmethod
    def of(cls, about: Encryption, passphrase: str | None) -> Self:
        """Return the keys of a backup that is there. Raises BackupPassphraseError."""
        if not passphrase:
            raise BackupPassphraseError("The backup is encrypted, and no passphrase was given.")
        keys = cls(_stretched(passphrase, about))
        if not hmac.compare_digest(keys._check, about.check):
            raise BackupPassphraseError
        return keys

    def seal(self, nonce: bytes, data: bytes) -> bytes:
        """Encrypt one frame."""
        sealed: bytes = self._aead.encrypt(nonce, data, None)
        return sealed

    def open(self, nonce: bytes, data: bytes) -> bytes:
        """Decrypt one frame. Raises BackupDamagedError where it is not the one that was written there."""
        invalid = adapter("cryptography.exceptions", _EXTRA).InvalidTag
        try:
            opened: bytes = self._aead.decrypt(nonce, data, None)
        except invalid as error:
            raise BackupDamagedError("A part of the backup does not open: it is not what was written there.") from error
        return opened

    def of_manifest(self, manifest: dict[str, Any]) -> str:
        """Return the seal of a manifest."""
        return hmac.new(self._manifest, canonical(manifest), hashlib.sha256).hexdigest()

    def of_name(self, name: str) -> str:
        """Return what stands for a tenant's name."""
        return hmac.new(self._manifest, b"tenant " + name.encode(), hashlib.sha256).hexdigest()[:32]

    def check(self, sealed: Sealed) -> None:
        """Raise BackupDamagedError where the manifest was not written by somebody with the passphrase."""
        if sealed.seal is None or not hmac.compare_digest(sealed.seal, self.of_manifest(sealed.manifest)):
            raise BackupDamagedError("The manifest was changed by somebody who did not have the passphrase.")


def _stretched(passphrase: str, about: Encryption) -> bytes:
    salt = bytes.fromhex(about.salt)
    secret = passphrase.encode("utf-8", "surrogateescape")
    try:
        return hashlib.scrypt(secret, salt=salt, n=about.n, r=about.r, p=about.p, maxmem=_MEMORY, dklen=32)
    except ValueError as error:
        raise BackupDamagedError(
            "The manifest asks for a key that costs more than any backup's, or that there is none of."
        ) from error


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return hmac.new(secret, b"diptych backup " + purpose, hashlib.sha256).digest()
