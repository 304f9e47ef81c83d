"""The uplink: TLS and credentials that fit together."""

from collections.abc import Iterator

from config.check.references import Finding, References


def check_uplink(known: References) -> Iterator[Finding]:
    uplink = known.site.uplink
    if uplink is None:
        return
    tls = [name for name in ("ca_file", "cert_file", "key_file") if getattr(uplink, name) is not None]
    if tls and not uplink.broker.startswith("mqtts://"):
        yield Finding(
            ("uplink", "broker"),
            f"'{uplink.broker}' with {tls[0]}",
            "mqtts://, because TLS files are given",
        )
    if (uplink.cert_file is None) != (uplink.key_file is None):
        missing = "key_file" if uplink.key_file is None else "cert_file"
        yield Finding(("uplink", missing), "nothing", "cert_file and key_file together")
    if uplink.password_file is not None and uplink.username is None:
        yield Finding(("uplink", "username"), "nothing", "a username, because password_file is given")
