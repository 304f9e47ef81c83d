"""What a server's refusals mean, and what to do about them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from unicodedata import category

from asyncua.common.utils import NotEnoughData
from asyncua.ua.status_codes import get_name_and_doc
from asyncua.ua.uaerrors import UaError, UaStatusCodeError, UaStructParsingError

from config.errors import LinkError, PenstockError

_ADVICE: Final[dict[str, str]] = {
    "BadSecurityChecksFailed": "the server does not trust the certificate of this box: load the file that"
    " 'penstock opcua trust show own' names into the server's trust list",
    "BadCertificateUntrusted": "the server does not trust the certificate of this box: load the file that"
    " 'penstock opcua trust show own' names into the server's trust list",
    "BadCertificateUriInvalid": "the application URI is not that of the certificate: load the file that"
    " 'penstock opcua trust show own' names into the server's trust list anew",
    "BadCertificateTimeInvalid": "a certificate is not valid at this time: compare the clocks of server and box, and"
    " 'penstock opcua trust show own'",
    "BadInvalidTimestamp": "the clocks of server and box differ too much: set both by NTP",
    "BadSecurityPolicyRejected": "the server does not offer this security policy: see 'penstock opcua browse URL'",
    "BadSecurityModeRejected": "the server does not offer this security mode: see 'penstock opcua browse URL'",
    "BadUserAccessDenied": "the server refuses this user: check username and password_file, or the user's rights",
    "BadIdentityTokenRejected": "the server refuses this kind of user: it wants another than the link gives"
    " (anonymous, username or user_cert_file)",
    "BadIdentityTokenInvalid": "the server refuses this kind of user: it wants another than the link gives"
    " (anonymous, username or user_cert_file)",
    "BadTooManySessions": "the server has no session left; those that died are free again after a minute",
    "BadMaxConnectionsReached": "the server has no connection left; those that died are free again after a minute",
    "BadTcpEndpointUrlInvalid": "the server does not know this url: take the one that its own settings show",
    "BadServiceUnsupported": "the server cannot do this; with 'mode: poll' less is asked of it",
}


class MalformedAnswer(LinkError):
    """A server sent what is no OPC UA. Nothing that this connection holds can be relied on after it."""

    code = "malformed"


@contextmanager
def decoding() -> Iterator[None]:
    """Around a call of asyncua, or a look at what it returned. Raises ``MalformedAnswer`` for what is no answer.

    asyncua decodes as far as it gets, and fails with whatever the step at hand raises: ``struct.error``,
    ``IndexError``, ``TypeError`` and more. A refusal, a time-out and a broken connection pass as they are.
    """
    try:
        yield
    except (NotEnoughData, UaStructParsingError) as error:
        raise MalformedAnswer(f"the server's answer cannot be decoded: {error or type(error).__name__}") from error
    except (PenstockError, OSError, TimeoutError, UaError, EOFError):
        raise
    except Exception as error:
        raise MalformedAnswer(f"the server's answer cannot be decoded: {type(error).__name__}: {error}") from error


def printable(text: str) -> str:
    """A server's words for people: control characters, and bytes that are no UTF-8, as their escapes."""
    if text.isprintable():
        return text
    return "".join(
        letter if is_printable(letter) else letter.encode("unicode_escape").decode("ascii") for letter in text
    )


def is_printable(text: str) -> bool:
    """True for what can be shown and written down. Spaces of every width count, the one of Chinese texts among them."""
    return text.isprintable() or all(letter.isprintable() or category(letter) == "Zs" for letter in text)


def status_name(code: int) -> str:
    """A status code as people write it: ``BadNoCommunication (0x80310000)``."""
    name, _ = get_name_and_doc(code & 0xFFFF_0000)
    return f"{name} (0x{code:08X})"


def explained(error: BaseException) -> str:
    """An error in words that say what to do."""
    if isinstance(error, UaStatusCodeError):
        text = status_name(error.code)
        advice = _ADVICE.get(text.split(" ", 1)[0])
        return f"{text}: {advice}" if advice else text
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return printable(str(error)) or type(error).__name__
