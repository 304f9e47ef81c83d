"""The trust list: which servers this box speaks with over a protected channel.

``<pki>/trusted`` holds certificates (DER or PEM) of servers, or of authorities whose servers are all trusted, and the
authorities' revocation lists (``*.crl``). A server that is not trusted is refused, and its certificate is kept under
``<pki>/rejected`` until a person has compared it with what the server itself shows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from config.errors import LinkError, PenstockError
from drivers.opcua import certificate as certificates
from drivers.opcua.certificate import common_name, thumbprint, uris

MAX_REJECTED: Final = 20
"""Certificates kept for a decision; the oldest goes first, so that nobody fills the disk with them."""
MAX_CERTIFICATE_BYTES: Final = 16 * 1024
MIN_KEY_BITS: Final = 2048
ALL_DIGITS: Final = 40
"""A thumbprint is added whole: one that shares only its beginning can be made by anybody with patience."""
MIN_DIGITS: Final = 8
"""Digits of a thumbprint that name what is trusted already."""

log = structlog.get_logger(__name__)


class UntrustedCertificate(LinkError):
    """A server whose certificate is not in the trust list."""

    code = "untrusted"

    def __init__(self, message: str, print_: str) -> None:
        super().__init__(message)
        self.thumbprint = print_


class TrustError(PenstockError):
    """A certificate that cannot be found or read."""

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
            "authority": _is_authority(self.certificate),
            "file": str(self.path),
        }


class TrustList:
    """The trusted and the rejected certificates under ``pki``. Every question looks at the files anew."""

    def __init__(self, pki: Path) -> None:
        self._pki = pki
        self._trusted = pki / "trusted"
        self._rejected = pki / "rejected"

    def trusted(self) -> list[Entry]:
        """What is trusted."""
        return list(_entries(self._trusted))

    def rejected(self) -> list[Entry]:
        """What was refused and waits for a decision, the newest first."""
        return sorted(_entries(self._rejected), key=lambda entry: entry.path.stat().st_mtime, reverse=True)

    def check(self, certificate: x509.Certificate, url: str) -> None:
        """Raises ``LinkError`` unless this server's certificate is trusted, not revoked, and valid now."""
        key = certificate.public_key()
        if not isinstance(key, rsa.RSAPublicKey) or key.key_size < MIN_KEY_BITS:
            raise LinkError(
                f"the certificate of {url} has no RSA key of {MIN_KEY_BITS} bits or more: make it a new one"
            )
        trusted = self.trusted()
        if all(entry.certificate != certificate for entry in trusted):
            self._check_issuer(certificate, trusted, url)
        certificates.check_valid(
            certificate, url, "renew it on the server, then trust the new one with 'penstock opcua trust add'"
        )

    def reject(self, certificate: x509.Certificate) -> Path:
        """Keeps a certificate for a decision; returns its file."""
        self._pki.parent.mkdir(parents=True, exist_ok=True)
        certificates.make_folder(self._pki)
        certificates.make_folder(self._rejected)
        path = self._rejected / f"{thumbprint(certificate)}.der"
        certificates.replace_private(path, certificate.public_bytes(Encoding.DER))
        for entry in self.rejected()[MAX_REJECTED:]:
            entry.path.unlink(missing_ok=True)
        return path

    def add(self, what: str) -> Entry:
        """Trusts a certificate: a rejected one by its thumbprint, or that of a file. Raises ``TrustError``."""
        path = Path(what)
        if path.is_file():
            certificate = _read(path)
            if certificate is None:
                raise TrustError(f"{path} holds no certificate in DER or PEM")
        else:
            certificate = _found(what, self.rejected(), "rejected", ALL_DIGITS)[0].certificate
        self._pki.parent.mkdir(parents=True, exist_ok=True)
        certificates.make_folder(self._pki)
        certificates.make_folder(self._trusted)
        kept = self._trusted / f"{thumbprint(certificate)}.der"
        certificates.replace_private(kept, certificate.public_bytes(Encoding.DER))
        (self._rejected / kept.name).unlink(missing_ok=True)
        return Entry(kept, certificate)

    def remove(self, what: str) -> Entry:
        """Trusts a certificate no more, by its thumbprint or its first digits. Raises ``TrustError``."""
        found = _found(what, self.trusted(), "trusted", MIN_DIGITS)
        for entry in found:
            entry.path.unlink(missing_ok=True)
        return found[0]

    def _check_issuer(self, certificate: x509.Certificate, trusted: list[Entry], url: str) -> None:
        for entry in trusted:
            authority = entry.certificate
            if not _is_authority(authority) or not _issued(authority, certificate):
                continue
            certificates.check_valid(authority, f"the authority {common_name(authority)}", "trust its successor")
            if self._revoked(authority, certificate):
                raise LinkError(f"the certificate of {url} was revoked by {common_name(authority)}: make it a new one")
            return
        self.reject(certificate)
        print_ = thumbprint(certificate)
        raise UntrustedCertificate(
            f"the certificate of {url} is not trusted: {common_name(certificate)}, thumbprint {print_}. Compare it with"
            f" what the server itself shows; if it is the same: penstock opcua trust add {print_} --state"
            f" {self._pki.parent}",
            print_,
        )

    def _revoked(self, authority: x509.Certificate, certificate: x509.Certificate) -> bool:
        key = authority.public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        for path in sorted(self._trusted.glob("*.crl")):
            content = path.read_bytes()
            try:
                pem = content.lstrip().startswith(b"-----BEGIN")
                crl = x509.load_pem_x509_crl(content) if pem else x509.load_der_x509_crl(content)
            except ValueError as error:
                raise LinkError(f"{path} is no revocation list ({error}): replace it or take it away") from error
            if crl.issuer != authority.subject or not crl.is_signature_valid(key):
                continue
            if crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
                return True
        return False


def first_certificate(der: bytes) -> x509.Certificate:
    """The leading certificate of what a server sends, which may be a chain. Raises ``LinkError``."""
    if len(der) < 4 or der[0] != 0x30 or der[1] != 0x82 or len(der) > 8 * MAX_CERTIFICATE_BYTES:
        raise LinkError("the server shows no certificate that could be read")
    length = int.from_bytes(der[2:4], "big") + 4
    try:
        return x509.load_der_x509_certificate(der[:length])
    except ValueError as error:
        raise LinkError(f"the server shows no certificate that could be read: {error}") from error


def _entries(folder: Path) -> Iterator[Entry]:
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.suffix == ".crl" or path.name.startswith(".") or not path.is_file():
            continue
        certificate = _read(path)
        if certificate is None:
            log.warning("not a certificate", file=str(path))
        else:
            yield Entry(path, certificate)


def _read(path: Path) -> x509.Certificate | None:
    try:
        if path.stat().st_size > MAX_CERTIFICATE_BYTES:
            return None
        content = path.read_bytes()
    except OSError as error:
        raise TrustError(f"{path}: {error.strerror}") from error
    try:
        if content.lstrip().startswith(b"-----BEGIN"):
            return x509.load_pem_x509_certificate(content)
        return x509.load_der_x509_certificate(content)
    except ValueError:
        return None


def _found(what: str, entries: list[Entry], kind: str, digits: int) -> list[Entry]:
    """The files of the one certificate whose thumbprint begins with ``what``."""
    wanted = what.replace(":", "").replace(" ", "").upper()
    found = [entry for entry in entries if entry.thumbprint.startswith(wanted)] if len(wanted) >= digits else []
    if not found:
        known = ", ".join(dict.fromkeys(entry.thumbprint for entry in entries)) or "none"
        raise TrustError(f"no {kind} certificate '{what}' (at least {digits} digits of a thumbprint); {kind}: {known}")
    if len({entry.thumbprint for entry in found}) > 1:
        raise TrustError(f"'{what}' begins the thumbprints of several {kind} certificates: give more digits")
    return found


def _is_authority(certificate: x509.Certificate) -> bool:
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


def _issued(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    if not isinstance(authority.public_key(), rsa.RSAPublicKey):
        return False
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
