"""What each cause says to a person, in English and in Chinese.

``{s}`` stands for the subject of the cause, ``{0}``, ``{1}`` for its figures. The terms are those of the glossary of
reclaimed water (再生水): trip is 保护停水, order 订单, pre-act 提前量.
"""

from typing import Final, Literal

from control.code import Code

Language = Literal["en", "zh"]

SENTENCES: Final[dict[Code, tuple[str, str]]] = {
    # orders, refusals and resets
    Code.BUSY: (
        "{s} is busy with order {0}",
        "{s} 正在执行订单 {0}",
    ),
    Code.ORDER_SEEN: (
        "order {0} has been carried out before",
        "订单 {0} 已经执行过",
    ),
    Code.VOLUME_NOT_ALLOWED: (
        "a volume of {0} is not allowed; more than nil and up to {1} is",
        "不允许的水量 {0}；应大于零且不超过 {1}",
    ),
    Code.SETPOINT_NOT_ALLOWED: (
        "a set-point of {0} is not allowed; 0 to {1} is",
        "不允许的设定值 {0}；应为 0 至 {1}",
    ),
    Code.NOT_TRIPPED: (
        "{s} is not tripped",
        "{s} 没有保护停水",
    ),
    Code.RESET_ONLY_LOCAL: (
        "{s} may only be reset by a person on site",
        "{s} 只能由现场人员复位",
    ),
    Code.NOTHING_TO_CANCEL: (
        "{s} has no order that could still be cancelled",
        "{s} 没有可以取消的订单",
    ),
    Code.NOTHING_TO_START: (
        "{s} has no order that waits for start",
        "{s} 没有等待启动的订单",
    ),
    Code.ORDER_ID_NOT_ALLOWED: (
        "an order needs an id of 1 to {0} characters",
        "订单编号应为 1 至 {0} 个字符",
    ),
    Code.ORDER_EXPIRED: (
        "order {0} has expired",
        "订单 {0} 已过期",
    ),
    Code.USE_NOT_SERVED: (
        "the order is for use {0}, but {s} serves {1}",
        "订单用途为 {0}，而 {s} 供应 {1}",
    ),
    Code.NO_SUCH_DISPENSER: (
        "there is no dispenser '{s}'",
        "没有名为“{s}”的取水口",
    ),
    Code.WRONG_MODE: (
        "{s} is a {0} dispenser, which does not take '{1}'",
        "{s} 是 {0} 模式的取水口，不接受“{1}”",
    ),
    Code.FAULT_STANDS: (
        "{s} cannot be reset while its cause stands",
        "原因未消除，{s} 不能复位",
    ),
    # overrides and bypasses
    Code.OVERRIDDEN: (
        "{s} is forced to {0} by {1}: {2}",
        "{s} 由 {1} 强制为 {0}：{2}",
    ),
    Code.NOT_OVERRIDDEN: (
        "{s} is not forced",
        "{s} 没有被强制",
    ),
    Code.NOTHING_TO_FORCE: (
        "'{s}' is no output or signal of this site that may be forced",
        "“{s}”不是本站允许强制的输出或信号",
    ),
    Code.VALUE_NOT_ALLOWED: (
        "{s}: {0} is not allowed; {1} is",
        "{s}：不允许 {0}；允许 {1}",
    ),
    Code.ONLY_LOCAL: (
        "{s}: only a person on site may do this",
        "{s}：只能由现场人员操作",
    ),
    Code.REASON_MISSING: (
        "{s}: a reason is needed, in words",
        "{s}：必须写明理由",
    ),
    Code.DURATION_NOT_ALLOWED: (
        "{s}: a time of {0} is not allowed; above nil and up to {1} is",
        "{s}：不允许的时长 {0}；应大于零且不超过 {1}",
    ),
    Code.BYPASSED: (
        "{s} is bypassed by {0}: {1}",
        "{s} 由 {0} 旁路：{1}",
    ),
    Code.BYPASS_FORBIDDEN: (
        "{s} may not be bypassed; the site file gives it no 'bypass'",
        "{s} 不允许旁路；站点文件没有为其设置 bypass",
    ),
    Code.BYPASSED_ALREADY: (
        "{s} is bypassed already; one bypass must end before another begins",
        "{s} 已处于旁路；须先结束当前旁路",
    ),
    Code.BYPASSED_TOO_OFTEN: (
        "{s} has been bypassed {0} times within a day, which is as often as the site file allows",
        "{s} 一天内已旁路 {0} 次，达到站点文件允许的次数",
    ),
    Code.NOT_BYPASSED: (
        "{s} is not bypassed",
        "{s} 没有被旁路",
    ),
    # proof tests
    Code.PROOF_TEST: (
        "{s} is being proof-tested by {0}",
        "{s} 正由 {0} 进行验证试验",
    ),
    Code.PROOF_TEST_RUNS: (
        "{s}: a proof test by {0} runs; one at a time",
        "{s}：{0} 的验证试验正在进行；一次只能进行一个",
    ),
    Code.PROOF_TEST_NOT_FIT: (
        "{s} is {0}; a test begins from water that is known to be fit",
        "{s} 当前为 {0}；试验须从已知合格的水开始",
    ),
    Code.PROOF_TEST_NO_LIMIT: (
        "{s} has no limit that a reading could be beyond",
        "{s} 没有可供超越的限值",
    ),
    Code.PROOF_TEST_CLOSED: (
        "{s}: the valve is {0}; let water flow first, so that its closing can be timed",
        "{s}：阀门为 {0}；请先放水，才能测量关闭时间",
    ),
    Code.PROOF_TEST_PASSED: (
        "{s} shut the water off in {0}, within {1}",
        "{s} 在 {0} 内切断供水，要求 {1}",
    ),
    Code.PROOF_TEST_FAILED: (
        "{s} did not shut the water off within {0}",
        "{s} 未能在 {0} 内切断供水",
    ),
    Code.PROOF_TEST_DUE: (
        "{s}: its proof test was due {0}",
        "{s}：验证试验应于 {0} 完成",
    ),
    Code.NOTHING_TO_SIGN: (
        "{s} has no test result that waits for a signature",
        "{s} 没有等待签字的试验结果",
    ),
    Code.NO_SUCH_GUARD: (
        "there is no guard '{s}'",
        "没有名为“{s}”的水质防护",
    ),
    # trips
    Code.TRIPPED: (
        "{s} is tripped since {0}; it needs a reset by a person",
        "{s} 自 {0} 起已保护停水，须由人员复位",
    ),
    Code.STATE_LOST: (
        "what {s} remembered could not be read ({0}), so it may have been tripped",
        "{s} 保存的状态无法读取（{0}），可能曾经停水",
    ),
    # signals and measurements
    Code.SIGNAL_ABOVE_RANGE: (
        "{s} reads {0}, more than the {1} that is possible here: it is not believed",
        "{s} 读数 {0} 超过此处可能的 {1}：不予采信",
    ),
    Code.SIGNAL_BELOW_RANGE: (
        "{s} reads {0}, less than the {1} that is possible here: it is not believed",
        "{s} 读数 {0} 低于此处可能的 {1}：不予采信",
    ),
    Code.SIGNAL_JUMPED: (
        "{s} went from {0} to {1}, faster than {2}: it is doubted until that could have been reached",
        "{s} 从 {0} 变到 {1}，快于 {2}：存疑，直至按此速率可能达到为止",
    ),
    Code.SIGNAL_FROZEN: (
        "{s} has shown {0} without the least change for {1}: the sensor is frozen",
        "{s} 在 {1} 内一直显示 {0}，毫无变化：传感器冻结",
    ),
    Code.SIGNAL_ZERO: (
        "{s} reads exactly {0}, which is no measurement there",
        "{s} 读数恰为 {0}，不是测量值",
    ),
    Code.LOOP_FAILED: (
        "{s}: {0} carries {1}, by NAMUR NE 43 a failure of the transmitter or its wire",
        "{s}：{0} 的电流为 {1}，按 NAMUR NE 43 属变送器或接线故障",
    ),
    Code.LOOP_SATURATED: (
        "{s}: {0} carries {1}, by NAMUR NE 43 a transmitter at its limit, which measures no more",
        "{s}：{0} 的电流为 {1}，按 NAMUR NE 43 变送器已饱和，不再测量",
    ),
    Code.VOTE_DISAGREES: (
        "the readings of {s} ({0}) are farther apart than {1} for {2}",
        "{s} 的读数（{0}）相差超过 {1} 已持续 {2}",
    ),
    Code.VOTE_DIFFERS: (
        "the readings of {s} ({0}) have differed for {1}",
        "{s} 的信号（{0}）不一致已持续 {1}",
    ),
    Code.VOTE_SHORT: (
        "{s}: {0} not good for {1}, which counts as the worst reading",
        "{s}：{0} 不良已持续 {1}，按最差读数处理",
    ),
    Code.VOTE_LEAVES_OUT: (
        "{s}: {0} not good for {1} and left out; the others decide",
        "{s}：{0} 不良已持续 {1}，不参与表决，由其余读数决定",
    ),
    # guards
    Code.ABOVE_LIMIT: (
        "{s} was above its stop limit {0} for {1}",
        "{s} 高于停水限值 {0} 已持续 {1}",
    ),
    Code.BELOW_LIMIT: (
        "{s} was below its stop limit {0} for {1}",
        "{s} 低于停水限值 {0} 已持续 {1}",
    ),
    Code.ABOVE_INSTANT: (
        "{s} is above its instant limit {0}",
        "{s} 高于瞬时限值 {0}",
    ),
    Code.BELOW_INSTANT: (
        "{s} is below its instant limit {0}",
        "{s} 低于瞬时限值 {0}",
    ),
    Code.OVER_RANGE: (
        "{s} is over the range of its instrument, which counts as above the limit {0}",
        "{s} 超出仪表量程，按超过限值 {0} 处理",
    ),
    Code.RESULT_ABOVE: (
        "{s}: an analyzer result is above the limit {0}",
        "{s}：分析仪结果高于限值 {0}",
    ),
    Code.RESULT_BELOW: (
        "{s}: an analyzer result is below the limit {0}",
        "{s}：分析仪结果低于限值 {0}",
    ),
    Code.QUALITY_UNKNOWN: (
        "{s} is not known ({0}), so the water is not known to be fit",
        "{s} 未知（{0}），不能确认水质合格",
    ),
    Code.MARK_TOO_LONG: (
        "{s} has been marked {0} for longer than {1}",
        "{s} 处于“{0}”标记状态已超过 {1}",
    ),
    Code.MARK_DAY_USED: (
        "{s} is marked {0}, and has been marked for {1} in all within 24 hours, the most that is allowed",
        "{s} 处于“{0}”标记状态，24 小时内标记累计已达上限 {1}",
    ),
    Code.ABOVE_WARN: (
        "{s} was above its warning threshold {0} for {1}",
        "{s} 高于预警阈值 {0} 已持续 {1}",
    ),
    Code.BELOW_WARN: (
        "{s} was below its warning threshold {0} for {1}",
        "{s} 低于预警阈值 {0} 已持续 {1}",
    ),
    Code.RESULT_ABOVE_WARN: (
        "{s}: an analyzer result is above the warning threshold {0}",
        "{s}：分析仪结果高于预警阈值 {0}",
    ),
    Code.RESULT_BELOW_WARN: (
        "{s}: an analyzer result is below the warning threshold {0}",
        "{s}：分析仪结果低于预警阈值 {0}",
    ),
    Code.BREACH_AHEAD: (
        "{s} will pass its limit {0} in {1} if it goes on as it does (now {2}, {3})",
        "{s} 按目前趋势将在 {1} 后超过限值 {0}（当前 {2}，{3}）",
    ),
    Code.RESULT_AHEAD: (
        "{s}: a result is dated {0} ahead of this clock and is not believed",
        "{s}：分析结果的时间比本机时钟超前 {0}，不予采信",
    ),
    Code.RESULT_ZERO: (
        "{s}: a result of exactly 0 is no measurement and is not taken",
        "{s}：分析结果恰好为 0，不是有效测量值，不予采信",
    ),
    Code.HELD: (
        "{s}: the trip must last {1}; {0} more",
        "{s}：停水须至少保持 {1}，还需 {0}",
    ),
    Code.RESULT_AGING: (
        "{s}: the newest analyzer result is {0} old, later than expected",
        "{s}：最新分析结果已有 {0}，晚于预期",
    ),
    Code.RESULT_STALE: (
        "{s}: the newest analyzer result is {0} old, too old to start on",
        "{s}：最新分析结果已有 {0}，过旧，不允许开始",
    ),
    Code.RESULT_EXPIRED: (
        "{s}: the newest analyzer result is {0} old, too old to go on",
        "{s}：最新分析结果已有 {0}，过旧，不允许继续",
    ),
    Code.NO_RESULT: (
        "{s}: the analyzer has given no valid result yet",
        "{s}：分析仪尚未给出有效结果",
    ),
    Code.NOT_CLEAR_YET: (
        "{s} must stay good and within {0} for {1} more",
        "{s} 须再保持良好并处于 {0} 之内 {1}",
    ),
    Code.RESULTS_NEEDED: (
        "{s} needs {0} more good analyzer results within {1}",
        "{s} 还需要 {0} 个处于 {1} 之内的合格分析结果",
    ),
    # expressions, interlocks and permissives
    Code.CONDITION_MET: (
        "{0} holds ({1})",
        "{0} 成立（{1}）",
    ),
    Code.CONDITION_NOT_MET: (
        "{0} does not hold ({1})",
        "{0} 不成立（{1}）",
    ),
    Code.CONDITION_UNKNOWN: (
        "whether {0} is not known ({1})",
        "{0} 无法判断（{1}）",
    ),
    Code.INTERLOCK_ACTS: (
        "interlock {s} acts: {0}",
        "联锁 {s} 动作：{1}",
    ),
    Code.INTERLOCK_UNKNOWN: (
        "interlock {s} cannot be judged, which counts as acting: {0}",
        "联锁 {s} 无法判断，按动作处理：{1}",
    ),
    Code.START_NOT_PERMITTED: (
        "{s} does not permit a start: {0} is not so",
        "启动条件 {s} 不满足：{1}",
    ),
    Code.START_UNKNOWN: (
        "{s} cannot be judged, so it permits no start: {0}",
        "启动条件 {s} 无法判断，不允许启动：{1}",
    ),
    Code.LIMIT_RELAXED: (
        "{s}: the limit {0} is relaxed to {1} by {2}, approved by {3}: {4}",
        "{s}：限值 {0} 依 {2} 放宽至 {1}，批准人 {3}：{4}",
    ),
    Code.WARN_ONLY: (
        "{s}: the site file lets water flow on results of any age, with a warning (warn-only)",
        "{s}：站点文件允许数据过期时仅预警、不停水（warn-only）",
    ),
    # quality permits
    Code.NO_PERMIT: (
        "{s}: the plant has given no quality permit yet",
        "{s}：水厂尚未签发水质许可",
    ),
    Code.PERMIT_UNFIT: (
        "{s}: the plant says that its water is not fit",
        "{s}：水厂通知水质不合格",
    ),
    Code.PERMIT_READ: (
        "the permit was read from {s}",
        "许可读自 {s}",
    ),
    Code.PERMIT_GIVEN: (
        "the permit was given by {0}: {1}",
        "许可由 {0} 给出：{1}",
    ),
    Code.PERMIT_AGING: (
        "{s}: the newest permit is {0} old, later than expected",
        "{s}：最新许可已有 {0}，晚于预期",
    ),
    Code.PERMIT_STALE: (
        "{s}: the newest permit is {0} old, too old to start on",
        "{s}：最新许可已有 {0}，过旧，不允许开始",
    ),
    Code.PERMIT_EXPIRED: (
        "{s}: the newest permit is {0} old and has expired",
        "{s}：最新许可已有 {0}，已失效",
    ),
    Code.PERMIT_AHEAD: (
        "{s}: a permit is dated {0} ahead of this clock and is not believed",
        "{s}：许可的签发时间比本机时钟超前 {0}，不予采信",
    ),
    Code.PERMIT_NOT_NEWER: (
        "{s}: the permit in hand is newer or the same (by {0})",
        "{s}：现有许可不早于此许可（相差 {0}）",
    ),
    Code.PERMIT_NOT_FROM: (
        "{s} does not take a permit that says fit from {0}",
        "{s} 不接受 {0} 给出的合格许可",
    ),
    Code.PERMIT_UNREADABLE: (
        "{s}: a permit says fit or unfit",
        "{s}：许可须为合格或不合格",
    ),
    Code.PERMIT_SUBSTITUTED: (
        "{s}: the newest permit was given by hand, which ends no trip; one of the plant is needed",
        "{s}：最新许可为人工给出，不能用于解除停水；需要水厂的许可",
    ),
    Code.PERMITS_NEEDED: (
        "{s}: {0} more fit permit(s) of the plant are needed",
        "{s}：还需要水厂签发 {0} 份合格许可",
    ),
    Code.FLUSHING: (
        "{s}: the pipe still holds water from before the permit; {0} to go",
        "{s}：管道内仍有许可之前的水，还需 {0}",
    ),
    Code.NO_SUCH_PERMIT: (
        "there is no permit guard '{s}'",
        "没有名为“{s}”的许可保护",
    ),
    # levels
    Code.LEVEL_LOW: (
        "{s} is below {0}: no new order",
        "{s} 低于 {0}：不接受新订单",
    ),
    Code.LEVEL_LOW_LOW: (
        "{s} is below {0}",
        "{s} 低于 {0}",
    ),
    Code.LEVEL_UNKNOWN: (
        "{s} is not known ({0}), which counts as empty",
        "{s} 未知（{0}），按空池处理",
    ),
    # meters
    Code.METER_UNKNOWN: (
        "{s} is not known ({0}), so water could not be accounted for",
        "{s} 未知（{0}），无法计量水量",
    ),
    Code.TOTALISER_BACKWARD: (
        "{s}: the totaliser went back from {0} to {1}; counting goes on from there",
        "{s}：累计流量从 {0} 倒退到 {1}；由此继续计数",
    ),
    Code.TOTALISER_JUMP: (
        "{s}: the totaliser went from {0} to {1}, more than the {2} that can have flowed; counting goes on from there",
        "{s}：累计流量从 {0} 跳到 {1}，超过可能流过的 {2}；由此继续计数",
    ),
    Code.PIPE_EMPTY: (
        "{s}: the meter says that its pipe is empty; what it counts is not taken for water",
        "{s}：流量计报告空管；其计数不作为水量",
    ),
    Code.READING_NOT_ALLOWED: (
        "{s} cannot read {0}; 0 to less than {1} is possible",
        "{s} 的读数不可能是 {0}；应从 0 起且小于 {1}",
    ),
    Code.READING_DIFFERS: (
        "{s} is said to read {0} but sends {1}: read the display of the new meter again",
        "{s} 报称读数为 {0}，实际发送 {1}：请重新读取新表示数",
    ),
    Code.REPLACED_ONLY_LOCAL: (
        "a new meter at {s} can only be reported by a person on site",
        "{s} 更换流量计只能由现场人员登记",
    ),
    Code.SUPPLY_GOES_ON: (
        "{s} supplies water, or its account is not closed yet: set its set-point to nil first",
        "{s} 正在供水或账目尚未结清：请先将设定值设为零",
    ),
    Code.WATER_FLOWS: (
        "{s}: water flows ({0})",
        "{s}：正在流水（{0}）",
    ),
    # valves
    Code.VALVE_NOT_OPENED: (
        "{s} did not reach open within {0}",
        "{s} 在 {0} 内未开到位",
    ),
    Code.VALVE_NOT_CLOSED: (
        "{s} did not reach closed within {0}",
        "{s} 在 {0} 内未关到位",
    ),
    Code.VALVE_LEFT_POSITION: (
        "{s} left closed without a command",
        "{s} 未经命令离开关到位",
    ),
    Code.VALVE_CONTRADICTION: (
        "{s} shows open and closed at the same time: limit switch or wiring fault",
        "{s} 同时显示开到位和关到位：限位开关或接线故障",
    ),
    Code.VALVE_UNKNOWN: (
        "the position of {s} is not known ({0})",
        "{s} 的阀位未知（{0}）",
    ),
    Code.VALVE_FIRST: (
        "{s} waits for {0} to leave closed before it starts",
        "{s} 等待 {0} 离开关到位后再启动",
    ),
    Code.VALVE_DRIFTED: (
        "{s} left {0} without a command",
        "{s} 未经命令离开 {0}",
    ),
    Code.VALVE_NOT_REACHED: (
        "{s} is at {0} and did not reach {1} within {2}",
        "{s} 处于 {0}，在 {2} 内未到达 {1}",
    ),
    Code.VALVE_STICKING: (
        "{s} stood still at {0} for more than {1} while {2} was demanded",
        "{s} 在 {0} 处停住超过 {1}，而命令为 {2}：卡涩",
    ),
    Code.VALVE_STUCK: (
        "{s} is stuck: it stood still at {0} for {1} while {2} was demanded",
        "{s} 卡死：停在 {0} 已 {1}，而命令为 {2}",
    ),
    Code.VALVE_SLOW: (
        "a stroke of {s} took {0} instead of {1}: stiff or worn",
        "{s} 行程用时 {0}，额定为 {1}：阀门发涩或磨损",
    ),
    Code.VALVE_FAULT: (
        "the actuator of {s} reports a fault of its own",
        "{s} 的执行机构报告自身故障",
    ),
    Code.VALVE_LOCAL: (
        "the selector of {s} is on local: the controller cannot command it",
        "{s} 的选择开关在就地位：控制器不能操作",
    ),
    Code.VALVE_TURNS: (
        "{s} rests {0} before it turns round",
        "{s} 换向前停 {0}",
    ),
    # pumps
    Code.PUMP_NOT_RUNNING: (
        "{s} gave no run feedback within {0}",
        "{s} 在 {0} 内没有运行反馈",
    ),
    Code.PUMP_NOT_STOPPED: (
        "{s} still reports running {0} after its stop",
        "{s} 停止 {0} 后仍报告运行",
    ),
    Code.PUMP_UNKNOWN: (
        "the run feedback of {s} is not known ({0})",
        "{s} 的运行反馈未知（{0}）",
    ),
    Code.PUMP_FAULT: (
        "the starter of {s} reports a fault of its own",
        "{s} 的控制柜报告自身故障",
    ),
    Code.PUMP_DRY: (
        "{s} runs dry: {0} is {1}, below {2} for {3}",
        "{s} 干转：{0} 为 {1}，低于 {2} 已 {3}",
    ),
    Code.PUMP_SUCTION_LOW: (
        "there is no water for {s}: {0} is {1}, below {2} for {3}",
        "{s} 吸水不足：{0} 为 {1}，低于 {2} 已 {3}",
    ),
    Code.PUMP_CLOSED_PATH: (
        "{s} ran for {0} while every way out was closed",
        "{s} 在出路全关时运行了 {0}",
    ),
    Code.PUMP_LOCAL: (
        "the selector of {s} is on local: the controller cannot command it",
        "{s} 的选择开关在就地位：控制器不能操作",
    ),
    Code.PUMP_OUT_OF_SERVICE: (
        "{s} was taken out of service by {0}: {1}",
        "{s} 已由 {0} 停用：{1}",
    ),
    Code.PUMP_STOPPING: (
        "{s} still runs down",
        "{s} 正在停转",
    ),
    Code.PUMP_MIN_OFF: (
        "{s} must stand still for {0} before it is started again, until {1}",
        "{s} 再次启动前须停 {0}，至 {1}",
    ),
    Code.PUMP_START_INTERVAL: (
        "{s} may be started every {0} only, and so not before {1}",
        "{s} 两次启动至少间隔 {0}，{1} 之前不能启动",
    ),
    Code.PUMP_STARTS_PER_HOUR: (
        "{s} was started {0} times within an hour, which its motor bears; it waits until {1}",
        "{s} 一小时内已启动 {0} 次，达到电机允许值；等到 {1}",
    ),
    Code.PUMP_SHORT_RUN: (
        "{s} ran for {0} only, less than the {1} that its motor needs to cool",
        "{s} 只运行了 {0}，少于电机散热所需的 {1}",
    ),
    Code.PUMP_IN_SERVICE: (
        "{s} is in service already",
        "{s} 已在使用中",
    ),
    Code.ANALOG_NOT_FOLLOWED: (
        "{s} is given {0}, and what it commands shows {1}",
        "{s} 给定 {0}，而受控设备显示 {1}",
    ),
    Code.PUMP_AT_SPEED: (
        "{s} runs at the speed of the site file, because no loop gives another",
        "{s} 按站点文件的转速运行，没有回路给出其他转速",
    ),
    Code.NO_SUCH_PUMP: (
        "there is no pump '{s}'",
        "没有名为“{s}”的泵",
    ),
    Code.NO_SUCH_GROUP: (
        "there is no group of pumps '{s}'",
        "没有名为“{s}”的泵组",
    ),
    # groups of pumps
    Code.GROUP_RUNS: (
        "{s} runs {0} of the {1} pumps that are needed",
        "{s} 需要 {1} 台泵，运行 {0} 台",
    ),
    Code.GROUP_STANDBY: (
        "{s} keeps it on standby: {0} of the {1} pumps that are needed run",
        "{s} 将其备用：需要 {1} 台泵，已运行 {0} 台",
    ),
    Code.GROUP_EXERCISES: (
        "{s} runs it against seizing, because it stood idle for {0}",
        "{s} 让其短时运行以防卡死，已停用 {0}",
    ),
    Code.GROUP_AT_REST: (
        "{s} pumps nothing now",
        "{s} 现在不供水",
    ),
    Code.GROUP_NO_STANDBY: (
        "{s} has no other pump that could be started now",
        "{s} 现在没有其他可启动的泵",
    ),
    Code.GROUP_NO_PUMP: (
        "{s} has not one of its {0} pumps fit to run",
        "{s} 的 {0} 台泵无一可用",
    ),
    # quotas
    Code.QUOTA_WARNING: (
        "{s}: {2} of the {0} quota of {1} is used",
        "{s}：{0}配额 {1} 已用 {2}",
    ),
    Code.QUOTA_NEAR: (
        "{s}: {2} of the {0} quota of {1} is used",
        "{s}：{0}配额 {1} 已用 {2}",
    ),
    Code.QUOTA_REACHED: (
        "{s}: the {0} quota of {1} is used up",
        "{s}：{0}配额 {1} 已用完",
    ),
    Code.QUOTA_CHANGED: (
        "{s}: the {0} quota is {1} instead of {2}, set by {3}: {4}",
        "{s}：{0}配额由 {3} 设为 {1}（原为 {2}）：{4}",
    ),
    Code.QUOTA_EXCEEDED: (
        "{s}: {0} is more than the {1} that the quota leaves",
        "{s}：{0} 超过配额余额 {1}",
    ),
    Code.QUOTA_NOT_ALLOWED: (
        "{s}: a quota of {0} is not allowed; nil or more is",
        "{s}：不允许的配额 {0}；应不小于零",
    ),
    Code.NO_SUCH_QUOTA: (
        "{s} has no {0} quota",
        "{s} 没有{0}配额",
    ),
    # batch dispensers
    Code.NO_FLOW: (
        "{s}: no flow for {0} with the valve open",
        "{s}：阀门已开，{0} 内没有流量",
    ),
    Code.LOW_FLOW: (
        "{s}: flow has been below {0} for {1}",
        "{s}：流量低于 {0} 已持续 {1}",
    ),
    Code.HIGH_FLOW: (
        "{s}: flow {0} is above {1}",
        "{s}：流量 {0} 高于 {1}",
    ),
    Code.METER_DISAGREES: (
        "{s}: the totaliser counted {0}, its flow adds up to {1}",
        "{s}：累计流量计得 {0}，瞬时流量积分为 {1}",
    ),
    Code.FLOW_WITHOUT_ORDER: (
        "{s}: water flows ({0}) without an order",
        "{s}：没有订单却有水流（{0}）",
    ),
    Code.FLOW_AFTER_CLOSE: (
        "{s}: water still flows ({0}) after the valve was closed",
        "{s}：阀门关闭后仍有水流（{0}）",
    ),
    Code.OVERRUN: (
        "{s}: delivered {0}, more than ordered ({1}) by more than the pre-act limit",
        "{s}：实发 {0}，超过预置量 {1}，且超出提前量限值",
    ),
    Code.ORDER_TIMEOUT: (
        "{s}: the order was not finished within {0}",
        "{s}：订单未在 {0} 内完成",
    ),
    Code.PRESET_REACHED: (
        "{s}: the ordered volume {0} is reached",
        "{s}：已达到预置量 {0}",
    ),
    Code.CANCELLED: (
        "{s}: cancelled by {0}",
        "{s}：由 {0} 取消",
    ),
    Code.RESTARTED: (
        "{s}: the controller was restarted during the fill; a fill is never resumed",
        "{s}：灌装期间控制器重启；灌装不会自动继续",
    ),
    Code.NO_ORDER: (
        "{s} has no order",
        "{s} 没有订单",
    ),
    Code.CHECKING: (
        "{s} checks order {0}",
        "{s} 正在检查订单 {0}",
    ),
    Code.ARMED: (
        "{s} is armed for order {0}",
        "{s} 已为订单 {0} 就绪",
    ),
    Code.WAITS_FOR_START: (
        "{s} waits for start",
        "{s} 等待启动",
    ),
    Code.ARM_TIMEOUT: (
        "{s}: the fill was not started within {0}",
        "{s}：{0} 内未启动灌装",
    ),
    Code.HOSE_NOT_CONNECTED: (
        "{s}: the hose is not connected",
        "{s}：加水管未连接",
    ),
    Code.OVERFILL: (
        "{s}: the overfill probe says full",
        "{s}：防溢探头报告满罐",
    ),
    Code.PERMISSIVE_UNKNOWN: (
        "{s} is not known ({0}), and it must be well for water to flow",
        "{s} 未知（{0}），须正常才能供水",
    ),
    Code.STOPPED_BY_DRIVER: (
        "{s}: stopped at the arm ({0})",
        "{s}：现场停止（{0}）",
    ),
    Code.FILLING: (
        "{s} fills order {0} of {1}",
        "{s} 正在灌装订单 {0}，预置量 {1}",
    ),
    Code.CLOSING: (
        "{s} ends order {0}",
        "{s} 正在结束订单 {0}",
    ),
    # continuous dispensers
    Code.REGULATING: (
        "{s} holds {0}",
        "{s} 保持 {0}",
    ),
    Code.SETPOINT_NIL: (
        "{s} has a set-point of nil",
        "{s} 的设定值为零",
    ),
    Code.ALLOCATED: (
        "{s} is allocated no more than {0} while water is short",
        "{s}：水量不足，分配流量不超过 {0}",
    ),
    Code.NOTHING_ALLOCATED: (
        "{s} is allocated nothing while water is short",
        "{s}：水量不足，未分配流量",
    ),
    Code.PRESSURE_UNKNOWN: (
        "{s} is not known ({0}), so the pressure cannot be held",
        "{s} 未知（{0}），无法控制压力",
    ),
    # allocation
    Code.ALLOCATION_LESS: (
        "{s} gets {0} of the {1} that it wants",
        "{s} 分得 {0}，需求 {1}",
    ),
    Code.ALLOCATION_OUT: (
        "{s} gets nothing: {0} is left for it and its minimum is {1}; once there is enough it waits out {2}",
        "{s} 不分水：可用 {0}，最小需求 {1}；水量足够后仍须等满 {2}",
    ),
    Code.ALLOCATION_NO_START: (
        "{s} may not begin a fill: it takes {0}, {1} is left for it",
        "{s} 不能开始灌装：需 {0}，可用 {1}",
    ),
    Code.PRODUCTION_UNKNOWN: (
        "{s} is not known ({0}), which counts as no production",
        "{s} 未知（{0}），按无产水处理",
    ),
    Code.LEVEL_EMPTY: (
        "{s} is at or below {0}, where nothing may be drawn",
        "{s} 不高于 {0}，不允许取水",
    ),
    Code.LEVEL_ALLOWS: (
        "{s} is below {0}, so less may be drawn",
        "{s} 低于 {0}，取水量受限",
    ),
    # loops
    Code.NO_SUCH_LOOP: (
        "there is no loop '{s}'",
        "没有名为“{s}”的控制回路",
    ),
    Code.LOOP_NO_SUCH_MODE: (
        "{s} has no mode '{0}'; it has manual, auto and cascade",
        "{s} 没有“{0}”模式；可选手动（manual）、自动（auto）、串级（cascade）",
    ),
    Code.LOOP_NO_REMOTE: (
        "{s} has no mode cascade: nothing gives it a set-point",
        "{s} 没有串级模式：没有给定来源",
    ),
    Code.LOOP_IN_CASCADE: (
        "{s} is in cascade: its set-point comes from {0}",
        "{s} 处于串级：设定值来自 {0}",
    ),
    Code.LOOP_NOT_MANUAL: (
        "{s} is in mode {0}; an output by hand needs mode manual",
        "{s} 处于{0}模式；手动给定输出须先切换到手动",
    ),
    Code.LOOP_VALUE_NOT_ALLOWED: (
        "{s} does not take {0}; {1} to {2} is allowed",
        "{s} 不接受 {0}；允许 {1} 至 {2}",
    ),
    Code.LOOP_BEGINS: (
        "{s} has only begun",
        "{s} 刚刚开始",
    ),
    Code.LOOP_BY_HAND: (
        "{s} is in manual: {0}, by {1}",
        "{s} 处于手动：{0}，由 {1} 给定",
    ),
    Code.LOOP_HOLDS: (
        "{s} holds {0} at {1}",
        "{s} 将 {0} 控制在 {1}",
    ),
    Code.LOOP_FOLLOWS: (
        "{s} holds {0} at the set-point that {1} gives",
        "{s} 按 {1} 给出的设定值控制 {0}",
    ),
    Code.LOOP_STOPPED: (
        "{s} stands still with its dispenser",
        "{s} 随取水口停止",
    ),
    Code.LOOP_TAKEN: (
        "the output of {s} is not its own now; it tracks",
        "{s} 的输出现由他方控制，回路处于跟踪",
    ),
    Code.LOOP_BLIND: (
        "{s} is not known ({0}), so the loop has nothing to regulate by",
        "{s} 未知（{0}），回路无法调节",
    ),
    Code.LOOP_NO_FLOW: (
        "{s} doses nothing because nothing flows",
        "{s} 无水流，停止投加",
    ),
    Code.LOOP_AT_LIMIT: (
        "the output of {s} is at its limit, {0}",
        "{s} 的输出已到限值 {0}",
    ),
    Code.LOOP_INNER_HELD: (
        "the inner loop of {s} cannot follow",
        "{s} 的副回路不能跟随",
    ),
    Code.LOOP_REMOTE_UNKNOWN: (
        "{s}: what {0} gives as set-point is not known; the last one stands",
        "{s}：{0} 给出的设定值未知，保持上一个值",
    ),
    Code.LOOP_TUNES: (
        "{s} is being tuned by a relay of {0}",
        "{s} 正在进行继电自整定，幅度 {0}",
    ),
    Code.TUNE_NOT_ALLOWED: (
        "{s} may not be tuned: its site file has no 'tune'",
        "{s} 不允许自整定：站点文件中没有“tune”",
    ),
    Code.TUNE_NOT_FREE: (
        "{s} cannot be tuned while it is not free",
        "{s} 受限期间不能自整定",
    ),
    Code.TUNE_NO_ROOM: (
        "{s} cannot be tuned at an output of {0}: a relay of {1} has no room within the limits",
        "{s} 输出为 {0} 时不能自整定：幅度 {1} 超出限值",
    ),
    Code.TUNE_LEFT_BAND: (
        "{s}: the tune was given up, the measurement of {0} left the band of {1}",
        "{s}：自整定已中止，测量值 {0} 超出允许偏差 {1}",
    ),
    Code.TUNE_TIMEOUT: (
        "{s}: the tune was given up after {0} with {1} cycles",
        "{s}：自整定在 {0} 后中止，完成 {1} 个周期",
    ),
    Code.TUNE_ASYMMETRIC: (
        "{s}: the two halves of the swing took {0} and {1}: the loop was not at rest before, let it settle",
        "{s}：两个半周期为 {0} 和 {1}：整定前未稳定，请待其稳定后再试",
    ),
    Code.TUNE_TOO_SMALL: (
        "{s}: a relay of {0} does not show above the noise; use a larger one",
        "{s}：幅度 {0} 的继电不能超出噪声，请加大幅度",
    ),
    # alarms
    Code.NO_SUCH_ALARM: (
        "there is no alarm '{s}'",
        "没有名为“{s}”的报警",
    ),
    Code.NOTHING_TO_ACKNOWLEDGE: (
        "{s} has no alarm that waits to be acknowledged",
        "{s} 没有待确认的报警",
    ),
    Code.NOT_LATCHED: (
        "{s} is not latched, so there is nothing to reset",
        "{s} 没有锁存，无需复位",
    ),
    Code.NOT_SHELVED: (
        "{s} is not shelved",
        "{s} 没有搁置",
    ),
    Code.NOT_OUT_OF_SERVICE: (
        "{s} is not out of service",
        "{s} 没有停用",
    ),
    Code.ALREADY_SILENCED: (
        "{s} is {0} already",
        "{s} 已经{0}",
    ),
    Code.MAY_NOT_BE_SILENCED: (
        "{s} may be neither shelved nor taken out of service",
        "{s} 不允许搁置或停用",
    ),
    Code.SHELF_TOO_LONG: (
        "{s} cannot be shelved for {0}; above nil and up to {1} is allowed",
        "{s} 不能搁置 {0}；应大于零且不超过 {1}",
    ),
    Code.SITE_ALARM: (
        "{s}: {0}",
        "{s}：{1}",
    ),
    # devices and outputs
    Code.DEVICE_OFFLINE: (
        "{s} does not answer ({0})",
        "{s} 无应答（{0}）",
    ),
    Code.OUTPUT_NOT_FOLLOWED: (
        "{s} was written {0} but reads back {1}",
        "{s} 写入 {0}，回读为 {1}",
    ),
    Code.NOT_USED: (
        "{s} belongs to no dispenser and no loop",
        "{s} 不属于任何取水口或控制回路",
    ),
}
"""English and Chinese of every code."""

WORDS_ZH: Final[dict[str, str]] = {
    "not yet read": "尚未读取",
    "not read since the start": "启动后尚未读取",
    "no communication": "通讯中断",
    "device refused": "设备拒绝",
    "device busy": "设备忙",
    "device fault": "设备故障",
    "not a number": "不是数值",
    "out of range": "超出有效范围",
    "over range": "超量程",
    "stale": "数据过期",
    "frozen": "数据不变化",
    "maintenance": "维护",
    "calibration": "校准",
    "out of service": "停用",
    "manual": "人工置数",
    "server uncertain": "服务器数据不可靠",
    "unit changed": "单位已改变",
    "write only": "只写",
    "no value": "没有数值",
    "no good reading": "没有有效读数",
    "by the totaliser": "按累计流量",
    "before the order": "在订单之前",
    "contradiction": "信号矛盾",
    "batch": "批量",
    "continuous": "连续",
    "any": "任意",
    "shelved": "搁置",
    "suppressed by design": "由设计抑制",
    "daily": "日",
    "yearly": "年",
    "none": "无",
    "auto": "自动",
    "cascade": "串级",
}
"""What may stand among the figures of a cause in words."""


def render(code: Code, subject: str, values: tuple[str, ...], language: Language = "en") -> str:
    """The sentence of a code with its subject and figures."""
    english, chinese = SENTENCES[code]
    if language == "en":
        return english.format(*values, s=subject)
    return chinese.format(*(WORDS_ZH.get(value, value) for value in values), s=subject)
