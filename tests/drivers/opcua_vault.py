"""A server that wants to be spoken with in secret, and certificates of every kind to speak with it."""

import ipaddress
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.user_managers import UserManager
from asyncua.ua.status_codes import StatusCodes
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.drivers.opcua_plc import Plc

APPLICATION = "urn:test:vault"
USER, PASSWORD = "operator", "pump house 7"
OFFERED = [
    ua.SecurityPolicyType.Basic256Sha256_Sign,
    ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
    ua.SecurityPolicyType.Aes128Sha256RsaOaep_SignAndEncrypt,
    ua.SecurityPolicyType.Aes256Sha256RsaPss_Sign,
    ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
]
"""All but Aes128Sha256RsaOaep with sign, and nothing unprotected."""


def make_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def make_certificate(
    key: rsa.RSAPrivateKey,
    name: str = "vault",
    *,
    uri: str | None = APPLICATION,
    days: tuple[float, float] = (-1.0, 365.0),
    authority: bool = False,
    issuer: tuple[x509.Certificate, rsa.RSAPrivateKey] | None = None,
    hosts: Sequence[str] | None = None,
    usage: x509.ObjectIdentifier | None = None,
) -> x509.Certificate:
    """A certificate, self-signed unless there is an ``issuer``; ``days`` from now: from and until when it is valid.

    ``hosts``: names and addresses that it is made out to, by default this box where there is a ``uri``.
    """
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri)] if uri is not None else []
    if hosts is None:
        hosts = [socket.gethostname()] if uri is not None else []
    names += [_host(host) for host in hosts]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256())


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class Vault(Plc):
    """The PLC behind security. ``clients``: certificates that it trusts, ``None`` for all.

    ``anonymous``: whether it lets in who does not say who he is.
    """

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.key = make_key()
        self.certificate = make_certificate(self.key)
        self.user_key = make_key()
        self.user_certificate = make_certificate(self.user_key, "maintainer", uri=None)
        self.clients: list[bytes] | None = None
        self.anonymous = True

    async def start(self) -> None:
        server = self.server
        await server.init()
        server.disable_clock(True)
        server.set_endpoint(f"opc.tcp://127.0.0.1:{self.port}/")
        await server.set_application_uri(APPLICATION)
        server.set_security_policy(OFFERED)
        server.set_identity_tokens([ua.AnonymousIdentityToken, ua.UserNameIdentityToken, ua.X509IdentityToken])
        server.iserver.set_user_manager(_Users(self))
        server.set_certificate_validator(self._check_client)
        await server.load_certificate(der(self.certificate), "der")
        await server.load_private_key(pem(self.key), format="pem")
        await self.build()
        await server.start()

    def claim(self, certificate: x509.Certificate | None) -> None:
        """Offers another certificate to whoever asks unprotected; ``None`` for the true one again."""
        for endpoint in self.server.iserver.endpoints:
            endpoint.ServerCertificate = der(certificate or self.certificate)

    async def _check_client(self, certificate: x509.Certificate, application: ua.ApplicationDescription) -> None:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        if application.ApplicationUri not in names.get_values_for_type(x509.UniformResourceIdentifier):
            raise ServiceError(StatusCodes.BadCertificateUriInvalid)
        if self.clients is not None and der(certificate) not in self.clients:
            raise ServiceError(StatusCodes.BadCertificateUntrusted)


class _Users(UserManager):
    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def get_user(
        self, iserver: Any, username: str | None = None, password: str | None = None, certificate: Any = None
    ) -> User | None:
        if username is not None:
            known = (username, password) == (USER, PASSWORD)
        else:
            known = self._vault.anonymous or certificate == der(self._vault.user_certificate)
        return User(role=UserRole.User) if known else None


@asynccontextmanager
async def vault(port: int) -> AsyncIterator[Vault]:
    """A vault that runs while the block does."""
    server = Vault(port)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def secret_file(folder: Path, name: str, content: bytes, mode: int = 0o600) -> str:
    """A file as the site file names it."""
    path = folder / name
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)
