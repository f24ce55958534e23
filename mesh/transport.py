"""Messages over ZeroMQ: one ROUTER for control and one for bulk to receive on, a DEALER to each peer and
channel to send on.

Control and bulk have sockets of their own, so a ping never waits behind a tensor. A socket's identity is
the sender's id on that channel; the ROUTERs are mandatory, since one that is not drops what it cannot
deliver without a word. A peer that cannot be dialled is answered on the connection that it dialled. ZeroMQ
reconnects by itself; what it lost meanwhile, the protocol asks for again.

Whether a process is there is ZeroMQ's to find out: its own thread sends and answers heartbeats, also while
the interpreter is busy, for instance in a compiler that does not let go of it. A connection that breaks, or
is silent for a few seconds, is reported at once.
"""

import contextlib
import errno
import ipaddress
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import zmq
import zmq.utils.monitor

from mesh.errors import ProtocolError, UsageError
from mesh.message import BULK, HEADER_BYTES_MOST, PAYLOAD_BYTES_MOST, Message, decode, encode
from mesh.view import Member

LINGER_MS = 500
HEARTBEAT_MS = 500
HEARTBEAT_TIMEOUT_MS = 2500  # a machine that answers none for so long sleeps, or is out of reach
MESSAGES_WAITING_MOST = 4096  # for a peer that is away; what is more is dropped, and asked for again
COPY_BELOW_BYTES = 64 << 10  # ZeroMQ copies smaller frames faster than it shares them


@dataclass
class _Wire:
    """The two DEALERs that lead to one peer, and the monitor of the control one."""

    control: zmq.Socket[bytes]
    bulk: zmq.Socket[bytes] | None
    monitor: zmq.Socket[bytes]
    was_up: bool = False


class Transport:
    """The sockets of one process. Used by one thread, which waits in `poll`; nothing else waits."""

    def __init__(self, host: str, port: int, me: str) -> None:
        self._context = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, 4096)
        self._poller = zmq.Poller()
        self._me = me
        self._wires: dict[str, _Wire] = {}
        self._probes: dict[int, tuple[socket.socket, str, int]] = {}
        self.bytes_sent = 0
        self._control = self._router()
        self._bulk = self._router()
        self.port = self._bind(self._control, host, port)
        self.bulk_port = self._bind(self._bulk, host, 0)
        self._wake_out = self._context.socket(zmq.PAIR)
        self._wake_in = self._context.socket(zmq.PAIR)
        self._wake_out.bind("inproc://wake")
        self._wake_in.connect("inproc://wake")
        self._poller.register(self._wake_out, zmq.POLLIN)

    def _router(self) -> zmq.Socket[bytes]:
        router = self._context.socket(zmq.ROUTER)
        router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        router.setsockopt(zmq.ROUTER_HANDOVER, 1)  # who dials again before its old connection is noticed dead
        self._tune(router)
        self._poller.register(router, zmq.POLLIN)
        return router

    def _tune(self, each: zmq.Socket[bytes]) -> None:
        each.setsockopt(zmq.LINGER, LINGER_MS)
        each.setsockopt(zmq.MAXMSGSIZE, max(HEADER_BYTES_MOST, PAYLOAD_BYTES_MOST))
        each.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
        each.setsockopt(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)
        each.setsockopt(zmq.IPV6, 1)
        each.setsockopt(zmq.SNDHWM, MESSAGES_WAITING_MOST)
        each.setsockopt(zmq.RCVHWM, 0)

    def _bind(self, router: zmq.Socket[bytes], host: str, port: int) -> int:
        try:
            router.bind(f"tcp://{_bracketed(host)}:{port or '*'}")
        except zmq.ZMQError as error:
            self.close()
            raise UsageError(
                f"port {port} of {host} cannot be used ({error.strerror}): another program listens there; "
                "give another one with --port, or --port 0 for any free one"
            ) from error
        endpoint = router.getsockopt_string(zmq.LAST_ENDPOINT)
        return int(endpoint.rsplit(":", 1)[1])

    # ---- peers ----

    def rename(self, me: str) -> None:
        """Send under the identity `me` from now on; every connection is dialled anew."""
        for peer in list(self._wires):
            self.disconnect(peer)
        self._me = me

    def connect(self, member: Member) -> None:
        """Dial a member, unless that has been done."""
        if member.id in self._wires or member.id == self._me or not _can_be_dialled(member.host, member.port):
            return
        control, bulk = self._dealer(self._me), self._dealer(self._me)
        self._wires[member.id] = _Wire(control, bulk, self._watch(control))
        _dial(control, member.host, member.port)
        if _can_be_dialled(member.host, member.bulk_port):
            _dial(bulk, member.host, member.bulk_port)

    def connect_to(self, address: str) -> None:
        """Dial the control port at `host:port`, of a peer whose id is not known; the address stands
        for it.
        """
        host, port = address.rsplit(":", 1)
        if address not in self._wires and _can_be_dialled(host, int(port)):
            control = self._dealer(f"{self._me} asking {address}")  # a ROUTER takes each identity once
            self._wires[address] = _Wire(control, None, self._watch(control))
            _dial(control, host, int(port))

    def disconnect(self, peer: str) -> None:
        """Close what was dialled; messages under way still have half a second."""
        wire = self._wires.pop(peer, None)
        if wire is None:
            return
        for each in (wire.control, wire.bulk, wire.monitor):
            if each is not None:
                self._poller.unregister(each)
        wire.control.disable_monitor()
        for each in (wire.control, wire.bulk, wire.monitor):
            if each is not None:
                each.close()

    def _dealer(self, identity: str) -> zmq.Socket[bytes]:
        dealer = self._context.socket(zmq.DEALER)
        dealer.setsockopt(zmq.IDENTITY, identity.encode())
        dealer.setsockopt(zmq.RECONNECT_IVL, 100)
        dealer.setsockopt(zmq.RECONNECT_IVL_MAX, 2000)
        self._tune(dealer)
        self._poller.register(dealer, zmq.POLLIN)
        return dealer

    def _watch(self, dealer: zmq.Socket[bytes]) -> zmq.Socket[bytes]:
        """Listen for its handshakes and breaks; before it dials, since who misses the handshake misses the
        break.
        """
        monitor: zmq.Socket[bytes] = dealer.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
        )
        self._poller.register(monitor, zmq.POLLIN)
        return monitor

    # ---- messages ----

    def send(self, to: str, message: Message) -> None:
        """Hand a message to the network. One to a peer that is not there is dropped: the protocol
        sees to such.
        """
        frames = encode(message)
        wire = self._wires.get(to)
        bulk = isinstance(message, BULK)
        with contextlib.suppress(zmq.Again, zmq.ZMQError):  # EHOSTUNREACH of a ROUTER: the peer has gone
            if wire is not None and (wire.bulk is not None or not bulk):
                self._send_frames(wire.bulk if bulk and wire.bulk is not None else wire.control, frames)
            else:
                self._send_frames(self._bulk if bulk else self._control, [to.encode(), *frames])
            self.bytes_sent += sum(len(frame) for frame in frames)

    def _send_frames(self, each: zmq.Socket[bytes], frames: list[bytes | memoryview]) -> None:
        large = len(frames[-1]) >= COPY_BELOW_BYTES
        each.send_multipart(frames, zmq.NOBLOCK, copy=not large)

    def poll(self, timeout_s: float) -> Iterator[tuple[str, Message | ProtocolError | None]]:
        """Wait, at most so long, and give what came: (sender, message), (sender, error) for one that no
        peer of ours sends.

        (peer, None) says that the connection to `peer` broke. Also returns when another thread calls `wake`.
        """
        ready = dict(self._poller.poll(int(timeout_s * 1000)))
        if self._wake_out in ready:
            list(self._drain(self._wake_out))
        for router in (self._control, self._bulk):
            if router in ready:
                for identity, *frames in self._drain(router):
                    yield bytes(identity).decode(errors="replace"), _decoded(frames)
        for peer, wire in list(self._wires.items()):
            for dealer in (wire.control, wire.bulk):
                if dealer is not None and dealer in ready:
                    for frames in self._drain(dealer):
                        yield peer, _decoded(frames)
            if wire.monitor in ready and self._broke(wire):
                yield peer, None

    def _drain(self, each: zmq.Socket[bytes]) -> Iterator[list[memoryview]]:
        """All messages that have come to one socket, without copying them."""
        with contextlib.suppress(zmq.Again):
            while not each.closed:
                yield [frame.buffer for frame in each.recv_multipart(zmq.NOBLOCK, copy=False)]

    def _broke(self, wire: _Wire) -> bool:
        broke = False
        with contextlib.suppress(zmq.Again):
            while not wire.monitor.closed:
                event = zmq.utils.monitor.recv_monitor_message(wire.monitor, zmq.NOBLOCK)["event"]
                broke = broke or (event == zmq.EVENT_DISCONNECTED and wire.was_up)
                wire.was_up = wire.was_up or event == zmq.EVENT_HANDSHAKE_SUCCEEDED
        return broke

    def wake(self) -> None:
        """Make `poll` return; for other threads, one at a time."""
        with contextlib.suppress(zmq.ZMQError):
            self._wake_in.send(b"", zmq.NOBLOCK)

    # ---- probes ----

    def probe(self, member: Member) -> None:
        """Dial a member's port once, on the side: `probed` tells how it went."""
        known = any(peer == member.id for _, peer, _ in self._probes.values())
        if known or not _can_be_dialled(member.host, member.port):
            return
        family = socket.AF_INET6 if ":" in member.host else socket.AF_INET
        attempt = socket.socket(family, socket.SOCK_STREAM)
        attempt.setblocking(False)
        at_once = attempt.connect_ex((member.host, member.port))
        self._probes[attempt.fileno()] = (attempt, member.id, at_once)

    def probed(self) -> Iterator[tuple[str, bool]]:
        """The probes that were answered: (peer, whether the connection was refused). The others are
        kept, for a while.
        """
        if not self._probes:
            return
        poller = zmq.Poller()
        for number in self._probes:
            poller.register(number, zmq.POLLOUT | zmq.POLLERR)
        for number, _ in poller.poll(0):
            attempt, peer, at_once = self._probes.pop(number)
            refused = _REFUSED in (at_once, attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
            attempt.close()
            yield peer, refused

    def close(self) -> None:
        """Close every socket; what was sent before still has half a second to go."""
        for attempt, _, _ in self._probes.values():
            attempt.close()
        for peer in list(self._wires):
            self.disconnect(peer)
        self._context.destroy(LINGER_MS)


_REFUSED = errno.ECONNREFUSED


def _can_be_dialled(host: str, port: int) -> bool:
    """Whether this is an address: members say their own, and names would have to be looked up."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return 0 < port < 1 << 16


def _dial(dealer: zmq.Socket[bytes], host: str, port: int) -> None:
    dealer.connect(f"tcp://{_bracketed(host)}:{port}")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _decoded(frames: list[memoryview]) -> Message | ProtocolError:
    try:
        return decode(list(frames))
    except ProtocolError as error:
        return error
