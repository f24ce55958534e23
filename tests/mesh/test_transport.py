"""Two transports on this machine: what arrives, what breaks, and what strangers may send."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
import zmq

from mesh.errors import ProtocolError, UsageError
from mesh.message import Hello, Leave, Ping, Push, Refused, Update, encode
from mesh.transport import Transport
from mesh.view import Member
from tests.mesh.processes import ROOT

HOST = "127.0.0.1"
VIEW = (1, (0, ""))
PING = Ping(VIEW, 1, 2, 3.0)

CHILD = """
import sys
from mesh.transport import Transport
transport = Transport("127.0.0.1", 0, "child")
print(transport.port, transport.bulk_port, flush=True)
while True:
    list(transport.poll(0.1))
"""


@pytest.fixture
def made() -> Iterator[Callable[[str], Transport]]:
    transports: list[Transport] = []

    def make(name: str) -> Transport:
        transports.append(Transport(HOST, 0, name))
        return transports[-1]

    yield make
    for transport in transports:
        transport.close()


@pytest.fixture
def child() -> Iterator[tuple[subprocess.Popen, Member]]:
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
    )
    assert process.stdout is not None
    port, bulk_port = map(int, process.stdout.readline().split())
    yield process, member("child", port, bulk_port)
    process.kill()
    process.wait(5)
    process.stdout.close()


def member(name: str, port: int, bulk_port: int) -> Member:
    return Member(name, HOST, port, bulk_port, "device", 1.0, True, False)


def of(name: str, transport: Transport) -> Member:
    return member(name, transport.port, transport.bulk_port)


def received(transport: Transport, count: int, seconds: float = 5.0) -> list:
    got: list = []
    deadline = time.monotonic() + seconds
    while len(got) < count and time.monotonic() < deadline:
        got += list(transport.poll(0.05))
    return got


def test_messages_arrive_in_order_with_their_senders_name(made):
    a, b = made("a"), made("b")
    a.connect(of("b", b))
    sent = [Ping(VIEW, number, 0, 0.0) for number in range(200)]
    for each in sent:
        a.send("b", each)
    assert received(b, 200) == [("a", each) for each in sent]
    assert a.bytes_sent == sum(len(frame) for each in sent for frame in encode(each))


def test_large_frames_arrive_whole_and_beside_the_control_messages(made):
    a, b = made("a"), made("b")
    a.connect(of("b", b))
    payloads = [bytes([number]) * (3 << 20) for number in range(8)]
    for number, payload in enumerate(payloads):
        a.send("b", Update(VIEW, 1, number, 1, 0.0, 0, payload))
    a.send("b", PING)
    got = received(b, 9)
    bulk = [message for _, message in got if isinstance(message, Update)]
    assert [bytes(message.payload) for message in bulk] == payloads
    assert ("a", PING) in got


def test_a_peer_that_cannot_be_dialled_is_answered_on_its_own_connection(made):
    a, b = made("a"), made("b")
    a.connect(of("b", b))
    for message in (PING, Push(VIEW, 1, 0, 1, 0.0, 0, b"x")):
        a.send("b", message)
    received(b, 2)
    b.send("a", Leave())
    b.send("a", Push(VIEW, 2, 0, 1, 0.0, 0, b"answer"))
    got = dict.fromkeys(type(message) for _, message in received(a, 2))
    assert set(got) == {Leave, Push}


def test_an_address_stands_for_a_peer_whose_name_is_not_known(made):
    a, b = made("a"), made("b")
    address = f"{HOST}:{b.port}"
    a.connect_to(address)
    a.send(address, Hello("v"))
    ((source, hello),) = received(b, 1)
    assert isinstance(hello, Hello)
    b.send(source, Refused("no"))
    assert received(a, 1) == [(address, Refused("no"))]


def test_messages_to_nobody_are_dropped(made):
    a = made("a")
    a.send("nobody", PING)
    a.send("nobody", Push(VIEW, 1, 0, 1, 0.0, 0, b""))
    assert a.bytes_sent == 0
    assert received(a, 1, seconds=0.1) == []


def test_under_another_name(made):
    a, b = made("a"), made("b")
    a.connect(of("b", b))
    a.send("b", PING)
    assert received(b, 1) == [("a", PING)]
    a.rename("a2")
    a.connect(of("b", b))
    a.send("b", PING)
    assert received(b, 1) == [("a2", PING)]


def test_another_thread_wakes_a_waiting_poll(made):
    a = made("a")
    begun = time.monotonic()
    a.wake()
    assert list(a.poll(5.0)) == []
    assert time.monotonic() - begun < 1.0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_ends_is_noticed_at_once_and_proved_dead(made, child, number):
    process, there = child
    a = made("a")
    a.connect(there)
    a.send("child", PING)
    received(a, 1, seconds=0.5)
    process.send_signal(number)
    process.wait(5)
    begun = time.monotonic()
    assert received(a, 1) == [("child", None)]
    assert time.monotonic() - begun < 1.0
    assert probed(a, there) == [("child", True)]


def test_a_living_process_and_a_stopped_one_accept_a_probe(made, child):
    process, there = child
    a = made("a")
    assert probed(a, there) == [("child", False)]
    process.send_signal(signal.SIGSTOP)
    assert probed(a, there) == [("child", False)]


def test_a_stopped_process_is_noticed_by_its_heartbeats(made, child):
    process, there = child
    a = made("a")
    a.connect(there)
    a.send("child", PING)
    received(a, 1, seconds=0.5)
    process.send_signal(signal.SIGSTOP)
    begun = time.monotonic()
    assert received(a, 1, seconds=8.0) == [("child", None)]
    assert 1.0 < time.monotonic() - begun < 6.0


def probed(transport: Transport, there: Member) -> list[tuple[str, bool]]:
    transport.probe(there)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        answers = list(transport.probed())
        if answers:
            return answers
        time.sleep(0.01)
    return []


def test_port_in_use(made):
    a = made("a")
    with pytest.raises(UsageError, match=f"port {a.port} of {HOST} cannot be used") as error:
        Transport(HOST, a.port, "b")
    assert error.value.exit_code == 2


def test_garbage_on_a_raw_connection_does_no_harm(made):
    a, b = made("a"), made("b")
    for port in (b.port, b.bulk_port):
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 40, b"\xff" + bytes(8) + b"\x7f\x03"):
            with socket.create_connection((HOST, port), 2) as raw:
                raw.sendall(garbage)
                received(b, 1, seconds=0.05)
    assert received(b, 1, seconds=0.2) == []
    a.connect(of("b", b))
    a.send("b", PING)
    assert received(b, 1) == [("a", PING)]


def test_garbage_of_a_raw_zeromq_socket_is_named_and_does_no_harm(made):
    a, b = made("a"), made("b")
    with zmq.Context() as context:
        for port in (b.port, b.bulk_port):
            with context.socket(zmq.DEALER) as raw:
                raw.setsockopt(zmq.LINGER, 500)
                raw.connect(f"tcp://{HOST}:{port}")
                for frames in (
                    [b""],
                    [b"garbage"],
                    [b"\xc1" * 50, b"more"],
                    [b"", b"", b""],
                    encode(PING)[:1] * 2,
                ):
                    raw.send_multipart(frames)
                got = received(b, 5)
                assert len(got) == 5
                assert all(isinstance(message, ProtocolError) for _, message in got)
    a.connect(of("b", b))
    a.send("b", PING)
    assert received(b, 1) == [("a", PING)]


@pytest.mark.parametrize("host", ["", "not an address", "nowhere.invalid", "999.1.1.1", "::::"])
@pytest.mark.parametrize("port", [-1, 1, 70_000])
def test_a_member_with_an_impossible_address_does_no_harm(made, host, port):
    a = made("a")
    there = Member("odd", host, port, port, "device", 1.0, True, False)
    a.connect(there)
    a.send("odd", PING)
    a.probe(there)
    list(a.probed())
    list(a.poll(0.0))
