"""Whether a certificate is for the name, for now, and for its key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from persistence.backends import installed

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

CERTIFICATE, KEY = "tls_certificate", "tls_key"
#: A certificate that ends sooner should have been renewed.
SOON = timedelta(days=7)


def certificate_troubles(certificate: str, key: str, values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield file and sentence of whatever is wrong."""
    with installed("api"):
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415  # an extra
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415  # an extra
        from cryptography.x509 import InvalidVersion, load_pem_x509_certificates  # noqa: PLC0415  # an extra
    try:
        leaf = load_pem_x509_certificates(certificate.encode())[0]
        # What is damaged in it may show only where it is looked at.
        public, troubles = leaf.public_key(), list(_of_leaf(leaf, values.get("DIPTYCH_NAME", "")))
    except (ValueError, InvalidVersion, UnsupportedAlgorithm):
        yield CERTIFICATE, "It is no certificate in PEM."
        return
    try:
        fits = load_pem_private_key(key.encode(), None).public_key() == public
    except (ValueError, TypeError, UnsupportedAlgorithm):
        yield KEY, "It is no private key in PEM, or it has a passphrase."
    else:
        if not fits:
            yield KEY, "It is not the key of the certificate."
    yield from ((CERTIFICATE, why) for why in troubles)


def _of_leaf(leaf: Certificate, name: str) -> Iterator[str]:
    now = datetime.now(UTC)
    if leaf.not_valid_before_utc > now:
        yield f"It is valid from {leaf.not_valid_before_utc:%Y-%m-%d} on."
    if leaf.not_valid_after_utc < now + SOON:
        yield f"It is valid until {leaf.not_valid_after_utc:%Y-%m-%d} only."
    host = name.partition(":")[0].lower()
    if not any(_covers(pattern, host) for pattern in _names(leaf)):
        yield f"It is not for {host}."


def _names(leaf: Certificate) -> list[str]:
    from cryptography.x509 import DNSName, ExtensionNotFound, IPAddress, SubjectAlternativeName  # noqa: PLC0415

    try:
        found = leaf.extensions.get_extension_for_class(SubjectAlternativeName).value
    except ExtensionNotFound:
        return []
    addresses = [str(address) for address in found.get_values_for_type(IPAddress)]
    return [*(name.lower() for name in found.get_values_for_type(DNSName)), *addresses]


def _covers(pattern: str, host: str) -> bool:
    """Say whether a certificate's name is this one; a star stands for one label."""
    if pattern.startswith("*."):
        return host.partition(".")[2] == pattern[2:]
    return pattern == host
