"""Watches the certificates of a running link: still trusted, and not about to end; tells of those that are refused."""

import time
from typing import Any, Final

import structlog

from config.link import OpcUaLink
from drivers.opcua.certificate import WARN_DAYS, days_left
from drivers.opcua.pki_files import Contents
from drivers.opcua.security import Protection, other_hosts
from drivers.opcua.trust import MAX_REJECTED, TrustList
from drivers.port import LinkEvent, Notify

WARN_EVERY_S: Final = 86_400.0
MAX_PROBLEMS: Final = 20
"""Files told of: more than a person puts right at a time."""

log = structlog.get_logger(__name__)


class CertificateWatch:
    """The certificates of one link."""

    def __init__(self, name: str, link: OpcUaLink, trust: TrustList, notify: Notify) -> None:
        self._name = name
        self._link = link
        self._trust = trust
        self._notify = notify
        self._warned: dict[str, float] = {}
        self._rejected: set[str] = set()
        self._problems: set[str] = set()

    def look(self, protection: Protection | None) -> dict[str, Any]:
        """How the channel is protected, for people. Raises ``LinkError`` when the server is trusted no more."""
        if protection is None:
            return {"policy": "none"}
        self._trust.check(protection.server, self._link.url, self._link.security.application_uri)
        left = {"own": days_left(protection.own.certificate), "server": days_left(protection.server)}
        contents = self._trust.contents()
        problems = self._tell_problems(contents)
        overdue = {
            f"revocation list {one.path.name}": -one.overdue_days
            for one in contents.lists
            if one.overdue_days > 0 and one.crl.issuer == protection.server.issuer
        }
        now = time.monotonic()
        for whose, days in (left | overdue).items():
            if days < WARN_DAYS and now - self._warned.get(whose, float("-inf")) >= WARN_EVERY_S:
                self._warned[whose] = now
                body = {"certificate": whose, "days_left": int(days)}
                log.warning("certificate ends soon", link=self._name, **body)
                self._notify(LinkEvent("certificate-expiry", self._name, "", body))
        shown: dict[str, Any] = {
            "policy": self._link.security.policy,
            "mode": self._link.security.mode,
            "certificate_days_left": {whose: int(days) for whose, days in left.items()},
        }
        if problems:
            shown["problems"] = problems
        names = other_hosts(protection.server, self._link.url)
        if names:
            shown["made_out_to"] = names
        return shown

    def rejected(self, thumbprint: str) -> None:
        """Tells of a certificate that was refused, once."""
        self._tell_problems(self._trust.contents())
        if thumbprint not in self._rejected and len(self._rejected) < MAX_REJECTED:
            self._rejected.add(thumbprint)
            body = {"thumbprint": thumbprint, "url": self._link.url}
            self._notify(LinkEvent("certificate-rejected", self._name, "", body))

    def _tell_problems(self, contents: Contents) -> list[str]:
        """What is wrong with the files of the trust list; each is logged once."""
        problems = contents.problems()[:MAX_PROBLEMS]
        for problem in problems:
            if problem not in self._problems and len(self._problems) < MAX_PROBLEMS:
                self._problems.add(problem)
                log.warning("trust list", link=self._name, problem=problem)
        return problems
