"""The devices of a site file: what answers on a link, and what the site wants of its signals."""

from typing import Annotated, Literal

from pydantic import Field

from config.conditioning import Conditioning
from config.model import FieldName, FileModel, PositiveSeconds, Quantity, Tag
from config.profile import Profile


class SignalSettings(Conditioning):
    """What the site wants of one signal, beyond what the profile says of it.

    ``poll``: read period; ``stale_after``: age at which a reading is no longer trusted (default three polls,
    at least 2 s); ``critical``: asks for a scan at once; ``deadband``: smallest change worth a record.
    ``priority``: who is read first when the bus cannot keep up; a critical signal is ``high`` by itself.
    The rest says how a reading is judged.
    """

    poll: PositiveSeconds | None = None
    stale_after: PositiveSeconds | None = None
    critical: bool = False
    priority: Literal["high", "normal", "low"] | None = None
    deadband: Quantity | None = None


class Device(FileModel):
    """What answers on a link: a profile by name, or its map inline.

    ``accept_any_unit``: a reply that names another unit is taken as this device's, for probes that answer with an
    address of their own; only for a device that is alone on its bus. ``broadcast_writes``: unit 0 is every device of a
    bus; a write to it is refused unless this says that it is meant.
    """

    link: Tag
    unit: Annotated[int, Field(ge=0, le=255)] | None = None
    profile: str | Profile
    poll: PositiveSeconds = 1.0
    accept_any_unit: bool = False
    broadcast_writes: bool = False
    signals: dict[FieldName, SignalSettings] = {}
