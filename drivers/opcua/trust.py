"""The trust list: which servers this box speaks with over a protected channel.

``<pki>/trusted`` holds certificates (DER or PEM) of servers, or of authorities whose servers are all trusted, and the
authorities' revocation lists, under any name. A server that is not trusted is refused, and its certificate is kept
under ``<pki>/rejected`` until a person has compared it with what the server itself shows.

A server's own certificate, once a person has compared it, is believed whatever host it names: many PLCs do not know
their address. One that is believed because of its issuer alone must say for itself that it is this server's.
"""

from pathlib import Path
from typing import Final, NoReturn

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from config.errors import LinkError
from drivers.opcua import certificate as certificates
from drivers.opcua.certificate import common_name, thumbprint, uris, whole
from drivers.opcua.pki_files import (
    MAX_CERTIFICATE_BYTES,
    Contents,
    Entry,
    TrustError,
    look,
    read_certificate,
)

MAX_REJECTED: Final = 20
"""Certificates kept for a decision; the oldest goes first, so that nobody fills the disk with them."""
MAX_CHAIN: Final = 4
"""Authorities above a server that are looked at for what they revoked."""
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


class TrustList:
    """The trusted and the rejected certificates under ``pki``. Every question looks at the files anew."""

    def __init__(self, pki: Path) -> None:
        self._pki = pki
        self._trusted = pki / "trusted"
        self._rejected = pki / "rejected"

    def trusted(self) -> list[Entry]:
        """What is trusted. Raises ``TrustError``."""
        return look(self._trusted).certificates

    def rejected(self) -> list[Entry]:
        """What was refused and waits for a decision, the newest first. Raises ``TrustError``."""
        entries = look(self._rejected).certificates
        try:
            return sorted(entries, key=lambda entry: entry.path.stat().st_mtime, reverse=True)
        except OSError as error:
            raise TrustError(f"{error.filename}: {error.strerror}") from error

    def contents(self) -> Contents:
        """All that the trust list's files hold: certificates, revocation lists, and what is neither."""
        return look(self._trusted)

    def check(self, certificate: x509.Certificate, url: str, application_uri: str | None = None) -> None:
        """Raises ``LinkError`` unless this server's certificate is trusted, not revoked, and valid now.

        ``application_uri``: what the server must call itself; then it may be made out to another host than the url's.
        """
        key = certificate.public_key()
        if not isinstance(key, rsa.RSAPublicKey) or key.key_size < MIN_KEY_BITS:
            raise LinkError(
                f"the certificate of {url} has no RSA key of {MIN_KEY_BITS} bits or more: make it a new one"
            )
        contents = look(self._trusted)
        authority = contents.issuer(certificate)
        if authority is not None:
            _check_revoked(certificate, contents, url)
        if application_uri is not None and application_uri not in uris(certificate):
            raise LinkError(
                f"the certificate of {url} is not that of {application_uri} (security.application_uri), but of"
                f" {', '.join(uris(certificate)) or 'none'}"
            )
        if all(entry.certificate != certificate for entry in contents.certificates):
            if authority is None:
                self._refuse(certificate, f"the certificate of {url} is not trusted")
            certificates.check_valid(authority, f"the authority {common_name(authority)}", "trust its successor")
            wrong = _not_this_server(certificate, url, application_uri)
            if wrong:
                self._refuse(certificate, f"the certificate of {url} was issued by {common_name(authority)}, {wrong}")
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
        try:
            if path.is_file():
                certificate = read_certificate(path)
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
        except OSError as error:
            raise TrustError(f"{error.filename or what}: {error.strerror}") from error
        return Entry(kept, certificate)

    def remove(self, what: str) -> Entry:
        """Trusts a certificate no more, by its thumbprint or its first digits. Raises ``TrustError``."""
        found = _found(what, self.trusted(), "trusted", MIN_DIGITS)
        try:
            for entry in found:
                entry.path.unlink(missing_ok=True)
        except OSError as error:
            raise TrustError(f"{error.filename}: {error.strerror}") from error
        return found[0]

    def _refuse(self, certificate: x509.Certificate, why: str) -> NoReturn:
        print_ = thumbprint(certificate)
        try:
            self.reject(certificate)
        except OSError as error:
            raise LinkError(
                f"{why}, and it cannot be kept for a decision ({error.filename or self._rejected}: {error.strerror})"
            ) from error
        raise UntrustedCertificate(
            f"{why}: {common_name(certificate)}, thumbprint {print_}. Compare it with what the server itself shows; if"
            f" it is the same: penstock opcua trust add {print_} --state {self._pki.parent}",
            print_,
        )


def _check_revoked(certificate: x509.Certificate, contents: Contents, url: str) -> None:
    """Raises ``LinkError`` for a certificate that an authority here took back, itself or one above it."""
    for path, why in contents.unread_lists.items():
        raise LinkError(f"{path}: {why}: replace it or take it away; until then nobody knows what it revokes")
    whose, revoked = f"of {url}", certificate
    for _ in range(MAX_CHAIN):
        authority = contents.issuer(revoked)
        if authority is None:
            return
        if any(one.revokes(revoked) for one in contents.lists if one.is_of(authority)):
            raise LinkError(f"the certificate {whose} was revoked by {common_name(authority)}: make it a new one")
        whose, revoked = f"of the authority {common_name(authority)}", authority


def _not_this_server(certificate: x509.Certificate, url: str, application_uri: str | None) -> str:
    """Why a certificate that is trusted for its issuer's sake alone cannot be that of this server; "" when it can."""
    if not uris(certificate):
        return "but names no application URI"
    if not certificates.authenticates_servers(certificate):
        return "but not for a server (extended key usage serverAuth)"
    if application_uri is None and not certificates.is_made_out_to(certificate, url):
        hosts = ", ".join(certificates.host_names(certificate)) or "none"
        return (
            f"but for another host ({hosts}): take the url that it names, or say which server it is with"
            f" 'security.application_uri: {uris(certificate)[0]}'"
        )
    return ""


def first_certificate(der: bytes) -> x509.Certificate:
    """The leading certificate of what a server sends, which may be a chain. Raises ``LinkError``."""
    if len(der) < 4 or der[0] != 0x30 or der[1] != 0x82 or len(der) > 8 * MAX_CERTIFICATE_BYTES:
        raise LinkError("the server shows no certificate that could be read")
    length = int.from_bytes(der[2:4], "big") + 4
    try:
        return whole(x509.load_der_x509_certificate(der[:length]))
    except ValueError as error:
        raise LinkError(f"the server shows no certificate that could be read: {error}") from error


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
