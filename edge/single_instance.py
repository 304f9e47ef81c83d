"""One controller and one forwarder in a state directory: a second one is refused before it touches anything."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from config.errors import LinkError, StoreError


@contextlib.contextmanager
def single_instance(state_dir: Path, name: str, *, shared: bool = False) -> Iterator[None]:
    """Holds ``<name>.lock`` in ``state_dir``, which is made if need be. The kernel lets go of it with the process.

    ``shared``: beside others that hold it so, and against one that wants it alone.

    Raises ``LinkError`` when another process holds it, ``StoreError`` when the directory cannot be used.
    """
    # Whoever may only look into the directory can still share.
    way = os.O_RDONLY if shared else os.O_RDWR
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o750)
        descriptor = os.open(state_dir / f"{name}.lock", way | os.O_CREAT, 0o640)
    except OSError as error:
        raise StoreError(f"the state directory {state_dir} cannot be used: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LinkError(
                f"another {name} already runs in {state_dir}, or a tool has a port open there; end it first or choose "
                "another --state"
            ) from error
        yield
    finally:
        os.close(descriptor)
