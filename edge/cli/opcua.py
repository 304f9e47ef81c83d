"""``penstock opcua``: look through a server, and say which servers are trusted."""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from config.errors import LinkError
from edge.cli.options import DEFAULT_STATE, Json, State
from edge.cli.printed import print_json, say

if TYPE_CHECKING:
    from config.link import OpcUaLink
    from drivers.opcua.browse import Found
    from drivers.opcua.pki_files import Entry

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
trust_app = typer.Typer(help="Which servers this box trusts, and what it shows to them.", rich_markup_mode=None)
app.add_typer(trust_app, name="trust")

BROWSE_TIMEOUT: Final = "10 s"
"""How long one answer of a server that is browsed by its url alone may take."""
MAX_VALUE: Final = 60
"""Characters of a value that are shown."""
_OWN: Final = "own"


@app.callback()
def opcua() -> None:
    """OPC UA servers: browse, and trust."""
    import logging

    import structlog

    # What the drivers log is for the journal of the controller; here only warnings are worth a line, beside the answer.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


@app.command()
def browse(
    target: Annotated[str, typer.Argument(help="opc.tcp://host:port, or a site file", metavar="URL|SITE")],
    link: Annotated[str, typer.Argument(help="the link of the site file; not needed if it has only one")] = "",
    node: Annotated[str, typer.Option(help="begin here, such as 'nsu=urn:x;s=Plant'")] = "",
    depth: Annotated[int, typer.Option(min=0, max=20, help="levels below")] = 4,
    values: Annotated[bool, typer.Option("--values", help="show values")] = False,
    profile: Annotated[bool, typer.Option("--profile", help="print a profile of what is found, as YAML")] = False,
    state: State = DEFAULT_STATE,
    as_json: Json = False,
) -> None:
    """Look through a server: every node in the form that a profile needs. Reads only."""
    import yaml

    from drivers.opcua.browse import profile_of

    settings, site_id = _settings(target, link)
    root, truncated = asyncio.run(_browse(settings, site_id, state / "pki", node, depth))
    if profile:
        source = f"browsed from {settings.url} on {datetime.now(UTC):%Y-%m-%d}"
        print(yaml.safe_dump(profile_of(root, source), allow_unicode=True, sort_keys=False, width=110), end="")
    elif as_json:
        print_json({"ok": True, "url": settings.url, "truncated": truncated, "tree": root.to_json()})
    else:
        for line in _lines(root, 0, values):
            say(line)
        if truncated:
            say("... and more: begin further down with --node")


@trust_app.callback(invoke_without_command=True)
def trust(context: typer.Context, state: State = DEFAULT_STATE, as_json: Json = False) -> None:
    """List what is trusted, and what was refused and waits for a decision."""
    from drivers.opcua.trust import TrustList

    if context.invoked_subcommand is not None:
        return
    known = TrustList(state / "pki")
    contents = known.contents()
    lists = {"trusted": contents.certificates, "rejected": known.rejected()}
    if as_json:
        shown: dict[str, Any] = {name: [entry.to_json() for entry in entries] for name, entries in lists.items()}
        shown["revocation_lists"] = [one.to_json() for one in contents.lists]
        print_json({"ok": True} | shown | {"problems": contents.problems()})
        return
    for name, entries in lists.items():
        say(f"{name}: {len(entries) or 'none'}")
        for entry in entries:
            say(f"  {_entry(entry)}")
    if contents.lists:
        say(f"revocation lists: {len(contents.lists)}")
        for one in contents.lists:
            due = one.crl.next_update_utc
            until = f"next on {due:%Y-%m-%d}" if due is not None else "no next one promised"
            say(f"  {one.path.name}  {one.issuer}  {len(one.crl)} revoked, {until}")
    for problem in contents.problems():
        say(f"problem: {problem}")


@trust_app.command()
def add(
    what: Annotated[str, typer.Argument(help="the thumbprint of a refused certificate, or a file (DER or PEM)")],
    state: State = DEFAULT_STATE,
    as_json: Json = False,
) -> None:
    """Trust a server. Compare its thumbprint with what the server itself shows first."""
    from drivers.opcua.trust import TrustList

    entry = TrustList(state / "pki").add(what)
    print_json({"ok": True, **entry.to_json()}) if as_json else say(f"trusted: {_entry(entry)}")


@trust_app.command()
def remove(
    what: Annotated[str, typer.Argument(help="the thumbprint, or its first eight digits or more")],
    state: State = DEFAULT_STATE,
    as_json: Json = False,
) -> None:
    """Trust a server no more. A running controller leaves it within ten seconds."""
    from drivers.opcua.trust import TrustList

    entry = TrustList(state / "pki").remove(what)
    print_json({"ok": True, **entry.to_json()}) if as_json else say(f"trusted no more: {_entry(entry)}")


@trust_app.command()
def show(
    whose: Annotated[str, typer.Argument(help="own", metavar="own")],
    site: Annotated[Path | None, typer.Option(help="the site file, to make the certificate if there is none")] = None,
    state: State = DEFAULT_STATE,
    as_json: Json = False,
) -> None:
    """Show the certificate of this box, to be loaded into the trust list of a server."""
    from drivers.opcua.certificate import CERTIFICATE, own_certificate

    _only_own(whose)
    pki = state / "pki"
    try:
        made = (pki / "own" / CERTIFICATE).exists()
    except OSError as error:
        raise LinkError(f"{error.filename}: {error.strerror}") from error
    if site is None and not made:
        raise LinkError(
            f"there is no certificate under {pki / 'own'} yet: the controller makes it when it first connects, or give"
            " --site SITE to make it now"
        )
    _show_own(own_certificate(pki, _site_id(site) if site is not None else ""), as_json)


@trust_app.command()
def renew(
    whose: Annotated[str, typer.Argument(help="own", metavar="own")],
    state: State = DEFAULT_STATE,
    as_json: Json = False,
) -> None:
    """Make a new certificate for this box and its site. Every server must then be told to trust it."""
    from drivers.opcua.certificate import renew_own

    _only_own(whose)
    _show_own(renew_own(state / "pki"), as_json)


def _only_own(whose: str) -> None:
    if whose != _OWN:
        raise typer.BadParameter(f"'{whose}' is not 'own'; 'penstock opcua trust' lists the others")


def _show_own(own: Any, as_json: bool) -> None:
    shown = {
        "file": str(own.path),
        "thumbprint": own.thumbprint,
        "application_uri": own.uri,
        "not_after": own.certificate.not_valid_after_utc.isoformat(),
    }
    if as_json:
        print_json({"ok": True, **shown})
        return
    for name, value in shown.items():
        say(f"{name.replace('_', ' ')}: {value}")


def _entry(entry: "Entry") -> str:
    from drivers.opcua.certificate import common_name

    shown = entry.to_json()
    kind = "authority, " if shown["authority"] else ""
    return f"{entry.thumbprint}  {common_name(entry.certificate)}  {kind}valid until {shown['not_after'][:10]}"


def _site_id(site: Path) -> str:
    from config.load import load_site

    return load_site(site).site.site.id


def _settings(target: str, name: str) -> tuple["OpcUaLink", str]:
    """The link to browse, and the site it belongs to."""
    from config.link import OpcUaLink
    from config.load import load_site

    if target.startswith("opc.tcp://"):
        if name:
            raise typer.BadParameter("a url has no links; give the site file to browse one of its links")
        try:
            return OpcUaLink.model_validate({"type": "opcua", "url": target, "timeout": BROWSE_TIMEOUT}), "browse"
        except ValueError as error:
            raise typer.BadParameter(f"'{target}' is no url such as opc.tcp://host:4840, without user") from error
    site = load_site(Path(target)).site
    links = {tag: link for tag, link in site.links.items() if isinstance(link, OpcUaLink)}
    if not name and len(links) == 1:
        [name] = links
    if name not in links:
        raise LinkError(f"no OPC UA link '{name}' in {target}; there is: {', '.join(links) or 'none'}")
    return links[name], site.site.id


async def _browse(link: "OpcUaLink", site_id: str, pki: Path, node: str, depth: int) -> tuple["Found", bool]:
    from asyncua.ua.uaerrors import UaError

    from drivers.opcua.browse import Browser
    from drivers.opcua.connection import Connection
    from drivers.opcua.errors import explained
    from drivers.opcua.security import offered, shown

    connection = Connection(link, pki, site_id, lambda: None)
    try:
        if link.security.policy == "none":
            endpoints = shown(await offered(link.url, link.timeout))
            if "none" not in endpoints:
                raise LinkError(
                    f"{link.url} speaks with nobody unprotected; it offers: {', '.join(endpoints)}. Put one of these"
                    " under 'security' of a link in a site file, and browse that: penstock opcua browse SITE LINK"
                )
        await connection.open()
        await connection.namespaces_changed()
        browser = Browser(connection, link.timeout)
        return await browser.browse(node, depth), browser.truncated
    except (OSError, TimeoutError, UaError) as error:
        raise LinkError(f"{link.url}: {explained(error)}") from error
    finally:
        await connection.close()


def _lines(found: "Found", level: int, values: bool) -> list[str]:
    import yaml

    from drivers.opcua.errors import printable

    indent = "  " * level
    if found.variable:
        place = yaml.safe_dump(
            {"namespace": found.namespace, "node": found.node},
            default_flow_style=True,
            allow_unicode=True,
            sort_keys=False,
            width=float("inf"),
        ).strip()
        access = "read and write" if found.writable else "read" if found.readable else "no access"
        shape = "array of " if found.array else ""
        measured = f", {found.unit}" if found.unit else ""
        line = f"{indent}{printable(found.name)}: {place}  # {shape}{printable(found.data_type + measured)}, {access}"
        if values:
            good = found.status.startswith("Good ")
            line += f", {_shortened(found.value)}" if good else f", {found.status}"
    else:
        line = indent + printable(f"{found.name}/  # nsu={found.namespace};{found.node}")
    lines = [line]
    for child in found.children:
        lines += _lines(child, level + 1, values)
    return lines


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= MAX_VALUE else text[: MAX_VALUE - 3] + "..."
