"""The certificate of this box: made on first use, one per site, shown to every server as our application instance.

Stored under ``<pki>/own`` as ``penstock.der`` and ``penstock.key``. It is never made anew by itself: each server that
trusts it would have to be told again.
"""

import contextlib
import ipaddress
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlparse

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from config.errors import LinkError

KEY_BITS: Final = 2048
"""Every policy we offer takes 2048 to 4096; small PLCs are slow with more."""
VALID_DAYS: Final = 5 * 365
WARN_DAYS: Final = 60
"""From so many days before its end on a certificate is warned of: time enough for a visit to the server."""
BACKDATED: Final = timedelta(days=1)
"""A server whose clock is behind takes it all the same."""
PLAUSIBLE: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""No clock that runs is behind this; a box without one wakes up in 1970."""
CERTIFICATE: Final = "penstock.der"
KEY: Final = "penstock.key"


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """What we show to servers. ``uri`` is the application URI; the certificate's and ours must be the same."""

    path: Path
    certificate: x509.Certificate
    key_pem: bytes
    uri: str

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def thumbprint(self) -> str:
        return thumbprint(self.certificate)


def thumbprint(certificate: x509.Certificate) -> str:
    """The SHA-1 of a certificate, as OPC UA servers and tools show it; a name, no proof."""
    return certificate.fingerprint(hashes.SHA1()).hex().upper()


def own_certificate(pki: Path, site_id: str) -> OwnCertificate:
    """The certificate of this box, made if there is none. Raises ``LinkError`` when it cannot be made or used."""
    folder = pki / "own"
    try:
        if not (folder / CERTIFICATE).exists():
            check_clock()
            _prepare(pki, folder)
            _make(folder, site_id)
        return _load(folder)
    except OSError as error:
        raise LinkError(f"the certificate of this box: {error.filename or folder}: {error.strerror}") from error


def renew_own(pki: Path) -> OwnCertificate:
    """Makes a new certificate for the same site and key. Every server must then be told to trust it.

    Raises ``LinkError`` when there is none to renew; one that is damaged must be taken away first.
    """
    check_clock()
    path = pki / "own" / CERTIFICATE
    try:
        [uri] = uris(x509.load_der_x509_certificate(path.read_bytes()))
        path.replace(path.with_suffix(".old"))
    except (OSError, ValueError) as error:
        raise LinkError(f"{path} cannot be renewed ({error}): remove it, and the next connection makes one") from error
    return own_certificate(pki, uri.rpartition(":")[2])


def check_clock() -> None:
    """Raises ``LinkError`` when the clock of this box cannot be right."""
    now = datetime.now(UTC)
    if now < PLAUSIBLE:
        raise LinkError(
            f"the clock of this box says {now:%Y-%m-%d %H:%M} UTC, which cannot be: set it (NTP, or a battery for its"
            " clock); certificates can be neither made nor checked before"
        )


def check_valid(certificate: x509.Certificate, whose: str, cure: str) -> None:
    """Raises ``LinkError`` when a certificate is not valid now. ``cure``: what to do when it has expired."""
    check_clock()
    now = datetime.now(UTC)
    if now > certificate.not_valid_after_utc:
        raise LinkError(f"the certificate of {whose} expired on {certificate.not_valid_after_utc:%Y-%m-%d}: {cure}")
    if now < certificate.not_valid_before_utc:
        raise LinkError(
            f"the certificate of {whose} is valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on, and"
            f" the clock of this box says {now:%Y-%m-%d %H:%M} UTC: set the clock that is wrong"
        )


def days_left(certificate: x509.Certificate) -> float:
    """Days until a certificate ends; negative when it has."""
    return (certificate.not_valid_after_utc - datetime.now(UTC)).total_seconds() / 86400


def uris(certificate: x509.Certificate) -> list[str]:
    """The application URIs that a certificate is made out to."""
    names = _alternative_names(certificate)
    return names.get_values_for_type(x509.UniformResourceIdentifier) if names is not None else []


def host_names(certificate: x509.Certificate) -> list[str]:
    """The host names and addresses that a certificate is made out to."""
    names = _alternative_names(certificate)
    if names is None:
        return []
    return [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]


def common_name(certificate: x509.Certificate) -> str:
    """What a certificate calls its owner."""
    return name_of(certificate.subject)


def name_of(subject: x509.Name) -> str:
    """The common name, or the whole name of one that has none."""
    names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else subject.rfc4514_string()


def whole(certificate: x509.Certificate) -> x509.Certificate:
    """A certificate whose parts were all decoded, which happens only when they are asked for. Raises ``ValueError``.

    It may fail in as many ways as there are parts: a key of an unknown kind, an extension that stands there twice.
    """
    try:
        certificate.public_key()
        _ = (certificate.extensions, certificate.not_valid_before_utc, certificate.not_valid_after_utc)
        _ = (common_name(certificate), name_of(certificate.issuer), uris(certificate), host_names(certificate))
    except Exception as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    return certificate


def authenticates_servers(certificate: x509.Certificate) -> bool:
    """True for a certificate that its issuer made for a server (extended key usage serverAuth)."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    return ExtendedKeyUsageOID.SERVER_AUTH in usage


def is_made_out_to(certificate: x509.Certificate, url: str) -> bool:
    """True when the host of a url, a name or an address, is among those of a certificate."""
    host = urlparse(url).hostname or ""
    return _plain_host(host) in map(_plain_host, host_names(certificate))


def _plain_host(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host.lower().rstrip(".")


def write_private(path: Path, content: bytes) -> None:
    """Writes a file that only its owner may read, at once or not at all; one that is there already is left alone.

    Root gives it to the owner of the directory: what an administrator's command makes, the controller must read.
    """
    _place(path, content, os.link)


def replace_private(path: Path, content: bytes) -> None:
    """The same, in the place of what is there."""
    _place(path, content, os.replace)


def _place(path: Path, content: bytes, place: Callable[[Path, Path], None]) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _give_to_owner_of(path.parent, draft)
        with contextlib.suppress(FileExistsError):
            place(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Makes a directory that only its owner may enter; root gives it to the owner of the one around it."""
    if not folder.exists():
        folder.mkdir(mode=0o700, exist_ok=True)
        _give_to_owner_of(folder.parent, folder)


def _give_to_owner_of(folder: Path, path: Path) -> None:
    if os.geteuid() == 0:
        owner = folder.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def _prepare(pki: Path, folder: Path) -> None:
    pki.parent.mkdir(parents=True, exist_ok=True)
    make_folder(pki)
    make_folder(folder)


def _make(folder: Path, site_id: str) -> None:
    if not (folder / KEY).exists():
        fresh = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        pem = fresh.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_private(folder / KEY, pem)
    # Of two processes that make one at a time the first wins; both go on with what is there.
    key = load_pem_private_key((folder / KEY).read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    host = socket.gethostname()
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, f"Penstock {site_id}"[:64]),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Penstock"),
        ]
    )
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + timedelta(days=VALID_DAYS))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.UniformResourceIdentifier(f"urn:{host}:penstock:{site_id}"), x509.DNSName(host)]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        # OPC 10000-6, 6.2.2: the uses of an application instance; a self-signed one also signs itself.
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=True,
                key_encipherment=True,
                data_encipherment=True,
                key_agreement=False,
                key_cert_sign=True,
                crl_sign=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write_private(folder / CERTIFICATE, certificate.public_bytes(Encoding.DER))


def _load(folder: Path) -> OwnCertificate:
    path, key_path = folder / CERTIFICATE, folder / KEY
    mode = key_path.stat().st_mode & 0o077
    if mode:
        raise LinkError(f"{key_path} may be read by others: chmod 600 {key_path}")
    try:
        certificate = x509.load_der_x509_certificate(path.read_bytes())
        key_pem = key_path.read_bytes()
        key = load_pem_private_key(key_pem, None)
        [uri] = uris(certificate)
    except ValueError as error:
        raise LinkError(f"{path} or {key_path} is damaged ({error}): remove it, and a new one is made") from error
    if key.public_key() != certificate.public_key():
        raise LinkError(f"{path} does not belong to {key_path}: 'penstock opcua trust renew own' makes one that does")
    return OwnCertificate(path, certificate, key_pem, uri)


def _alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return None
