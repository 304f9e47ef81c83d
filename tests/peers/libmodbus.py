"""libmodbus of Debian (package libmodbus5), by ctypes: a server and a client that are not ours.

``python -m tests.peers.libmodbus HEX`` serves these holding registers on Modbus TCP, on a free port, which it prints,
until its input ends.
"""

import ctypes
import os
import select
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ctypes import POINTER, c_char, c_char_p, c_float, c_int, c_uint, c_uint8, c_uint16, c_uint32, c_void_p
from typing import Any, Final

import pytest

_NAME: Final = "libmodbus.so.5"
MAX_ADU_BYTES: Final = 260
MBAP_BYTES: Final = 7
STOP_S: Final = 3.0
FRAGMENT_S: Final = 0.05
"""How long, beyond t3.5, a serial server waits for the rest of a frame: a scheduler is no UART (its default: 0.5 s)."""
ERROR_BASE: Final = 112345678
"""``MODBUS_ENOBASE``: an exception of the device is this plus its code."""


def _loaded() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(_NAME, use_errno=True)
    except OSError:
        return None


LIBRARY: Final = _loaded()
needs_libmodbus: Final = pytest.mark.skipif(
    LIBRARY is None, reason=f"{_NAME} is not installed (Debian: apt-get install libmodbus5)"
)


class _Mapping(ctypes.Structure):
    _fields_ = (
        ("nb_bits", c_int),
        ("start_bits", c_int),
        ("nb_input_bits", c_int),
        ("start_input_bits", c_int),
        ("nb_input_registers", c_int),
        ("start_input_registers", c_int),
        ("nb_registers", c_int),
        ("start_registers", c_int),
        ("tab_bits", POINTER(c_uint8)),
        ("tab_input_bits", POINTER(c_uint8)),
        ("tab_input_registers", POINTER(c_uint16)),
        ("tab_registers", POINTER(c_uint16)),
    )


_SIGNATURES: Final[dict[str, tuple[Any, tuple[Any, ...]]]] = {
    "modbus_new_tcp": (c_void_p, (c_char_p, c_int)),
    "modbus_new_rtu": (c_void_p, (c_char_p, c_int, c_char, c_int, c_int)),
    "modbus_free": (None, (c_void_p,)),
    "modbus_connect": (c_int, (c_void_p,)),
    "modbus_close": (None, (c_void_p,)),
    "modbus_set_slave": (c_int, (c_void_p, c_int)),
    "modbus_set_response_timeout": (c_int, (c_void_p, c_uint32, c_uint32)),
    "modbus_set_byte_timeout": (c_int, (c_void_p, c_uint32, c_uint32)),
    "modbus_get_socket": (c_int, (c_void_p,)),
    "modbus_set_socket": (c_int, (c_void_p, c_int)),
    "modbus_flush": (c_int, (c_void_p,)),
    "modbus_strerror": (c_char_p, (c_int,)),
    "modbus_mapping_new": (POINTER(_Mapping), (c_int, c_int, c_int, c_int)),
    "modbus_mapping_free": (None, (POINTER(_Mapping),)),
    "modbus_receive": (c_int, (c_void_p, c_void_p)),
    "modbus_reply": (c_int, (c_void_p, c_void_p, c_int, POINTER(_Mapping))),
    "modbus_reply_exception": (c_int, (c_void_p, c_void_p, c_uint)),
    "modbus_read_bits": (c_int, (c_void_p, c_int, c_int, c_void_p)),
    "modbus_read_input_bits": (c_int, (c_void_p, c_int, c_int, c_void_p)),
    "modbus_read_registers": (c_int, (c_void_p, c_int, c_int, c_void_p)),
    "modbus_read_input_registers": (c_int, (c_void_p, c_int, c_int, c_void_p)),
    "modbus_write_bit": (c_int, (c_void_p, c_int, c_int)),
    "modbus_write_register": (c_int, (c_void_p, c_int, c_uint16)),
    "modbus_write_bits": (c_int, (c_void_p, c_int, c_int, c_void_p)),
    "modbus_write_registers": (c_int, (c_void_p, c_int, c_int, c_void_p)),
    "modbus_mask_write_register": (c_int, (c_void_p, c_int, c_uint16, c_uint16)),
    "modbus_write_and_read_registers": (c_int, (c_void_p, c_int, c_int, c_void_p, c_int, c_int, c_void_p)),
    "modbus_report_slave_id": (c_int, (c_void_p, c_int, c_void_p)),
    "modbus_send_raw_request": (c_int, (c_void_p, c_void_p, c_int)),
    "modbus_receive_confirmation": (c_int, (c_void_p, c_void_p)),
} | {f"modbus_get_float_{order}": (c_float, (c_void_p,)) for order in ("abcd", "cdab", "badc", "dcba")}
if LIBRARY is not None:
    for _function, (_result, _arguments) in _SIGNATURES.items():
        getattr(LIBRARY, _function).restype = _result
        getattr(LIBRARY, _function).argtypes = _arguments


class LibmodbusError(Exception):
    """What libmodbus says went wrong. ``code`` is the device's exception, 0 for anything else."""

    def __init__(self, number: int) -> None:
        assert LIBRARY is not None
        super().__init__(LIBRARY.modbus_strerror(number).decode())
        self.code = number - ERROR_BASE if 0 < number - ERROR_BASE < 0x80 else 0


def _checked(result: int) -> int:
    if result < 0:
        raise LibmodbusError(ctypes.get_errno())
    return result


def float_of(order: str, registers: Sequence[int]) -> float:
    """The float that libmodbus finds in two registers."""
    assert LIBRARY is not None
    number: float = getattr(LIBRARY, f"modbus_get_float_{order}")((c_uint16 * 2)(*registers))
    return number


def gets_floats_right() -> bool:
    """True for a build whose ``modbus_get_float_abcd`` reads 41 8D 00 00 as 17.625.

    Some read another order (libmodbus issues 611 and 665). The ``set`` functions of 3.1.6, the version of Debian 12,
    put the bytes of each register the wrong way round on a little-endian machine (issue 807), and are not used here.
    """
    return LIBRARY is not None and float_of("abcd", (0x418D, 0x0000)) == 17.625


class Client:
    """A master. Its calls block: call them in a thread. Registers come and go as lists of numbers, bits as 0 and 1.

    ``head``: bytes in front of the unit in its frames.
    """

    def __init__(self, context: int, head: int, timeout_s: float) -> None:
        assert LIBRARY is not None
        self._library = LIBRARY
        self._context = context
        self._head = head
        self.timeout(timeout_s)

    def timeout(self, seconds: float) -> None:
        """How long it waits for a reply to begin, and for each further byte."""
        microseconds = round(seconds * 1e6)
        for setting in ("response", "byte"):
            set_timeout = getattr(self._library, f"modbus_set_{setting}_timeout")
            _checked(set_timeout(self._context, microseconds // 1_000_000, microseconds % 1_000_000))

    def unit(self, number: int) -> None:
        """Whom to ask from now on."""
        _checked(self._library.modbus_set_slave(self._context, number))

    def read(self, what: str, address: int, count: int) -> list[int]:
        """``what``: bits, input_bits, registers or input_registers."""
        found = ((c_uint8 if "bits" in what else c_uint16) * count)()
        call = getattr(self._library, f"modbus_read_{what}")
        assert _checked(call(self._context, address, count, found)) == count
        return list(found)

    def write_bit(self, address: int, on: bool) -> None:
        """Function 05."""
        _checked(self._library.modbus_write_bit(self._context, address, on))

    def write_bits(self, address: int, bits: Sequence[int]) -> None:
        """Function 15."""
        _checked(self._library.modbus_write_bits(self._context, address, len(bits), (c_uint8 * len(bits))(*bits)))

    def write_register(self, address: int, word: int) -> None:
        """Function 06."""
        _checked(self._library.modbus_write_register(self._context, address, word))

    def write_registers(self, address: int, words: Sequence[int]) -> None:
        """Function 16."""
        data = (c_uint16 * len(words))(*words)
        _checked(self._library.modbus_write_registers(self._context, address, len(words), data))

    def mask_write(self, address: int, and_mask: int, or_mask: int) -> None:
        """Function 22."""
        _checked(self._library.modbus_mask_write_register(self._context, address, and_mask, or_mask))

    def write_and_read(self, write_at: int, words: Sequence[int], read_at: int, count: int) -> list[int]:
        """Function 23."""
        data, found = (c_uint16 * len(words))(*words), (c_uint16 * count)()
        call = self._library.modbus_write_and_read_registers
        assert _checked(call(self._context, write_at, len(words), data, read_at, count, found)) == count
        return list(found)

    def report_slave_id(self) -> bytes:
        """Function 17."""
        found = (c_uint8 * MAX_ADU_BYTES)()
        size = _checked(self._library.modbus_report_slave_id(self._context, MAX_ADU_BYTES, found))
        return bytes(found[:size])

    def raw(self, unit: int, pdu: bytes) -> bytes:
        """Sends a request as it stands; returns the PDU that came back, an exception too."""
        data = bytes((unit,)) + pdu
        found = (c_uint8 * MAX_ADU_BYTES)()
        _checked(self._library.modbus_send_raw_request(self._context, (c_uint8 * len(data))(*data), len(data)))
        size = _checked(self._library.modbus_receive_confirmation(self._context, found))
        return bytes(found[self._head + 1 : size - (0 if self._head else 2)])


@contextmanager
def _connected(context: int | None, head: int, timeout_s: float) -> Iterator[Client]:
    assert LIBRARY is not None
    assert context is not None, os.strerror(ctypes.get_errno())
    try:
        _checked(LIBRARY.modbus_connect(context))
        try:
            yield Client(context, head, timeout_s)
        finally:
            LIBRARY.modbus_close(context)
    finally:
        LIBRARY.modbus_free(context)


@contextmanager
def tcp_client(port: int, timeout_s: float = 3.0) -> Iterator[Client]:
    """A master on Modbus TCP."""
    assert LIBRARY is not None
    with _connected(LIBRARY.modbus_new_tcp(b"127.0.0.1", port), MBAP_BYTES - 1, timeout_s) as client:
        yield client


@contextmanager
def rtu_client(path: str, baudrate: int, timeout_s: float = 3.0) -> Iterator[Client]:
    """A master on a serial port."""
    assert LIBRARY is not None
    with _connected(LIBRARY.modbus_new_rtu(path.encode(), baudrate, b"N", 8, 1), 0, timeout_s) as client:
        yield client


class Server:
    """A server with ``size`` bits and registers from address 0 in each table, in a thread of its own.

    ``coils``, ``discrete``, ``holding`` and ``input`` are its memory, to be read and written at any time. On TCP it
    answers as whatever unit it is asked. ``requests`` are those it has answered, unit and PDU; with
    ``exception_instead`` it answers them with that code.
    """

    def __init__(self, context: int, size: int, listener: int | None) -> None:
        assert LIBRARY is not None
        self._library = LIBRARY
        self._context = context
        self._listener = listener
        self._mapping = LIBRARY.modbus_mapping_new(size, size, size, size)
        tables = self._mapping.contents
        self.coils, self.discrete = tables.tab_bits, tables.tab_input_bits
        self.holding, self.input = tables.tab_registers, tables.tab_input_registers
        self.requests: list[bytes] = []
        self.exception_instead = 0
        self._wake = os.pipe()
        self._thread = threading.Thread(target=self._serve, name="libmodbus server")

    def fill(
        self, holding: Sequence[int], inputs: Sequence[int], coils: Sequence[int], discrete: Sequence[int]
    ) -> None:
        """Puts numbers into its tables, from address 0 on."""
        tables = ((self.holding, holding), (self.input, inputs), (self.coils, coils), (self.discrete, discrete))
        for table, numbers in tables:
            for place, number in enumerate(numbers):
                table[place] = number

    def start(self) -> None:
        """Begins to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Ends it, and frees what it holds."""
        os.write(self._wake[1], b"x")
        self._thread.join(STOP_S)
        assert not self._thread.is_alive(), "the server does not stop"
        for file in self._wake:
            os.close(file)
        self._library.modbus_mapping_free(self._mapping)

    def _serve(self) -> None:
        woken = self._wake[0]
        doors = [self._listener] if self._listener is not None else []
        lines = [] if doors else [self._library.modbus_get_socket(self._context)]
        poll = select.poll()
        for file in (woken, *doors, *lines):
            poll.register(file, select.POLLIN)
        connections: dict[int, socket.socket] = {}
        try:
            while True:
                for file, _ in poll.poll():
                    if file == woken:
                        return
                    if file in doors:
                        made, _ = socket.socket(fileno=os.dup(file)).accept()
                        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        connections[made.fileno()] = made
                        poll.register(made, select.POLLIN)
                    elif not self._answer(file) and file in connections:
                        poll.unregister(file)
                        connections.pop(file).close()
        finally:
            for connection in connections.values():
                connection.close()

    def _answer(self, file: int) -> bool:
        """Answers a request; false when there was none because the other side is gone or talks nonsense."""
        request = (c_uint8 * MAX_ADU_BYTES)()
        if self._listener is not None:
            self._library.modbus_set_socket(self._context, file)
        size = self._library.modbus_receive(self._context, request)
        if size <= 0:
            # Nothing: a frame for another unit. Less: no frame, and what has come of it must not begin the next one.
            if size < 0:
                self._library.modbus_flush(self._context)
            return bool(size == 0)
        head = MBAP_BYTES - 1 if self._listener is not None else 0
        self.requests.append(bytes(request[head : size - (0 if head else 2)]))
        if self.exception_instead:
            self._library.modbus_reply_exception(self._context, request, self.exception_instead)
        else:
            self._library.modbus_reply(self._context, request, size, self._mapping)
        return True


@contextmanager
def tcp_server(size: int = 200) -> Iterator[tuple[Server, int]]:
    """A server on Modbus TCP, and its port."""
    assert LIBRARY is not None
    context = LIBRARY.modbus_new_tcp(b"127.0.0.1", 0)
    # Not modbus_tcp_listen: it cannot say which free port it was given.
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        server = Server(context, size, listener.fileno())
        server.start()
        try:
            yield server, listener.getsockname()[1]
        finally:
            server.stop()
            LIBRARY.modbus_free(context)


@contextmanager
def rtu_server(path: str, baudrate: int, unit: int = 1, size: int = 200) -> Iterator[Server]:
    """A server on a serial port."""
    assert LIBRARY is not None
    context = LIBRARY.modbus_new_rtu(path.encode(), baudrate, b"N", 8, 1)
    assert context is not None
    _checked(LIBRARY.modbus_set_slave(context, unit))
    _checked(LIBRARY.modbus_set_byte_timeout(context, 0, round(1e6 * (FRAGMENT_S + 3.5 * 11 / baudrate))))
    _checked(LIBRARY.modbus_connect(context))
    server = Server(context, size, None)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        LIBRARY.modbus_close(context)
        LIBRARY.modbus_free(context)


def main() -> None:
    """Serves until its input ends."""
    words = bytes.fromhex(sys.argv[1])
    with tcp_server() as (server, port):
        server.fill([int.from_bytes(words[i : i + 2], "big") for i in range(0, len(words), 2)], (), (), ())
        print(port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
