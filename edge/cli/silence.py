"""What to say of a unit that does not answer: how it was asked, and what to try."""

from typing import Any


def silence(answer: dict[str, Any], device: str | None = None) -> str:
    """The advice for an answer without a reply, from ``read-raw`` or ``read``.

    It names the port with speed, parity and stop bits as it was asked, and the unit.
    """
    at = str(answer["at"])
    asked = f"unit {answer['unit']} at {at} does not answer"
    if not at.startswith("/"):
        return f"{asked}: is it powered, is this its unit? Behind a gateway look at the gateway's serial line"
    port = at.split(" ")[0]
    where = "in the site file and " if device is not None else ""
    return (
        f"{asked}: is it powered and wired (A and B swapped?), and are speed, parity and unit ({where}in its menu) "
        f"these? 'penstock scan-bus --port {port}' tries others. Some say nothing to registers that they have not"
    )
