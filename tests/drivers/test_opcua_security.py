"""A protected link: what is accepted, what is refused, and what the person on site is told."""

import shlex
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography.x509 import Certificate

from config.load import LoadedSite
from drivers.opcua import certificate as certificates
from drivers.opcua import session
from drivers.opcua.certificate import own_certificate, thumbprint
from drivers.opcua.trust import TrustList
from tests.drivers.flipping import LEVELS, Flipping, flipped, flipping
from tests.drivers.opcua_plc import NODES, plc_site
from tests.drivers.opcua_vault import (
    PASSWORD,
    USER,
    Vault,
    der,
    make_certificate,
    make_key,
    pem,
    secret_file,
    vault,
)
from tests.drivers.sites import Drivers, driving, free_port
from tests.hil_sim.sites import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

BEST = {"policy": "Aes256Sha256RsaPss"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_vault() -> AsyncIterator[Vault]:
    async with vault(free_port()) as server:
        yield server


@pytest.fixture(scope="module")
def own_pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of our own, made once."""
    pki = tmp_path_factory.mktemp("own") / "pki"
    own_certificate(pki, "bench")
    return pki


@pytest_asyncio.fixture(loop_scope="module")
async def server(module_vault: Vault, tmp_path: Path, own_pki: Path) -> Vault:
    """The vault as it was at first, and our own certificate in place."""
    module_vault.claim(None)
    module_vault.clients = None
    module_vault.anonymous = True
    await module_vault.restore()
    shutil.copytree(own_pki, tmp_path / "pki")
    return module_vault


def trust(folder: Path, certificate: Certificate) -> None:
    path = folder / "server.der"
    path.write_bytes(der(certificate))
    TrustList(folder / "pki").add(str(path))


def site(folder: Path, server: Vault, security: dict[str, str] | None = None, **link: Any) -> LoadedSite:
    return plc_site(folder, server.port, timeout="2 s", security=security or BEST, **link)


def error(drivers: Drivers) -> str:
    return drivers.links["plc"].status().last_error


def told(drivers: Drivers, name: str, key: str) -> list[object]:
    return [event.body[key] for event in drivers.events if event.name == name]


async def good(drivers: Drivers) -> None:
    await until(lambda: drivers.readings.is_good("PLC.level", 2.5))


async def refused(drivers: Drivers, said: str) -> None:
    """Waits for the words, and for nothing good before them."""
    await until(lambda: said in error(drivers))
    assert drivers.readings.values("PLC.level") == []


@pytest.mark.parametrize(
    ("policy", "mode"),
    [
        ("Basic256Sha256", "sign"),
        ("Basic256Sha256", "sign-and-encrypt"),
        ("Aes128Sha256RsaOaep", "sign-and-encrypt"),
        ("Aes256Sha256RsaPss", "sign"),
        ("Aes256Sha256RsaPss", "sign-and-encrypt"),
    ],
)
async def test_each_policy_and_mode_that_both_know_is_spoken(
    tmp_path: Path, server: Vault, policy: str, mode: str
) -> None:
    trust(tmp_path, server.certificate)
    async with driving(site(tmp_path, server, {"policy": policy, "mode": mode})) as drivers:
        await good(drivers)
        await until(lambda: "security" in drivers.details)
        shown = drivers.details["security"]
        assert (shown["policy"], shown["mode"]) == (policy, mode)
        assert shown["certificate_days_left"]["own"] > 1800
        assert 363 <= shown["certificate_days_left"]["server"] <= 365


async def test_a_policy_that_is_not_offered_is_answered_with_what_is(tmp_path: Path, server: Vault) -> None:
    trust(tmp_path, server.certificate)
    async with driving(site(tmp_path, server, {"policy": "Aes128Sha256RsaOaep", "mode": "sign"})) as drivers:
        await refused(drivers, "does not offer Aes128Sha256RsaOaep with sign; it offers: Basic256Sha256 with sign,")


async def test_a_server_that_wants_protection_is_not_spoken_with_unprotected(tmp_path: Path, server: Vault) -> None:
    async with driving(site(tmp_path, server, {"policy": "none"})) as drivers:
        await until(lambda: error(drivers) != "")
        assert drivers.readings.all_bad()


async def test_an_unknown_server_is_refused_until_the_command_it_names_was_given(tmp_path: Path, server: Vault) -> None:
    async with driving(site(tmp_path, server)) as drivers:
        print_ = thumbprint(server.certificate)
        command = f"penstock opcua trust add {print_} --state {tmp_path}"
        await refused(drivers, command)
        assert (tmp_path / "pki" / "rejected" / f"{print_}.der").read_bytes() == der(server.certificate)
        assert told(drivers, "certificate-rejected", "thumbprint") == [print_]
        given = shlex.split(command)
        TrustList(Path(given[-1]) / "pki").add(given[4])
        await good(drivers)
    assert TrustList(tmp_path / "pki").rejected() == []


async def test_a_server_that_is_trusted_no_more_is_left(
    tmp_path: Path, server: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "HEALTH_S", 0.1)
    trust(tmp_path, server.certificate)
    async with driving(site(tmp_path, server)) as drivers:
        await good(drivers)
        TrustList(tmp_path / "pki").remove(thumbprint(server.certificate)[:8])
        await until(lambda: "is not trusted" in error(drivers))
        assert drivers.readings.all_bad()


async def test_what_is_offered_unprotected_is_not_believed(tmp_path: Path, server: Vault) -> None:
    stranger = make_certificate(make_key(), "stranger")
    trust(tmp_path, server.certificate)
    server.claim(stranger)
    async with driving(site(tmp_path, server)) as drivers:
        await refused(drivers, f"penstock opcua trust add {thumbprint(stranger)}")


async def test_a_trusted_certificate_without_its_key_opens_no_channel(tmp_path: Path, server: Vault) -> None:
    borrowed = make_certificate(make_key(), "borrowed")
    trust(tmp_path, borrowed)
    server.claim(borrowed)
    async with driving(site(tmp_path, server)) as drivers:
        await until(lambda: error(drivers) != "")
        assert drivers.readings.values("PLC.level") == []
        assert not drivers.links["plc"].status().connected


async def test_a_server_that_does_not_trust_us_is_told_of_with_what_to_load_into_it(
    tmp_path: Path, server: Vault
) -> None:
    server.clients = []
    trust(tmp_path, server.certificate)
    async with driving(site(tmp_path, server)) as drivers:
        await refused(drivers, "BadCertificateUntrusted")
        assert "'penstock opcua trust show own'" in error(drivers)
        server.clients.append(own_certificate(tmp_path / "pki", "bench").der)
        await good(drivers)


async def test_the_user_of_the_password_file_is_let_in_and_no_other(tmp_path: Path, server: Vault) -> None:
    trust(tmp_path, server.certificate)
    right = secret_file(tmp_path, "right", f"{PASSWORD}\n".encode())
    async with driving(site(tmp_path, server, username=USER, password_file=right)) as drivers:
        await good(drivers)
    wrong = secret_file(tmp_path, "wrong", b"pump house 8")
    async with driving(site(tmp_path, server, username=USER, password_file=wrong)) as drivers:
        await refused(drivers, "the server refuses this user")


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (PASSWORD.encode(), 0o604, "may be read by everybody on this box: chmod o= "),
        (b"\n", 0o600, "is empty"),
        ("密码".encode("gbk"), 0o600, "is not in UTF-8 (byte 1): save it as UTF-8"),
        (None, 0o600, "cannot be read: No such file or directory"),
    ],
)
async def test_a_password_file_that_is_no_secret_is_not_used(
    tmp_path: Path, server: Vault, content: bytes | None, mode: int, said: str
) -> None:
    trust(tmp_path, server.certificate)
    path = secret_file(tmp_path, "password", content, mode) if content is not None else str(tmp_path / "none")
    async with driving(site(tmp_path, server, username=USER, password_file=path)) as drivers:
        await refused(drivers, said)


async def test_a_user_may_show_a_certificate(tmp_path: Path, server: Vault) -> None:
    trust(tmp_path, server.certificate)
    server.anonymous = False
    shown = secret_file(tmp_path, "user.der", der(server.user_certificate))
    key = secret_file(tmp_path, "user.pem", pem(server.user_key))
    async with driving(site(tmp_path, server, user_cert_file=shown, user_key_file=key)) as drivers:
        await good(drivers)
    open_key = secret_file(tmp_path, "open.pem", pem(server.user_key), 0o644)
    async with driving(site(tmp_path, server, user_cert_file=shown, user_key_file=open_key)) as drivers:
        await refused(drivers, "may be read by everybody on this box")
    async with driving(site(tmp_path, server)) as drivers:
        await refused(drivers, "the server refuses this user")


async def test_a_certificate_that_ends_soon_is_warned_of_and_one_that_has_ended_is_not_shown(
    tmp_path: Path, server: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    pki = tmp_path / "pki"
    trust(tmp_path, server.certificate)
    monkeypatch.setattr(certificates, "VALID_DAYS", 10)
    certificates.renew_own(pki)
    async with driving(site(tmp_path, server)) as drivers:
        await good(drivers)
        await until(lambda: told(drivers, "certificate-expiry", "certificate") == ["own"])
    monkeypatch.setattr(certificates, "VALID_DAYS", -0.5)
    certificates.renew_own(pki)
    async with driving(site(tmp_path, server)) as drivers:
        await refused(drivers, "'penstock opcua trust renew own' makes a new one")


async def test_on_a_signed_link_only_what_was_served_looks_good(
    tmp_path: Path, server: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a signature nobody can tell a flipped bit of a number from another number."""
    monkeypatch.setattr(session, "RECOVERY_S", 1.0)
    trust(tmp_path, server.certificate)
    signed = {"policy": "Aes256Sha256RsaPss", "mode": "sign"}
    async with AsyncExitStack() as stack:
        sites: list[tuple[LoadedSite, Flipping]] = []
        for seed, mode in enumerate(("subscribe", "poll")):
            way = await stack.enter_async_context(flipping(server.port, seed))
            folder = tmp_path / mode
            shutil.copytree(tmp_path / "pki", folder / "pki")
            sites.append((plc_site(folder, way.port, mode, timeout="1 s", security=signed), way))
        readers = await flipped(server, sites)
    served = {f"PLC.{name}": {value} for name, (_, value, _) in NODES.items()}
    served["PLC.level"] = {level * 0.01 for level in LEVELS}
    for reader in readers:
        for name, samples in reader.readings.of.items():
            assert {sample.value for sample in samples if sample.good} <= served[name]
