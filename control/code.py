"""The kinds of causes: one stable code for everything that can be said of why something is as it is."""

from enum import StrEnum


class Code(StrEnum):
    """What kind of cause. Stable across versions: the platform matches on it."""

    # orders, refusals and resets
    BUSY = "busy"
    ORDER_SEEN = "order-seen"
    VOLUME_NOT_ALLOWED = "volume-not-allowed"
    SETPOINT_NOT_ALLOWED = "setpoint-not-allowed"
    NOT_TRIPPED = "not-tripped"
    RESET_ONLY_LOCAL = "reset-only-local"
    NOTHING_TO_CANCEL = "nothing-to-cancel"
    NOTHING_TO_START = "nothing-to-start"
    START_ONLY_LOCAL = "start-only-local"
    ORDER_ID_NOT_ALLOWED = "order-id-not-allowed"
    ORDER_EXPIRED = "order-expired"
    USE_NOT_SERVED = "use-not-served"
    NO_SUCH_DISPENSER = "no-such-dispenser"
    WRONG_MODE = "wrong-mode"
    FAULT_STANDS = "fault-stands"

    # overrides and bypasses
    OVERRIDDEN = "overridden"
    NOT_OVERRIDDEN = "not-overridden"
    NOTHING_TO_FORCE = "nothing-to-force"
    VALUE_NOT_ALLOWED = "value-not-allowed"
    ONLY_LOCAL = "only-local"
    REASON_MISSING = "reason-missing"
    DURATION_NOT_ALLOWED = "duration-not-allowed"
    BYPASSED = "bypassed"
    BYPASS_FORBIDDEN = "bypass-forbidden"
    BYPASSED_ALREADY = "bypassed-already"
    BYPASSED_TOO_OFTEN = "bypassed-too-often"
    NOT_BYPASSED = "not-bypassed"

    # trips
    TRIPPED = "tripped"
    STATE_LOST = "state-lost"

    # signals and measurements
    SIGNAL_ABOVE_RANGE = "signal-above-range"
    SIGNAL_BELOW_RANGE = "signal-below-range"
    SIGNAL_JUMPED = "signal-jumped"
    SIGNAL_FROZEN = "signal-frozen"
    SIGNAL_ZERO = "signal-zero"
    LOOP_FAILED = "loop-failed"
    LOOP_SATURATED = "loop-saturated"
    VOTE_DISAGREES = "vote-disagrees"
    VOTE_SHORT = "vote-short"

    # guards
    ABOVE_LIMIT = "above-limit"
    BELOW_LIMIT = "below-limit"
    ABOVE_INSTANT = "above-instant-limit"
    BELOW_INSTANT = "below-instant-limit"
    OVER_RANGE = "over-range"
    RESULT_ABOVE = "result-above-limit"
    RESULT_BELOW = "result-below-limit"
    QUALITY_UNKNOWN = "quality-unknown"
    MARK_TOO_LONG = "mark-too-long"
    RESULT_AGING = "result-aging"
    RESULT_STALE = "result-stale"
    RESULT_EXPIRED = "result-expired"
    NO_RESULT = "no-result"
    NOT_CLEAR_YET = "not-clear-yet"
    RESULTS_NEEDED = "results-needed"

    # expressions, interlocks and permissives
    CONDITION_MET = "condition-met"
    CONDITION_NOT_MET = "condition-not-met"
    CONDITION_UNKNOWN = "condition-unknown"

    # levels
    LEVEL_LOW = "level-low"
    LEVEL_LOW_LOW = "level-low-low"
    LEVEL_UNKNOWN = "level-unknown"

    # meters
    METER_UNKNOWN = "meter-unknown"
    TOTALISER_BACKWARD = "totaliser-backward"
    TOTALISER_JUMP = "totaliser-jump"
    PIPE_EMPTY = "pipe-empty"
    READING_NOT_ALLOWED = "reading-not-allowed"
    READING_DIFFERS = "reading-differs"
    REPLACED_ONLY_LOCAL = "replaced-only-local"
    SUPPLY_GOES_ON = "supply-goes-on"
    WATER_FLOWS = "water-flows"

    # valves
    VALVE_NOT_OPENED = "valve-not-opened"
    VALVE_NOT_CLOSED = "valve-not-closed"
    VALVE_LEFT_POSITION = "valve-left-position"
    VALVE_CONTRADICTION = "valve-contradiction"
    VALVE_UNKNOWN = "valve-unknown"
    VALVE_FIRST = "valve-first"

    # pumps
    PUMP_NOT_RUNNING = "pump-not-running"
    PUMP_NOT_STOPPED = "pump-not-stopped"
    PUMP_UNKNOWN = "pump-unknown"

    # quotas
    QUOTA_WARNING = "quota-warning"
    QUOTA_NEAR = "quota-near"
    QUOTA_REACHED = "quota-reached"
    QUOTA_CHANGED = "quota-changed"
    QUOTA_EXCEEDED = "quota-exceeded"
    QUOTA_NOT_ALLOWED = "quota-not-allowed"
    NO_SUCH_QUOTA = "no-such-quota"
    REASON_NEEDED = "reason-needed"

    # batch dispensers
    NO_FLOW = "no-flow"
    LOW_FLOW = "low-flow"
    HIGH_FLOW = "high-flow"
    METER_DISAGREES = "meter-disagrees"
    FLOW_WITHOUT_ORDER = "flow-without-order"
    FLOW_AFTER_CLOSE = "flow-after-close"
    OVERRUN = "overrun"
    ORDER_TIMEOUT = "order-timeout"
    PRESET_REACHED = "preset-reached"
    CANCELLED = "cancelled"
    RESTARTED = "restarted"
    NO_ORDER = "no-order"
    CHECKING = "checking"
    ARMED = "armed"
    WAITS_FOR_START = "waits-for-start"
    ARM_TIMEOUT = "arm-timeout"
    HOSE_NOT_CONNECTED = "hose-not-connected"
    OVERFILL = "overfill"
    PERMISSIVE_UNKNOWN = "permissive-unknown"
    STOPPED_BY_DRIVER = "stopped-by-driver"
    FILLING = "filling"
    CLOSING = "closing"

    # continuous dispensers
    REGULATING = "regulating"
    SETPOINT_NIL = "setpoint-nil"
    ALLOCATED = "allocated"
    NOTHING_ALLOCATED = "nothing-allocated"
    PRESSURE_UNKNOWN = "pressure-unknown"

    # loops
    NO_SUCH_LOOP = "no-such-loop"
    LOOP_NO_SUCH_MODE = "loop-no-such-mode"
    LOOP_NO_REMOTE = "loop-no-remote"
    LOOP_IN_CASCADE = "loop-in-cascade"
    LOOP_NOT_MANUAL = "loop-not-manual"
    LOOP_VALUE_NOT_ALLOWED = "loop-value-not-allowed"
    LOOP_BEGINS = "loop-begins"
    LOOP_BY_HAND = "loop-by-hand"
    LOOP_HOLDS = "loop-holds"
    LOOP_FOLLOWS = "loop-follows"
    LOOP_STOPPED = "loop-stopped"
    LOOP_TAKEN = "loop-taken"
    LOOP_BLIND = "loop-blind"
    LOOP_NO_FLOW = "loop-no-flow"
    LOOP_AT_LIMIT = "loop-at-limit"
    LOOP_INNER_HELD = "loop-inner-held"
    LOOP_REMOTE_UNKNOWN = "loop-remote-unknown"
    LOOP_TUNES = "loop-tunes"
    TUNE_NOT_ALLOWED = "tune-not-allowed"
    TUNE_NOT_FREE = "tune-not-free"
    TUNE_NO_ROOM = "tune-no-room"
    TUNE_LEFT_BAND = "tune-left-band"
    TUNE_TIMEOUT = "tune-timeout"
    TUNE_ASYMMETRIC = "tune-asymmetric"
    TUNE_TOO_SMALL = "tune-too-small"

    # alarms
    NO_SUCH_ALARM = "no-such-alarm"
    NOTHING_TO_ACKNOWLEDGE = "nothing-to-acknowledge"
    NOT_LATCHED = "not-latched"
    NOT_SHELVED = "not-shelved"
    NOT_OUT_OF_SERVICE = "not-out-of-service"
    ALREADY_SILENCED = "already-silenced"
    MAY_NOT_BE_SILENCED = "may-not-be-silenced"
    SHELF_TOO_LONG = "shelf-too-long"
    SITE_ALARM = "site-alarm"

    # devices and outputs
    DEVICE_OFFLINE = "device-offline"
    OUTPUT_NOT_FOLLOWED = "output-not-followed"
    NOT_USED = "not-used"
