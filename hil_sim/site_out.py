"""Writes the site file that points at the simulator: a copy of the original with other addresses."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from config.load import LoadedSite, load_site


def write_site(loaded: LoadedSite, endpoints: Mapping[str, Mapping[str, object]], out: Path) -> None:
    """Writes ``out`` at once or not at all; ``endpoints`` holds, per link, the keys to replace.

    Profiles that stand beside the original are put inline, so that the copy is complete wherever it stands.
    The copy is loaded once before it is put in place: raises ``ConfigError`` if it could not be used.
    """
    data: dict[str, Any] = yaml.safe_load(loaded.path.read_text(encoding="utf-8"))
    for link, keys in endpoints.items():
        data["links"][link].update(keys)
    inline: dict[str, Any] = {}
    for device in data["devices"].values():
        name = device["profile"]
        if isinstance(name, str):
            beside = loaded.path.parent / f"{name}.yaml"
            if beside.is_file():
                inline.setdefault(name, yaml.safe_load(beside.read_text(encoding="utf-8")))
                device["profile"] = inline[name]
    text = f"# Written by penstock-sim from {loaded.path}; the links lead to the simulator.\n"
    text += yaml.safe_dump(data, allow_unicode=True, sort_keys=False, width=110)
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8")
        load_site(draft)
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
