"""Allocation: when water is short, which off-take gets how much of it, and why.

*Available* is what the plant produces and what the tank allows: all of production and ``from_storage`` above the level
``full``, nothing at the level ``empty``, in proportion between. A tank that is drawn on like this finds its own level
and does not swing. What is available moves at ``ramp`` (at once to nil when the tank is empty), and what is *divided*
of it only moves by steps of at least half a ``step``, so that a noisy level changes nothing.

*Division*: fills that have begun keep their flow. Then each off-take gets its minimum, by priority; one that cannot
get its minimum gets nothing, is told why, and comes back when its minimum and a margin were there after ``hold``. The
rest is given by priority, and among equals by share. A batch dispenser may begin an order only if its whole flow could
be granted at its turn.

A level that is not known for 10 s counts as empty, a production that is not known as nil: the careful choice.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf

from config.sample import Sample
from control.cause import Cause, amount, reason_text, seen
from control.code import Code
from control.instant import Instant
from control.timer import lasted, since

UNKNOWN_TOLERANCE_S = 10.0
"""A level or production may be unread this long; the last reading stands meanwhile."""
MARGIN = 0.05
"""What must be left beyond its minimum for an off-take that was shut out."""
EMPTY_HYSTERESIS = 0.05
"""An empty tank counts as empty until it has filled by this part of the span between empty and full."""


class Standing(StrEnum):
    """How an off-take stands."""

    IDLE = "idle"
    FULL = "full"
    LESS = "less"
    OUT = "out"


@dataclass(frozen=True, slots=True)
class OffTake:
    """Settings of one off-take: ``priority`` 1 comes first; ``share`` counts among equals; flows in m3/h.

    ``most_m3h``: what it takes when it fills, or can take at all.
    """

    tag: str
    priority: int
    minimum_m3h: float
    share: float
    most_m3h: float = inf


@dataclass(frozen=True, slots=True)
class Want:
    """What an off-take wants now, in m3/h. ``begun``: a fill that keeps its flow. ``would_take``: if it began one."""

    flow_m3h: float
    begun: bool = False
    would_take_m3h: float = 0.0


@dataclass(frozen=True, slots=True)
class Grant:
    """What an off-take may take, in m3/h. ``why``: why it is less than wanted, or why nothing may begin.

    ``out_since`` (monotonic s): since when it cannot get its minimum.
    """

    flow_m3h: float = 0.0
    standing: Standing = Standing.IDLE
    may_begin: bool = False
    out_since: float | None = None
    why: Cause | None = None


@dataclass(frozen=True, slots=True)
class AllocationState:
    """``available_m3h`` now (``None`` until it is known), ``divided_m3h`` of it, and the grants.

    ``shortage``: why it is not more. ``level_m`` and ``production_m3h`` are the last good ones. ``empty``: the tank has
    been empty, and has not filled again.
    """

    grants: tuple[Grant, ...]
    wants: tuple[Want, ...] = ()
    available_m3h: float | None = None
    divided_m3h: float = 0.0
    level_m: float | None = None
    production_m3h: float | None = None
    level_unknown_since: float | None = None
    production_unknown_since: float | None = None
    empty: bool = False
    shortage: Cause | None = None


@dataclass(frozen=True, slots=True)
class Allocation:
    """Settings. ``production`` and ``level`` are image indices, ``None`` without such a signal; flows in m3/h.

    ``ramp_m3h_s`` in m3/h per second, ``hold`` in s.
    """

    off_takes: tuple[OffTake, ...]
    production: int | None
    production_name: str
    production_m3h: float
    level: int | None
    level_name: str
    empty_m: float
    full_m: float
    from_storage_m3h: float
    ramp_m3h_s: float
    step_m3h: float
    hold: float

    def initial(self) -> AllocationState:
        """Nothing is known and nothing granted."""
        return AllocationState(tuple(Grant() for _ in self.off_takes))

    def step(
        self,
        state: AllocationState,
        image: tuple[Sample, ...],
        wants: tuple[Want, ...],
        dt_s: float | None,
        now: Instant,
    ) -> AllocationState:
        """One scan; ``dt_s`` is ``None`` at the first one and after a gap."""
        state = self._seen(state, image, now)
        target, shortage = self._target(state, image, now)
        available = state.available_m3h
        if not self._was_known(state):
            available = None
        elif available is None or target <= 0 or dt_s is None:
            available = target
        else:
            reach = self.ramp_m3h_s * dt_s
            available += min(max(target - available, -reach), reach)
        divided = state.divided_m3h
        if available is None:
            divided = 0.0
        elif available < divided or available > divided + self.step_m3h:
            divided = max(available - self.step_m3h / 2, 0.0)
        waits = any(grant.out_since is not None for grant in state.grants)
        grants = state.grants
        if waits or divided != state.divided_m3h or wants != state.wants:
            grants = self._divide(state, wants, divided, shortage, now)
        same = available == state.available_m3h and grants is state.grants and wants == state.wants
        if same and divided == state.divided_m3h and shortage is state.shortage:
            return state
        return replace(
            state, grants=grants, wants=wants, available_m3h=available, divided_m3h=divided, shortage=shortage
        )

    # -- what is available -------------------------------------------------------------------------------------------

    def _seen(self, state: AllocationState, image: tuple[Sample, ...], now: Instant) -> AllocationState:
        """The readings, the last good one standing for a while."""
        level = image[self.level].number if self.level is not None else None
        made = image[self.production].number if self.production is not None else None
        level_since = since(state.level_unknown_since, self.level is not None and level is None, now)
        made_since = since(state.production_unknown_since, self.production is not None and made is None, now)
        level_m = state.level_m if level is None else level
        production_m3h = state.production_m3h if made is None else max(made, 0.0)
        empty = self._empty(state, None if lasted(level_since, UNKNOWN_TOLERANCE_S, now) else level_m)
        new = (level_m, production_m3h, level_since, made_since, empty)
        before = (
            state.level_m,
            state.production_m3h,
            state.level_unknown_since,
            state.production_unknown_since,
            state.empty,
        )
        if new == before:
            return state
        return replace(
            state,
            level_m=level_m,
            production_m3h=production_m3h,
            level_unknown_since=level_since,
            production_unknown_since=made_since,
            empty=empty,
        )

    def _was_known(self, state: AllocationState) -> bool:
        """False from a start until everything has been read: nobody is shut out by a start."""
        level, production = state.level_m, state.production_m3h
        return (self.level is None or level is not None) and (self.production is None or production is not None)

    def _empty(self, state: AllocationState, level_m: float | None) -> bool:
        if self.level is None:
            return False
        if level_m is None:
            return True
        filled = self.empty_m + EMPTY_HYSTERESIS * (self.full_m - self.empty_m)
        return level_m <= self.empty_m or (state.empty and level_m < filled)

    def _target(self, state: AllocationState, image: tuple[Sample, ...], now: Instant) -> tuple[float, Cause | None]:
        """What is available before it is ramped, and why it is not more."""
        made, shortage = self.production_m3h, None
        if self.production is not None:
            made = state.production_m3h or 0.0
            if state.production_m3h is None or lasted(state.production_unknown_since, UNKNOWN_TOLERANCE_S, now):
                made = 0.0
                sample = image[self.production]
                shortage = self._kept(state, Code.PRODUCTION_UNKNOWN) or Cause(
                    Code.PRODUCTION_UNKNOWN, self.production_name, (reason_text(sample),)
                )
        if self.level is None:
            return made, shortage
        sample = image[self.level]
        if state.level_m is None or lasted(state.level_unknown_since, UNKNOWN_TOLERANCE_S, now):
            unknown = self._kept(state, Code.LEVEL_UNKNOWN)
            return 0.0, unknown or Cause(Code.LEVEL_UNKNOWN, self.level_name, (reason_text(sample),))
        if state.empty:
            low = self._kept(state, Code.LEVEL_EMPTY)
            return 0.0, low or Cause(
                Code.LEVEL_EMPTY,
                self.level_name,
                (amount(self.empty_m, "m"),),
                None,
                seen(self.level_name, "m", sample, now.utc),
            )
        part = min(max((state.level_m - self.empty_m) / (self.full_m - self.empty_m), 0.0), 1.0)
        if shortage is None and part < 1.0:
            shortage = self._kept(state, Code.LEVEL_ALLOWS) or Cause(
                Code.LEVEL_ALLOWS,
                self.level_name,
                (amount(self.full_m, "m"),),
                None,
                seen(self.level_name, "m", sample, now.utc),
            )
        return part * (made + self.from_storage_m3h), shortage

    @staticmethod
    def _kept(state: AllocationState, code: Code) -> Cause | None:
        return state.shortage if state.shortage is not None and state.shortage.code is code else None

    # -- the division ------------------------------------------------------------------------------------------------

    def _divide(
        self, state: AllocationState, wants: tuple[Want, ...], divided: float, shortage: Cause | None, now: Instant
    ) -> tuple[Grant, ...]:
        order = sorted(range(len(self.off_takes)), key=lambda i: self.off_takes[i].priority)
        flows = [0.0] * len(order)
        out: list[float | None] = [None] * len(order)
        left_for = [0.0] * len(order)
        begins = [False] * len(order)
        for i in order:
            if wants[i].begun:
                flows[i] = wants[i].flow_m3h
        left = max(divided - sum(flows), 0.0)
        begun = self._was_known(state)
        for i in order:
            want, before = wants[i], state.grants[i].out_since
            left_for[i] = left
            if want.begun:
                continue
            if want.would_take_m3h > 0:
                begins[i] = left >= want.would_take_m3h
            if want.flow_m3h <= 0:
                continue
            least = min(self.off_takes[i].minimum_m3h, want.flow_m3h)
            waits = before is not None and not lasted(before, self.hold, now)
            if waits or left < (least if before is None else least * (1.0 + MARGIN)) or left <= 0.0:
                if begun:
                    out[i] = now.mono if before is None else before
                continue
            flows[i] = least
            left -= least
        for priority in sorted({one.priority for one in self.off_takes}):
            among = [
                i
                for i in order
                if self.off_takes[i].priority == priority
                and not wants[i].begun
                and out[i] is None
                and flows[i] >= min(self.off_takes[i].minimum_m3h, wants[i].flow_m3h)
                and wants[i].flow_m3h > flows[i]
            ]
            left = self._share(among, flows, wants, left)
        return tuple(
            self._grant(i, state.grants[i], wants[i], flows[i], out[i], left_for[i], shortage, begins=begins[i])
            for i in range(len(order))
        )

    def _share(self, among: list[int], flows: list[float], wants: tuple[Want, ...], left: float) -> float:
        """Gives what is left to equals by their shares, nobody more than it wants; returns what is left after."""
        while among and left > 0:
            whole = sum(self.off_takes[i].share for i in among)
            filled = [i for i in among if wants[i].flow_m3h - flows[i] <= left * self.off_takes[i].share / whole]
            if not filled:
                for i in among:
                    flows[i] += left * self.off_takes[i].share / whole
                return 0.0
            for i in filled:
                left -= wants[i].flow_m3h - flows[i]
                flows[i] = wants[i].flow_m3h
            left = max(left, 0.0)
            among = [i for i in among if i not in filled]
        return left

    def _grant(
        self,
        i: int,
        before: Grant,
        want: Want,
        flow: float,
        out: float | None,
        left: float,
        shortage: Cause | None,
        *,
        begins: bool,
    ) -> Grant:
        tag, code, standing = self.off_takes[i].tag, None, Standing.IDLE
        if out is not None:
            standing, code = Standing.OUT, Code.ALLOCATION_OUT
        elif want.flow_m3h > flow:
            standing, code = Standing.LESS, Code.ALLOCATION_LESS
        elif want.flow_m3h > 0:
            standing = Standing.FULL
        elif want.would_take_m3h > 0 and not begins:
            code = Code.ALLOCATION_NO_START
        why = before.why
        if code is None:
            why = None
        elif why is None or why.code is not code or before.flow_m3h != flow or why.because is not shortage:
            least = min(self.off_takes[i].minimum_m3h, want.flow_m3h)
            wanted = amount(want.flow_m3h, "m3/h") if want.flow_m3h < inf else "any"
            figures = {
                Code.ALLOCATION_OUT: (amount(left, "m3/h"), amount(least, "m3/h"), amount(self.hold, "s")),
                Code.ALLOCATION_LESS: (amount(flow, "m3/h"), wanted),
                Code.ALLOCATION_NO_START: (amount(want.would_take_m3h, "m3/h"), amount(left, "m3/h")),
            }
            why = Cause(code, tag, figures[code], shortage)
        new = Grant(flow, standing, begins, out, why)
        return before if new == before else new
