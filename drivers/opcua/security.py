"""Protects a client: policy and mode, our certificate, the server's as the trust list knows it, and who we are.

The server's certificate must be known before the channel can be opened, and the only way to learn it is to ask the
server unprotected. What it answers is a hint and no more: the certificate is looked up in the trust list first, and
only the holder of its key can then open the channel.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from asyncua import ua
from asyncua.client.client import Client
from asyncua.crypto import security_policies
from asyncua.crypto.uacrypto import CertProperties
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from config.errors import LinkError
from config.link import OpcUaLink
from drivers.opcua.certificate import OwnCertificate, check_valid, host_names, is_made_out_to, own_certificate, uris
from drivers.opcua.errors import decoding
from drivers.opcua.trust import TrustList, first_certificate

POLICIES: Final[dict[str, type[security_policies.SecurityPolicy]]] = {
    "none": security_policies.SecurityPolicyNone,
    "Basic256Sha256": security_policies.SecurityPolicyBasic256Sha256,
    "Aes128Sha256RsaOaep": security_policies.SecurityPolicyAes128Sha256RsaOaep,
    "Aes256Sha256RsaPss": security_policies.SecurityPolicyAes256Sha256RsaPss,
}
MODES: Final = {
    "sign": ua.MessageSecurityMode.Sign,
    "sign-and-encrypt": ua.MessageSecurityMode.SignAndEncrypt,
}
_SHOWN_MODES: Final = {
    ua.MessageSecurityMode.None_: "none",
    ua.MessageSecurityMode.Sign: "sign",
    ua.MessageSecurityMode.SignAndEncrypt: "sign-and-encrypt",
}
_RENEW_OWN: Final = "'penstock opcua trust renew own' makes a new one; then load it into each server"
_OTHERS: Final = 0o007
"""The rights of everybody else. The group may read: it is how an administrator gives a secret to the service."""


@dataclass(frozen=True, slots=True)
class Protection:
    """What protects a channel: our certificate and the server's."""

    own: OwnCertificate
    server: x509.Certificate


async def protect(client: Client, link: OpcUaLink, pki: Path, site_id: str) -> Protection | None:
    """Prepares a client that is not connected yet; ``None`` for a link without security.

    Raises ``LinkError`` for whatever stands in the way: a server that is not trusted, a policy it does not offer, a
    certificate that is not valid now, a file that others can read.
    """
    _set_user_name(client, link)
    if link.security.policy == "none":
        return None
    # Making a key takes up to seconds on a small box, in which the scan must go on.
    own = await asyncio.to_thread(own_certificate, pki, site_id)
    check_valid(own.certificate, f"this box ({own.path})", _RENEW_OWN)
    endpoint = chosen(await offered(link.url, link.timeout), link)
    server = first_certificate(endpoint.ServerCertificate or b"")
    trust = TrustList(pki)
    trust.check(server, link.url, link.security.application_uri)
    client.application_uri = own.uri
    client.certificate_validator = _Validator(trust, link)
    await client.set_security(
        POLICIES[link.security.policy],
        CertProperties(own.der, "der"),
        CertProperties(own.key_pem, "pem"),
        server_certificate=CertProperties(server.public_bytes(Encoding.DER), "der"),
        mode=MODES[link.security.mode],
    )
    await _set_user_certificate(client, link)
    return Protection(own, server)


async def offered(url: str, timeout: float) -> list[ua.EndpointDescription]:
    """What a server says that it offers, asked without protection. Raises what asyncua raises."""
    client = Client(url, timeout=timeout)
    try:
        with decoding():
            async with asyncio.timeout(2 * timeout):
                return list(await client.connect_and_get_server_endpoints())
    finally:
        client.disconnect_socket()


def chosen(endpoints: Sequence[ua.EndpointDescription], link: OpcUaLink) -> ua.EndpointDescription:
    """The endpoint with the link's policy and mode. Raises ``LinkError`` that lists what is offered instead."""
    policy, mode = POLICIES[link.security.policy].URI, MODES[link.security.mode]
    for endpoint in endpoints:
        if endpoint.SecurityPolicyUri == policy and endpoint.SecurityMode == mode:
            return endpoint
    wanted = f"{link.security.policy} with {link.security.mode}"
    raise LinkError(f"the server does not offer {wanted}; it offers: {', '.join(shown(endpoints)) or 'nothing'}")


def shown(endpoints: Sequence[ua.EndpointDescription]) -> list[str]:
    """Endpoints in the words of the site file: ``Basic256Sha256 with sign``."""
    return list(dict.fromkeys(_shown(endpoint) for endpoint in endpoints))


def secret(path: Path, what: str) -> str:
    """A secret from a file. Raises ``LinkError`` for one that is missing, empty, no UTF-8, or readable by everybody."""
    try:
        return secret_bytes(path, what).decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise LinkError(f"{what} {path} is not in UTF-8 (byte {error.start + 1}): save it as UTF-8") from error


def secret_bytes(path: Path, what: str) -> bytes:
    """The same, as it stands in the file."""
    try:
        if path.stat().st_mode & _OTHERS:
            raise LinkError(f"{what} {path} may be read by everybody on this box: chmod o= {path}")
        content = path.read_bytes()
    except OSError as error:
        raise LinkError(f"{what} {path} cannot be read: {error.strerror}") from error
    if not content.strip():
        raise LinkError(f"{what} {path} is empty")
    return content


class _Validator:
    """asyncua's hook for the server's certificate, asked in each session with what came over the protected channel."""

    def __init__(self, trust: TrustList, link: OpcUaLink) -> None:
        self._trust = trust
        self._link = link

    async def __call__(self, certificate: x509.Certificate, application: ua.ApplicationDescription) -> None:
        self._trust.check(certificate, self._link.url, self._link.security.application_uri)
        names = uris(certificate)
        if names and application.ApplicationUri not in names:
            raise LinkError(
                f"the server calls itself {application.ApplicationUri}, its certificate says {', '.join(names)}: have"
                " the server make a certificate with its own application URI"
            )


def _set_user_name(client: Client, link: OpcUaLink) -> None:
    if link.username is None or link.password_file is None:
        return
    client.set_user(link.username)
    client.set_password(secret(link.password_file, "password_file"))


async def _set_user_certificate(client: Client, link: OpcUaLink) -> None:
    if link.user_cert_file is None or link.user_key_file is None:
        return
    key = secret_bytes(link.user_key_file, "user_key_file")
    try:
        content = link.user_cert_file.read_bytes()
        await client.load_client_certificate(content, _form(content))  # type: ignore[arg-type]
        await client.load_private_key(key, extension=_form(key))  # type: ignore[arg-type]
    except OSError as error:
        raise LinkError(f"user_cert_file {link.user_cert_file} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise LinkError(f"user_cert_file and user_key_file cannot be used: {error}") from error


def _form(content: bytes) -> str:
    return "pem" if content.lstrip().startswith(b"-----BEGIN") else "der"


def other_hosts(certificate: x509.Certificate, url: str) -> list[str]:
    """The hosts that a certificate was made for, where the url's is not among them.

    Many PLCs do not know their own address; once the very certificate is trusted, the name proves nothing more.
    """
    return [] if is_made_out_to(certificate, url) else host_names(certificate)


def _shown(endpoint: ua.EndpointDescription) -> str:
    policy = (endpoint.SecurityPolicyUri or "").rpartition("#")[2].replace("_", "")
    mode = _SHOWN_MODES.get(endpoint.SecurityMode, "?")
    return "none" if mode == "none" else f"{policy} with {mode}"
