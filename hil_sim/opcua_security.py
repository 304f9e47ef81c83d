"""What the simulated OPC UA server asks of its clients: policy and mode, a user, a certificate that it trusts.

Certificates are made and checked by asyncua's own means, so that the client's are seen by other eyes than ours.
"""

import hmac
import socket
import tempfile
from pathlib import Path
from typing import Any, Final

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.crypto.uacrypto import load_certificate
from asyncua.crypto.validator import CertificateValidator, CertificateValidatorOptions
from asyncua.server.server import Server
from asyncua.server.user_managers import UserManager
from asyncua.ua.status_codes import StatusCodes
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from config.errors import LinkError
from config.link import OpcUaLink

APPLICATION_URI: Final = "urn:penstock:simulator:plc"
_POLICIES: Final = {
    ("Basic256Sha256", "sign"): ua.SecurityPolicyType.Basic256Sha256_Sign,
    ("Basic256Sha256", "sign-and-encrypt"): ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
    ("Aes128Sha256RsaOaep", "sign"): ua.SecurityPolicyType.Aes128Sha256RsaOaep_Sign,
    ("Aes128Sha256RsaOaep", "sign-and-encrypt"): ua.SecurityPolicyType.Aes128Sha256RsaOaep_SignAndEncrypt,
    ("Aes256Sha256RsaPss", "sign"): ua.SecurityPolicyType.Aes256Sha256RsaPss_Sign,
    ("Aes256Sha256RsaPss", "sign-and-encrypt"): ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
}


async def secure(server: Server, link: OpcUaLink, pki: Path | None) -> None:
    """Makes a server that was not started yet ask for what the link gives, and for nothing less.

    Raises ``LinkError`` when the link's password cannot be read.
    """
    if link.security.policy == "none":
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        return
    # First, because the certificate must carry it.
    await server.set_application_uri(APPLICATION_URI)
    server.set_security_policy([_POLICIES[link.security.policy, link.security.mode]])
    if pki is None:
        with tempfile.TemporaryDirectory() as directory:
            await _load_own(server, Path(directory))
    else:
        await _load_own(server, pki / "own")
        server.set_certificate_validator(_Trusted(pki / "trusted"))
    if link.username is not None and link.password_file is not None:
        server.set_identity_tokens([ua.UserNameIdentityToken])
        server.iserver.set_user_manager(_OneUser(link.username, _password(link.password_file)))
    elif link.user_cert_file is not None:
        server.set_identity_tokens([ua.X509IdentityToken])
        server.iserver.set_user_manager(_OneCertificate(await load_certificate(link.user_cert_file)))
    else:
        server.set_identity_tokens([ua.AnonymousIdentityToken])


async def _load_own(server: Server, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    key, certificate = folder / "simulator.pem", folder / "simulator.der"
    uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    await setup_self_signed_certificate(key, certificate, APPLICATION_URI, socket.gethostname(), uses, {})
    await server.load_certificate(certificate)
    await server.load_private_key(key)


def _password(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except OSError as error:
        raise LinkError(f"{path}: {error.strerror}") from error


class _Trusted:
    """Takes the clients whose very certificate lies in a directory, if it is one as OPC UA wants it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        options = CertificateValidatorOptions
        self._form = CertificateValidator(options.EXT_VALIDATION | options.PEER_CLIENT)

    async def __call__(self, certificate: x509.Certificate, application: ua.ApplicationDescription) -> None:
        await self._form(certificate, application)
        known = [path.read_bytes() for path in self._folder.glob("*.der")]
        if certificate.public_bytes(Encoding.DER) not in known:
            raise ServiceError(StatusCodes.BadCertificateUntrusted)


class _OneUser(UserManager):
    def __init__(self, name: str, password: str) -> None:
        self._name = name
        self._password = password

    def get_user(
        self, iserver: Any, username: str | None = None, password: str | None = None, certificate: Any = None
    ) -> User | None:
        right = username == self._name and hmac.compare_digest((password or "").encode(), self._password.encode())
        return User(role=UserRole.User, name=username) if right else None


class _OneCertificate(UserManager):
    def __init__(self, certificate: x509.Certificate) -> None:
        self._der = certificate.public_bytes(Encoding.DER)

    def get_user(
        self, iserver: Any, username: str | None = None, password: str | None = None, certificate: Any = None
    ) -> User | None:
        return User(role=UserRole.User) if certificate == self._der else None
