"""Which code it is that decides: a hash of what the scan is made of."""

from functools import cache
from hashlib import sha256
from pathlib import Path

import config
import control


@cache
def code_fingerprint() -> str:
    """SHA-256 of all Python files of ``config`` and ``control``, by path. It knows nothing of where they come from.

    Standards and profiles are not in it: a black box has those that it used in itself.
    """
    total = sha256()
    for package in (config, control):
        folder = Path(package.__file__ or "").parent
        for path in sorted(folder.rglob("*.py")):
            content = path.read_bytes().replace(b"\r\n", b"\n")
            total.update(f"{package.__name__}/{path.relative_to(folder).as_posix()} {len(content)}\n".encode())
            total.update(content)
    return total.hexdigest()
