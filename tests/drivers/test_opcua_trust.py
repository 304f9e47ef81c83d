"""The certificate of this box, and the list of those it trusts, without a server."""

import asyncio
import stat
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from pydantic import ValidationError

from config.errors import LinkError
from config.link import OpcUaLink
from drivers.opcua import certificate as certificates
from drivers.opcua.certificate import own_certificate, renew_own, thumbprint, uris
from drivers.opcua.certificate_watch import CertificateWatch
from drivers.opcua.pki_files import TrustError
from drivers.opcua.security import Protection, _Validator
from drivers.opcua.trust import MAX_REJECTED, TrustList, UntrustedCertificate, first_certificate
from drivers.port import LinkEvent
from tests.drivers.opcua_vault import APPLICATION, der, make_certificate, make_key

URL = "opc.tcp://plc:4840"


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return make_key()


@pytest.fixture(scope="module")
def own_pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pki = tmp_path_factory.mktemp("state") / "pki"
    own_certificate(pki, "north-1")
    return pki


def trusting(folder: Path, *certificates: x509.Certificate) -> TrustList:
    trust = TrustList(folder / "pki")
    for number, certificate in enumerate(certificates):
        (folder / f"{number}.der").write_bytes(der(certificate))
        trust.add(str(folder / f"{number}.der"))
    return trust


# -- the certificate of this box --------------------------------------------------------------------------------


def test_the_certificate_of_this_box_names_host_and_site_and_its_key_is_its_owners_alone(own_pki: Path) -> None:
    own = own_certificate(own_pki, "north-1")
    assert own.uri == uris(own.certificate)[0]
    assert own.uri.startswith("urn:")
    assert own.uri.endswith(":penstock:north-1")
    public = own.certificate.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    assert public.key_size >= 2048
    usage = own.certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert usage.content_commitment
    assert usage.key_encipherment
    assert usage.data_encipherment
    own.certificate.verify_directly_issued_by(own.certificate)
    years = (own.certificate.not_valid_after_utc - own.certificate.not_valid_before_utc).days / 365
    assert 4 < years < 6
    for path in (own_pki / "own" / "penstock.key", own.path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for folder in (own_pki, own_pki / "own"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_it_is_made_once_whatever_the_site_is_called_later(own_pki: Path) -> None:
    first = own_certificate(own_pki, "north-1")
    again = own_certificate(own_pki, "south-2")
    assert again.der == first.der
    assert again.uri == first.uri


def test_it_is_renewed_for_the_same_key_on_demand_only(tmp_path: Path) -> None:
    first = own_certificate(tmp_path / "pki", "s")
    second = renew_own(tmp_path / "pki")
    assert second.thumbprint != first.thumbprint
    assert second.key_pem == first.key_pem
    assert second.uri == first.uri
    assert (tmp_path / "pki" / "own" / "penstock.old").read_bytes() == first.der


def test_a_key_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    own_certificate(tmp_path / "pki", "s")
    key = tmp_path / "pki" / "own" / "penstock.key"
    key.chmod(0o640)
    with pytest.raises(LinkError, match=f"may be read by others: chmod 600 {key}"):
        own_certificate(tmp_path / "pki", "s")


def test_a_damaged_certificate_is_named_with_its_cure(tmp_path: Path) -> None:
    own_certificate(tmp_path / "pki", "s").path.write_bytes(b"0")
    with pytest.raises(LinkError, match=r"is damaged .*: remove it, and a new one is made"):
        own_certificate(tmp_path / "pki", "s")


def test_no_certificate_is_made_while_the_clock_of_the_box_cannot_be_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "PLAUSIBLE", datetime.now(UTC) + timedelta(days=1))
    with pytest.raises(LinkError, match=r"the clock of this box says .* which cannot be"):
        own_certificate(tmp_path / "pki", "s")
    assert not (tmp_path / "pki").exists()


# -- the trust list ---------------------------------------------------------------------------------------------


def test_a_certificate_is_trusted_by_its_very_bytes(tmp_path: Path, key: rsa.RSAPrivateKey) -> None:
    known = make_certificate(key)
    trust = trusting(tmp_path, known)
    trust.check(known, URL)
    # Another certificate for the same key and name is another certificate.
    with pytest.raises(LinkError, match="is not trusted: vault, thumbprint"):
        trust.check(make_certificate(key), URL)


@pytest.mark.parametrize(
    ("days", "said"),
    [((-10.0, -1.0), "expired on"), ((1.0, 10.0), "set the clock that is wrong")],
)
def test_a_trusted_certificate_counts_only_while_it_is_valid(
    tmp_path: Path, key: rsa.RSAPrivateKey, days: tuple[float, float], said: str
) -> None:
    certificate = make_certificate(key, days=days)
    with pytest.raises(LinkError, match=said):
        trusting(tmp_path, certificate).check(certificate, URL)


def test_a_short_key_is_refused_even_when_it_is_trusted(tmp_path: Path) -> None:
    certificate = make_certificate(make_key(1024))
    with pytest.raises(LinkError, match="no RSA key of 2048 bits"):
        trusting(tmp_path, certificate).check(certificate, URL)


@dataclass(frozen=True)
class Plant:
    """An authority of a plant."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey

    def issue(self, key: rsa.RSAPrivateKey, **what: Any) -> x509.Certificate:
        """A certificate for the server at ``URL``, unless it says otherwise."""
        made: dict[str, Any] = {"hosts": ["plc"], "usage": ExtendedKeyUsageOID.SERVER_AUTH}
        return make_certificate(key, issuer=(self.certificate, self.key), **made | what)

    def revoke(self, *certificates: x509.Certificate, days: float = 1.0, key: rsa.RSAPrivateKey | None = None) -> Any:
        """A revocation list; the next one is due in ``days``, and ``key`` signs it instead of the authority's."""
        now = datetime.now(UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(now - timedelta(days=30))
            .next_update(now + timedelta(days=days))
        )
        for one in certificates:
            revoked = x509.RevokedCertificateBuilder().serial_number(one.serial_number).revocation_date(now).build()
            builder = builder.add_revoked_certificate(revoked)
        return builder.sign(key or self.key, hashes.SHA256())


@pytest.fixture(scope="module")
def plant() -> Plant:
    key = make_key()
    return Plant(make_certificate(key, "plant authority", uri=None, authority=True), key)


def test_what_a_trusted_authority_issued_for_this_server_is_trusted(
    tmp_path: Path, key: rsa.RSAPrivateKey, plant: Plant
) -> None:
    trust = trusting(tmp_path, plant.certificate)
    trust.check(plant.issue(key), URL)
    trust.check(plant.issue(key, hosts=["other", "PLC"]), URL)
    trust.check(plant.issue(key, hosts=["192.168.7.20"]), "opc.tcp://192.168.7.20:4840/path")
    trust.check(plant.issue(key, hosts=["fd00::20"]), "opc.tcp://[FD00:0::20]:4840")


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ({"uri": None}, "but names no application URI"),
        ({"usage": None}, "but not for a server"),
        ({"usage": ExtendedKeyUsageOID.CLIENT_AUTH}, "but not for a server"),
        ({"hosts": ["printer"]}, r"but for another host \(printer\).* 'security.application_uri: urn:test:vault'"),
        ({"hosts": []}, r"but for another host \(none\)"),
    ],
)
def test_what_it_issued_for_another_purpose_is_not_but_a_person_may_trust_it_by_itself(
    tmp_path: Path, key: rsa.RSAPrivateKey, plant: Plant, what: dict[str, Any], said: str
) -> None:
    trust = trusting(tmp_path, plant.certificate)
    issued = plant.issue(key, **what)
    with pytest.raises(UntrustedCertificate, match=f"was issued by plant authority, {said}"):
        trust.check(issued, URL)
    trust.add(thumbprint(issued))
    trust.check(issued, URL)


def test_a_server_that_the_site_knows_by_its_application_uri_may_have_another_host(
    tmp_path: Path, key: rsa.RSAPrivateKey, plant: Plant
) -> None:
    trust = trusting(tmp_path, plant.certificate)
    elsewhere = plant.issue(key, hosts=["other"])
    trust.check(elsewhere, URL, APPLICATION)
    with pytest.raises(LinkError, match="is not that of urn:another"):
        trust.check(elsewhere, URL, "urn:another")
    with pytest.raises(UntrustedCertificate, match="but not for a server"):
        trust.check(plant.issue(key, hosts=["other"], usage=None), URL, APPLICATION)


@pytest.mark.parametrize("name", ["plant.crl", "plant.CRL", "plant.crl.pem", "list"])
@pytest.mark.parametrize("form", [Encoding.DER, Encoding.PEM])
def test_a_revocation_list_is_known_by_its_content(
    tmp_path: Path, key: rsa.RSAPrivateKey, plant: Plant, name: str, form: Encoding
) -> None:
    trust = trusting(tmp_path, plant.certificate)
    server = plant.issue(key)
    (tmp_path / "pki" / "trusted" / name).write_bytes(plant.revoke(server).public_bytes(form))
    with pytest.raises(LinkError, match="was revoked by plant authority"):
        trust.check(server, URL)
    trust.check(plant.issue(key), URL)
    assert trust.contents().problems() == []


def test_a_list_may_stand_in_one_file_with_its_authority(tmp_path: Path, key: rsa.RSAPrivateKey, plant: Plant) -> None:
    trust, server = trusting(tmp_path), plant.issue(key)
    (tmp_path / "pki" / "trusted").mkdir(parents=True)
    bundle = plant.certificate.public_bytes(Encoding.PEM) + plant.revoke(server).public_bytes(Encoding.PEM)
    (tmp_path / "pki" / "trusted" / "plant.pem").write_bytes(b"Plant authority:\n" + bundle)
    trust.check(plant.issue(key), URL)
    with pytest.raises(LinkError, match="was revoked by plant authority"):
        trust.check(server, URL)


def test_what_was_revoked_is_refused_though_a_person_trusted_it_by_itself(
    tmp_path: Path, key: rsa.RSAPrivateKey, plant: Plant
) -> None:
    server = plant.issue(key)
    trust = trusting(tmp_path, plant.certificate, server)
    trust.check(server, URL)
    (tmp_path / "pki" / "trusted" / "plant.crl").write_bytes(plant.revoke(server).public_bytes(Encoding.DER))
    with pytest.raises(LinkError, match="was revoked by plant authority"):
        trust.check(server, URL)


def test_an_authority_that_the_one_above_it_revoked_vouches_for_nobody(
    tmp_path: Path, key: rsa.RSAPrivateKey, plant: Plant
) -> None:
    below_key = make_key()
    issuer = (plant.certificate, plant.key)
    below = Plant(make_certificate(below_key, "line 1", uri=None, authority=True, issuer=issuer), below_key)
    server = below.issue(key)
    trust = trusting(tmp_path, plant.certificate, below.certificate)
    trust.check(server, URL)
    crl = plant.revoke(below.certificate)
    (tmp_path / "pki" / "trusted" / "plant.crl").write_bytes(crl.public_bytes(Encoding.DER))
    with pytest.raises(LinkError, match="the authority line 1 was revoked by plant authority"):
        trust.check(server, URL)


def test_a_list_that_the_authority_did_not_sign_revokes_nothing_and_is_told_of(
    tmp_path: Path, key: rsa.RSAPrivateKey, plant: Plant
) -> None:
    trust, server = trusting(tmp_path, plant.certificate), plant.issue(key)
    crl = plant.revoke(server, key=key)
    (tmp_path / "pki" / "trusted" / "plant.crl").write_bytes(crl.public_bytes(Encoding.DER))
    trust.check(server, URL)
    [problem] = trust.contents().problems()
    assert problem.endswith(
        "plant.crl: signed by no authority that is trusted (plant authority), so it revokes nothing"
    )


def test_an_overdue_list_still_counts_and_is_told_of(
    tmp_path: Path, key: rsa.RSAPrivateKey, plant: Plant, own_pki: Path
) -> None:
    """OPC 10000-6, E.6 leaves it to the client: a forgotten file must not stop a plant, nor go unnoticed."""
    trust, revoked = trusting(tmp_path, plant.certificate), plant.issue(key)
    crl = plant.revoke(revoked, days=-3)
    (tmp_path / "pki" / "trusted" / "plant.crl").write_bytes(crl.public_bytes(Encoding.DER))
    trust.check(plant.issue(key), URL)
    with pytest.raises(LinkError, match="was revoked by plant authority"):
        trust.check(revoked, URL)
    [problem] = trust.contents().problems()
    assert "plant.crl: plant authority has a newer list since 20" in problem

    events: list[LinkEvent] = []
    link = OpcUaLink.model_validate({"type": "opcua", "url": URL, "security": {"policy": "Basic256Sha256"}})
    watch = CertificateWatch("plc", link, trust, events.append)
    for _ in range(2):
        assert watch.look(Protection(own_certificate(own_pki, "north-1"), plant.issue(key)))["problems"] == [problem]
    body = {"certificate": "revocation list plant.crl", "days_left": -3}
    assert [(event.name, event.body) for event in events] == [("certificate-expiry", body)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plant.CRL", b"damaged"),
        ("list.pem", b"-----BEGIN X509 CRL-----\nZGFtYWdlZA==\n-----END X509 CRL-----\n"),
    ],
)
def test_a_list_that_cannot_be_read_stands_in_the_way_of_all_it_may_revoke_and_of_nothing_else(
    tmp_path: Path, key: rsa.RSAPrivateKey, plant: Plant, name: str, content: bytes
) -> None:
    own = make_certificate(key)
    trust = trusting(tmp_path, plant.certificate, own)
    (tmp_path / "pki" / "trusted" / name).write_bytes(content)
    with pytest.raises(
        LinkError, match=f"{name}: is no revocation list that can be read .* replace it or take it away"
    ):
        trust.check(plant.issue(key), URL)
    trust.check(own, URL)
    [problem] = trust.contents().problems()
    assert "is no revocation list that can be read" in problem


def test_an_issuer_must_be_an_authority(tmp_path: Path, key: rsa.RSAPrivateKey) -> None:
    """Servers often carry a self-signed certificate that claims to be an authority: it speaks for itself alone."""
    issuer_key = make_key()
    for uri, authority in ((APPLICATION, True), (None, False)):
        issuer = make_certificate(issuer_key, "another server", uri=uri, authority=authority)
        forged = make_certificate(key, issuer=(issuer, issuer_key))
        with pytest.raises(LinkError, match="is not trusted"):
            trusting(tmp_path, issuer).check(forged, URL)


def test_the_rejected_are_kept_for_a_decision_but_not_without_end(tmp_path: Path, key: rsa.RSAPrivateKey) -> None:
    trust = TrustList(tmp_path / "pki")
    for number in range(MAX_REJECTED + 3):
        with pytest.raises(LinkError):
            trust.check(make_certificate(key, f"server {number}"), URL)
    assert len(trust.rejected()) == MAX_REJECTED


def test_a_rejected_certificate_is_added_by_its_whole_thumbprint_only(tmp_path: Path, key: rsa.RSAPrivateKey) -> None:
    trust = TrustList(tmp_path / "pki")
    certificate = make_certificate(key)
    with pytest.raises(LinkError):
        trust.check(certificate, URL)
    print_ = thumbprint(certificate)
    with pytest.raises(TrustError, match="at least 40 digits"):
        trust.add(print_[:16])
    # As servers show it: small letters, in groups.
    shown = ":".join(print_[i : i + 2].lower() for i in range(0, 40, 2))
    assert trust.add(shown).thumbprint == print_
    trust.check(certificate, URL)
    assert trust.remove(print_[:8]).thumbprint == print_
    with pytest.raises(TrustError, match="no trusted certificate"):
        trust.remove(print_)


def test_files_that_are_no_certificates_are_refused_and_passed_over(tmp_path: Path, key: rsa.RSAPrivateKey) -> None:
    trust = trusting(tmp_path, make_certificate(key))
    junk = tmp_path / "junk.der"
    junk.write_bytes(b"junk")
    with pytest.raises(TrustError, match="holds no certificate"):
        trust.add(str(junk))
    (tmp_path / "pki" / "trusted" / "junk.der").write_bytes(b"junk")
    assert len(trust.trusted()) == 1
    [problem] = trust.contents().problems()
    assert problem.endswith("junk.der: neither a certificate nor a revocation list")


def test_a_directory_that_cannot_be_looked_at_is_named(tmp_path: Path) -> None:
    too_long = tmp_path / ("x" * 300)
    trust = TrustList(too_long)
    questions = (trust.trusted, trust.rejected, trust.contents, lambda: trust.add("0" * 40), lambda: trust.remove("0"))
    for question in questions:
        with pytest.raises(TrustError, match=r"xxx/(trusted|rejected): File name too long"):
            question()


def test_a_certificate_whose_key_nobody_knows_is_refused_in_plain_words(
    tmp_path: Path, key: rsa.RSAPrivateKey, plant: Plant
) -> None:
    """Its parts are decoded only when they are asked for."""
    rsa_encryption, unknown = bytes.fromhex("06092a864886f70d010101"), bytes.fromhex("06092a864886f70d01017f")
    strange = der(make_certificate(key)).replace(rsa_encryption, unknown)
    with pytest.raises(LinkError, match="no certificate that could be read"):
        first_certificate(strange)
    trust = trusting(tmp_path, plant.certificate)
    (tmp_path / "pki" / "trusted" / "strange.der").write_bytes(strange)
    trust.check(plant.issue(key), URL)
    [problem] = trust.contents().problems()
    assert "strange.der: neither a certificate nor a revocation list" in problem


def test_a_pem_file_is_as_good_as_a_der_file(tmp_path: Path, key: rsa.RSAPrivateKey) -> None:
    certificate = make_certificate(key)
    path = tmp_path / "server.pem"
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    trust = TrustList(tmp_path / "pki")
    trust.add(str(path))
    trust.check(certificate, URL)


def test_the_first_of_a_chain_is_the_servers(key: rsa.RSAPrivateKey) -> None:
    certificate, other = make_certificate(key), make_certificate(key)
    assert first_certificate(der(certificate) + der(other)) == certificate
    for wrong in (b"", b"\x30\x82", b"\x30\x82\x00\x02ab", b"x" * 500):
        with pytest.raises(LinkError, match="no certificate that could be read"):
            first_certificate(wrong)


def test_a_server_must_call_itself_what_its_certificate_says(tmp_path: Path, key: rsa.RSAPrivateKey) -> None:
    certificate = make_certificate(key)
    link = OpcUaLink.model_validate({"type": "opcua", "url": URL, "security": {"policy": "Basic256Sha256"}})
    validator = _Validator(trusting(tmp_path, certificate), link)
    asyncio.run(validator(certificate, ua.ApplicationDescription(ApplicationUri=APPLICATION)))
    with pytest.raises(LinkError, match="calls itself urn:other"):
        asyncio.run(validator(certificate, ua.ApplicationDescription(ApplicationUri="urn:other")))


# -- the site file ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"username": "u", "password_file": "/p"}, "a password must not be read on the way"),
        (
            {"username": "u", "password_file": "/p", "security": {"policy": "Basic256Sha256", "mode": "sign"}},
            "a password must not be read on the way",
        ),
        ({"username": "u"}, "username and password_file together"),
        ({"user_cert_file": "/c"}, "user_cert_file and user_key_file together"),
        ({"user_cert_file": "/c", "user_key_file": "/k"}, "a user certificate proves nothing"),
        ({"url": "opc.tcp://u:p@plc:4840"}, "a url without user and password"),
        ({"security": {"policy": "Basic128Rsa15"}}, "policy"),
        ({"security": {"policy": "none", "application_uri": "urn:x"}}, "nothing proves the server's application_uri"),
        ({"mode": "poll", "publishing": "1 s"}, "mode poll has no subscription"),
    ],
)
def test_a_link_that_would_give_a_secret_away_is_refused(keys: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        OpcUaLink.model_validate({"type": "opcua", "url": URL} | keys)
