"""What lies in a directory of certificates: certificates and revocation lists, known by their content, not their name.

A file that is neither is told of. One that was meant as a revocation list stands in the way of what it may revoke.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa

from config.errors import PenstockError
from drivers.opcua.certificate import common_name, name_of, thumbprint, uris, whole

MAX_CERTIFICATE_BYTES: Final = 16 * 1024
MAX_LIST_BYTES: Final = 4 * 1024 * 1024
"""Some hundred thousand revoked certificates; reading more would hold up the scan."""
_PEM: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.+?-----END \1-----", re.DOTALL)
_CERTIFICATE_LABELS: Final = (b"CERTIFICATE", b"X509 CERTIFICATE")
_LIST_LABEL: Final = b"X509 CRL"


class TrustError(PenstockError):
    """A certificate, or a directory of them, that cannot be found, read or written."""

    code = "trust"


@dataclass(frozen=True, slots=True)
class Entry:
    """A certificate in a list and the file it stands in."""

    path: Path
    certificate: x509.Certificate

    @property
    def thumbprint(self) -> str:
        return thumbprint(self.certificate)

    def to_json(self) -> dict[str, Any]:
        """As JSON, for ``penstock opcua trust``."""
        return {
            "thumbprint": self.thumbprint,
            "name": common_name(self.certificate),
            "uris": uris(self.certificate),
            "not_after": self.certificate.not_valid_after_utc.isoformat(),
            "authority": is_authority(self.certificate),
            "file": str(self.path),
        }


@dataclass(frozen=True, slots=True)
class RevocationList:
    """What an authority takes back, and the file it stands in."""

    path: Path
    crl: x509.CertificateRevocationList

    @property
    def issuer(self) -> str:
        return name_of(self.crl.issuer)

    @property
    def overdue_days(self) -> float:
        """Days since a newer list was due; negative or 0 while this one is current."""
        due = self.crl.next_update_utc
        return (datetime.now(UTC) - due).total_seconds() / 86400 if due is not None else 0.0

    def is_of(self, authority: x509.Certificate) -> bool:
        """True when the authority signed it."""
        key = authority.public_key()
        if self.crl.issuer != authority.subject or not isinstance(key, rsa.RSAPublicKey):
            return False
        try:
            return self.crl.is_signature_valid(key)
        except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
            return False

    def revokes(self, certificate: x509.Certificate) -> bool:
        """True when the certificate is on it. Raises ``TrustError`` for a list that is damaged inside."""
        try:
            return self.crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None
        except ValueError as error:
            raise TrustError(f"{self.path}: is no revocation list that can be read ({error})") from error

    def to_json(self) -> dict[str, Any]:
        """As JSON, for ``penstock opcua trust``."""
        due = self.crl.next_update_utc
        return {
            "authority": self.issuer,
            "revoked": len(self.crl),
            "next_update": due.isoformat() if due is not None else None,
            "overdue": self.overdue_days > 0,
            "file": str(self.path),
        }


@dataclass(slots=True)
class Contents:
    """What a directory holds. ``unread``: files that are neither, and why; ``unread_lists`` those meant as lists."""

    certificates: list[Entry] = field(default_factory=list)
    lists: list[RevocationList] = field(default_factory=list)
    unread: dict[Path, str] = field(default_factory=dict)
    unread_lists: dict[Path, str] = field(default_factory=dict)

    def issuer(self, certificate: x509.Certificate) -> x509.Certificate | None:
        """The authority here that issued a certificate; of several with one key the one that is valid for longest."""
        authorities = [
            entry.certificate
            for entry in self.certificates
            if entry.certificate != certificate
            and is_authority(entry.certificate)
            and issued(entry.certificate, certificate)
        ]
        return max(authorities, key=lambda authority: authority.not_valid_after_utc, default=None)

    def problems(self) -> list[str]:
        """What a person should put right, one sentence each."""
        told = [f"{path}: {why}" for path, why in (self.unread | self.unread_lists).items()]
        authorities = [entry.certificate for entry in self.certificates if is_authority(entry.certificate)]
        for one in self.lists:
            if not any(one.is_of(authority) for authority in authorities):
                told.append(f"{one.path}: signed by no authority that is trusted ({one.issuer}), so it revokes nothing")
            elif one.overdue_days > 0:
                told.append(
                    f"{one.path}: {one.issuer} has a newer list since {one.crl.next_update_utc:%Y-%m-%d}; until it is"
                    " here, what was revoked since is still trusted"
                )
        return told


def look(folder: Path) -> Contents:
    """What a directory holds; one that is not there holds nothing. Raises ``TrustError`` when it cannot be read."""
    contents = Contents()
    try:
        if not folder.exists():
            return contents
        for path in sorted(folder.iterdir()):
            if not path.name.startswith(".") and path.is_file():
                _read(path, contents)
    except OSError as error:
        raise TrustError(f"{error.filename or folder}: {error.strerror}") from error
    return contents


def read_certificate(path: Path) -> x509.Certificate | None:
    """The first certificate in a file; ``None`` when it holds none. Raises ``TrustError``."""
    contents = Contents()
    try:
        _read(path, contents)
    except OSError as error:
        raise TrustError(f"{path}: {error.strerror}") from error
    return contents.certificates[0].certificate if contents.certificates else None


def is_authority(certificate: x509.Certificate) -> bool:
    """True for a certificate that may sign those of servers; a server's own never speaks for others."""
    if uris(certificate):
        return False
    try:
        if not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
    except (x509.ExtensionNotFound, ValueError):
        return False
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound:
        return True


def issued(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    """True when the authority signed the certificate."""
    if not isinstance(authority.public_key(), rsa.RSAPublicKey):
        return False
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _read(path: Path, contents: Contents) -> None:
    meant_as_list = "crl" in path.name.lower()
    if path.stat().st_size > MAX_LIST_BYTES:
        why = f"larger than {MAX_LIST_BYTES // 1024 // 1024} MiB, and not read"
        (contents.unread_lists if meant_as_list else contents.unread)[path] = why
        return
    content = path.read_bytes()
    blocks = [(match[1], match[0]) for match in _PEM.finditer(content)]
    if not blocks:
        _read_der(path, content, meant_as_list, contents)
    for label, block in blocks:
        if label == _LIST_LABEL:
            try:
                contents.lists.append(RevocationList(path, x509.load_pem_x509_crl(block)))
            except ValueError as error:
                contents.unread_lists[path] = f"is no revocation list that can be read ({error})"
        elif label in _CERTIFICATE_LABELS:
            _add_certificate(path, block, x509.load_pem_x509_certificate, contents)
    if blocks and not any(label == _LIST_LABEL or label in _CERTIFICATE_LABELS for label, _ in blocks):
        contents.unread[path] = "neither a certificate nor a revocation list"


def _read_der(path: Path, content: bytes, meant_as_list: bool, contents: Contents) -> None:
    try:
        contents.lists.append(RevocationList(path, x509.load_der_x509_crl(content)))
    except ValueError as error:
        if meant_as_list:
            contents.unread_lists[path] = f"is no revocation list that can be read ({error})"
        else:
            _add_certificate(path, content, x509.load_der_x509_certificate, contents)


def _add_certificate(path: Path, content: bytes, load: Callable[[bytes], x509.Certificate], contents: Contents) -> None:
    if any(entry.path == path for entry in contents.certificates):
        contents.unread[path] = "holds several certificates, of which only the first counts: one in each file"
        return
    try:
        if len(content) > MAX_CERTIFICATE_BYTES:
            raise ValueError("too large for a certificate")
        contents.certificates.append(Entry(path, whole(load(content))))
    except ValueError:
        contents.unread[path] = "neither a certificate nor a revocation list"
