"""Everything about TCP that can be set, and the profiles that set it.

Each field says its unit, its default and the section that speaks of it. Scenario files, `--set`, documentation
and the engine read these fields and nothing else: there is no second list of them and no second default.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

MILLISECOND = 1_000
SECOND = 1_000_000


def setting(
    default: object, unit: str, rfc: str, doc: str, *, least: int | None = None, most: int | None = None
) -> Any:
    """A field of `TcpConfig`: `unit` is "us", "octets", "segments", "count" or "" (a choice), `rfc` the section.

    `least` and `most` bound what a scenario may say; the type `Any` is the usual one for a stand-in of `field`.
    """
    return field(default=default, metadata={"unit": unit, "rfc": rfc, "doc": doc, "least": least, "most": most})


@dataclass(frozen=True, slots=True)
class TcpConfig:
    """The settings of one host's TCP. Durations are whole microseconds; sections without a name are RFC 9293's.

    Raises `ValueError` for settings that contradict each other.
    """

    mss: int = setting(
        1460,
        "octets",
        "3.7.1",
        "largest text of a segment we accept, announced in the MSS option unless the MTU allows less",
        least=1,
        most=65495,
    )
    rcv_buffer: int = setting(
        65535,
        "octets",
        "3.8.6",
        "room for text the user has not read: the receive window (beyond 65535 with window_scale only)",
        least=1,
        most=1 << 30,
    )
    snd_buffer: int = setting(
        1 << 20,
        "octets",
        "3.10.2",
        'room for text not yet acknowledged; beyond it SEND is "insufficient resources"',
        least=1,
    )
    initial_window: int = setting(
        10, "segments", "RFC 6928", "what may be in flight before the first acknowledgment", least=1
    )
    slow_start_growth: int = setting(
        1,
        "segments",
        "RFC 3465 2.2",
        "segments by which one ACK may open the congestion window in slow start; 0: what it is for",
        least=0,
    )
    half_window: bool = setting(
        False,
        "",
        "3.8.6.2.1",
        "a segment takes at most half of the window that the peer opens with; all of one up to 536 octets",
    )
    used_window_grows: bool = setting(
        False,
        "",
        "RFC 7661 4.3",
        "in slow start, a congestion window of which no more than half was used does not grow (the RFC: less)",
    )

    option_layout: Literal["linux", "bsd"] = setting(
        "linux", "", "3.2", "how options are ordered and padded on the wire, which the RFCs leave open"
    )
    window_scale: bool = setting(False, "", "RFC 7323 2", "offer the window scale option; in use when both sides do")
    window_shift: int = setting(
        0,
        "count",
        "RFC 7323 2.2",
        "the shift that window_scale announces, less for a buffer too small to be counted so coarsely",
        most=14,
    )
    timestamps: bool = setting(
        False, "", "RFC 7323 3", "offer the timestamps option; when both sides do, every segment carries it"
    )
    missing_timestamps: Literal["drop", "accept"] = setting(
        "drop", "", "RFC 7323 3.2", "a segment without the timestamps that were agreed upon (some stacks accept it)"
    )

    delayed_ack: int = setting(
        0,
        "us",
        "3.8.6.3",
        "how long the acknowledgment of one full segment may wait for company; 0 sends it at once",
        most=SECOND // 2 - 1,
    )
    quick_acks: int = setting(
        0,
        "segments",
        "3.8.6.3",
        "how many segments with text delayed_ack leaves alone: first ones, after a pause or a repetition",
    )
    interactive_acks: bool = setting(
        False,
        "",
        "3.8.6.3",
        "despite quick_acks, who has answered soon will do so again; other text is acknowledged once read",
    )
    delayed_fin_ack: bool = setting(
        False, "", "3.8.6.3", "where text has come, delayed_ack waits with the ACK of a FIN too: a CLOSE may follow"
    )
    nagle: bool = setting(
        False, "", "3.7.4", "a small segment waits while others are unacknowledged, unless the user objects"
    )
    nagle_waits_for: Literal["any", "small", "earlier"] = setting(
        "any",
        "",
        "3.7.4",
        "with nagle: for anything unacknowledged, a small segment only (Minshall), or text of earlier SENDs",
    )
    push: Literal["buffer", "write", "burst"] = setting(
        "buffer",
        "",
        "3.9.1.2",
        "PSH is set where the queued text ends, each SEND's, too, or on every second segment of a burst, too",
    )
    sws_override: int = setting(
        200 * MILLISECOND,
        "us",
        "3.8.6.2.1",
        "how long a small segment waits for a larger window, or for the user to uncork it",
        least=100 * MILLISECOND,
        most=SECOND,
    )

    whole_segments: bool = setting(
        False, "", "3.8.6", "rcv_buffer is rounded up to whole segments once the peer has told its MSS"
    )
    window_steps: bool = setting(
        True, "", "3.8.6.2.2", "a window grows in steps worth offering, or every segment offers all the room there is"
    )

    sack: bool = setting(
        False, "", "RFC 2018 2", "offer selective acknowledgments; recovery is RFC 6675's with, RFC 6582's without them"
    )
    duplicate_sack: bool = setting(
        False, "", "RFC 2883 4", "with sack, text that was received twice is reported in the first block"
    )
    sack_fin: bool = setting(
        False, "", "RFC 2018 3", "with sack, a FIN beyond a hole is reported like text; the RFC speaks of data only"
    )
    limited_transmit: bool = setting(
        False, "", "RFC 3042 2", "the first two duplicate acknowledgments let one new segment out each"
    )

    ecn: Literal["off", "passive", "active"] = setting(
        "off",
        "",
        "RFC 3168 6.1",
        "explicit congestion notification: never, when the peer's SYN asks for it, or ours asks",
    )
    loss_probe: bool = setting(
        False, "", "RFC 8985 7", "with sack, the last segment is sent again after two round trips, before the timeout"
    )
    window_probe: Literal["text", "empty"] = setting(
        "text", "", "3.8.6.1", "a closed window is probed by the next octet, or by an empty segment at SND.UNA-1"
    )

    msl: int = setting(120 * SECOND, "us", "3.4.2", "maximum segment lifetime; TIME-WAIT lasts two of them", least=0)
    user_timeout: int = setting(
        300 * SECOND,
        "us",
        "3.9.1.1",
        "how long text may stay unacknowledged before the connection is given up",
        least=1,
    )
    connect_timeout: int = setting(
        0, "us", "3.8.3", "how long a connection may take to open, from its SYN on; 0: as user_timeout", least=0
    )
    user_timeout_option: bool = setting(
        False, "", "RFC 5482 3", "tell the peer our user timeout, and adopt a longer one that it tells"
    )
    user_timeout_least: int = setting(
        100 * SECOND, "us", "RFC 5482 3.1", "the option never makes the user timeout shorter than this", least=1
    )
    user_timeout_most: int = setting(
        3600 * SECOND, "us", "RFC 5482 3.1", "the option never makes the user timeout longer than this", least=1
    )
    timeout_reset: bool = setting(
        True,
        "",
        "3.10.8",
        "send a RST when the user timeout gives up (the RFC only tells the user; many stacks do both)",
    )
    soft_errors: bool = setting(
        True, "", "3.9.1.8", "tell the user of soft errors: ICMP that is not fatal, r1 retransmissions (SHLD-20)"
    )
    path_mtu_discovery: bool = setting(
        True, "", "3.7.2", 'heed the MTU that "fragmentation needed" tells (RFC 1191), or report it as a soft error'
    )
    unreachable: Literal["hard", "opening", "hard_opening"] = setting(
        "hard",
        "",
        "3.9.2.2",
        "ICMP that ends a connection: hard errors at any time, all of them while it opens, or hard ones then",
    )
    r1: int = setting(
        3, "count", "3.8.3", "retransmissions of one segment after which the user is told; 0 for never", least=0
    )
    r2: int = setting(
        0, "count", "3.8.3", "retransmissions of one segment that end the connection; 0: user_timeout decides", least=0
    )
    syn_r2: int = setting(
        0, "count", "3.8.3", "retransmissions of a SYN that end the attempt; 0: user_timeout decides", least=0
    )
    syn_ack_r2: int = setting(
        0, "count", "3.8.3", "retransmissions of a listener's SYN,ACK that end the attempt; 0: as syn_r2", least=0
    )
    keepalive: bool = setting(False, "", "3.8.4", "probe a peer that has been silent, to learn whether it is there")
    keepalive_idle: int = setting(7200 * SECOND, "us", "3.8.4", "silence before the first keepalive probe", least=1)
    keepalive_interval: int = setting(
        75 * SECOND, "us", "3.8.4", "from one unanswered keepalive probe to the next", least=1
    )
    keepalive_count: int = setting(9, "count", "3.8.4", "unanswered keepalive probes that end the connection", least=1)
    keepalive_garbage: bool = setting(
        False, "", "3.8.4", "a keepalive probe repeats one octet, for peers that answer nothing less (MAY-6)"
    )
    keepalive_reset: bool = setting(True, "", "3.8.4", "send a RST when keepalive gives up (the RFC does not say)")
    fin_wait_2_timeout: int = setting(
        0, "us", "3.6.1", "how long FIN-WAIT-2 waits for a FIN when the user is gone; 0 for ever", least=0
    )
    half_duplex_close: bool = setting(
        False, "", "3.6.1", "CLOSE gives up both directions (MAY-1): text unread, or later, is answered by a RST"
    )
    unwanted_text_reset: Literal["connection", "segment"] = setting(
        "connection", "", "3.6.1", "RST for text after such a CLOSE: SEQ=SND.NXT with ACK, or SEQ=SEG.ACK without"
    )
    shutdown_read: Literal["discard", "keep"] = setting(
        "discard",
        "",
        "3.9.1",
        "text for a user who reads no more is thrown away; or kept, and unwanted once our FIN is sent",
    )
    reset_told: Literal["always", "not_after_fin", "to_readers"] = setting(
        "always",
        "",
        "3.9.1",
        "a peer's RST is ECONNRESET; but EPIPE when its FIN came before; or EPIPE to all who write",
    )
    linger_expired: Literal["continue", "reset"] = setting(
        "continue", "", "3.9.1", "a lingering close whose time is over: TCP goes on alone, or ends it by a RST"
    )
    rto_initial: int = setting(
        1 * SECOND, "us", "RFC 6298 2.1", "retransmission timeout before any measurement", least=1
    )
    rto_min: int = setting(1 * SECOND, "us", "RFC 6298 2.4", "retransmission timeout: never shorter", least=1)
    rto_max: int = setting(
        60 * SECOND, "us", "RFC 6298 2.5", "retransmission timeout: never longer, however often it doubled", least=1
    )
    rto_granularity: int = setting(
        1 * MILLISECOND,
        "us",
        "RFC 6298 2.3",
        "the clock granularity G: the least that is added to the smoothed round trip (Linux: 200 ms)",
        least=1,
    )
    rto_extra: int = setting(
        0, "us", "RFC 6298 2.4", "what is added to every retransmission timeout, for slow clocks", least=0
    )

    reset_ack: bool = setting(
        True, "", "3.10.5", "a RST that ends an existing connection carries ACK (the RFC's has none; most stacks' has)"
    )
    reset_validity: Literal["exact", "window"] = setting(
        "exact", "", "RFC 5961 3.2", "which RST counts: at RCV.NXT exactly, or anywhere in the window (RFC 793)"
    )
    window_edge: Literal["outside", "inside", "inside_but_rst"] = setting(
        "outside",
        "",
        "3.10.7.4",
        "a segment without length just behind the window is not acceptable, or is, or is unless it is a RST",
    )
    without_ack: Literal["fifth", "first", "first_in_time_wait"] = setting(
        "fifth", "", "3.10.7.4", "what has no ACK, RST, SYN is dropped in step 5, or first; first: if we have a user"
    )
    syn_fin: Literal["take", "drop"] = setting(
        "take", "", "3.10.7.2", "a SYN with FIN opens a connection as if it were alone, or is dropped in LISTEN"
    )
    simultaneous_open: Literal["rfc", "linux"] = setting(
        "rfc", "", "3.5", "SYN,ACK for a crossing SYN: as for others; or it has all options and is acknowledged"
    )
    syn_again: int = setting(
        0, "us", "3.10.7.3", "how soon a SYN leaves again after the ACK of something else; 0: it has time", least=0
    )
    repeated_syn: Literal["acknowledge", "repeat", "repeat_to_any"] = setting(
        "acknowledge", "", "3.10.7.4", "the SYN again in SYN-RECEIVED: an ACK, our SYN,ACK again, or that for any SYN"
    )
    handshake_syn: Literal["forget", "reset"] = setting(
        "forget", "", "3.10.7.4", "another SYN in the window returns us to LISTEN in silence, or with a RST"
    )
    handshake_reset: Literal["any", "bare"] = setting(
        "any", "", "3.10.7.4", "a RST for our SYN,ACK counts with ACK, too, or only without, as such a RST must be"
    )
    reset_at_fin: bool = setting(
        False,
        "",
        "RFC 5961 3.2",
        "a RST with the number of the FIN before it counts: some abort so, and answer nothing",
    )
    syn_validity: Literal["challenge", "window"] = setting(
        "challenge",
        "",
        "RFC 5961 4.2",
        "a SYN in a synchronized state: a challenge ACK, or a reset if in the window (RFC 793)",
    )
    challenge_ack_limit: int = setting(
        10, "count", "RFC 5961 7", "challenge ACKs per interval, each connection for itself", least=0
    )
    challenge_ack_interval: int = setting(
        5 * SECOND, "us", "RFC 5961 7", "the interval of challenge_ack_limit", least=1
    )
    time_wait_rst: Literal["close", "ignore"] = setting(
        "close", "", "3.10.7.4", "a RST in TIME-WAIT closes at once, or is ignored (RFC 1337)"
    )
    time_wait_window: Literal["open", "closed"] = setting(
        "open", "", "3.10.7.4", "TIME-WAIT accepts what is in the window, or an empty segment or a RST at RCV.NXT only"
    )
    time_wait_iss: Literal["any", "next"] = setting(
        "any", "", "3.6.1", "a connection opened in TIME-WAIT has an ISS like others if it is larger, or the next free"
    )
    time_wait_reopen: bool = setting(
        True, "", "3.6.1", "a SYN with a number never used before may open a new connection in TIME-WAIT (MAY-2)"
    )
    time_wait_limit: int = setting(
        0, "count", "3.6.1", "connections in TIME-WAIT; beyond it the oldest is forgotten; 0: no limit", least=0
    )
    invalid_header: Literal["drop", "reset"] = setting(
        "drop",
        "",
        "3.5.2",
        "reset on reserved bits, SYN,FIN, a bad option length or data offset (see RFC 3360), or not",
    )
    max_connections: int = setting(0, "count", "3.10.1", "connections of a host at a time; 0: no limit", least=0)
    max_half_open: int = setting(
        0, "count", "RFC 4987", "connections in SYN-RECEIVED that came from listeners; 0: no limit", least=0
    )
    max_orphans: int = setting(
        0, "count", "3.6.1", "connections whose user is gone; one more is reset; 0: no limit", least=0
    )
    max_memory: int = setting(
        0, "octets", "3.10.2", "text that all connections of a host hold; the greediest is reset; 0: no limit", least=0
    )
    defer_accept: int = setting(
        0, "us", "3.10.7.4", "how long a listener waits for text before it takes the ACK of its SYN alone", least=0
    )
    reset_in_queue: Literal["forget", "tell"] = setting(
        "forget", "", "3.9.1", "a connection reset before the user accepts it is forgotten, or accepted with its error"
    )
    socket_buffers: Literal["as asked", "doubled"] = setting(
        "as asked", "", "3.8.6", "SO_RCVBUF and SO_SNDBUF are told as they were set, or doubled, and decide the shift"
    )
    overload: Literal["drop", "reset"] = setting(
        "drop", "", "3.5.2", "a SYN that there are no resources for is dropped, or refused by a RST"
    )

    @property
    def scale(self) -> int:
        """The shift count that is announced: at most 1/32 of the buffer is lost by counting so coarsely."""
        return min(self.window_shift, max(self.rcv_buffer.bit_length() - 6, 0))

    def __post_init__(self) -> None:
        if self.rto_min > self.rto_max:
            raise ValueError(f"rto_min ({self.rto_min} us) is longer than rto_max ({self.rto_max} us)")
        if self.user_timeout_least > self.user_timeout_most:
            raise ValueError(
                f"user_timeout_least ({self.user_timeout_least} us) is longer than "
                f"user_timeout_most ({self.user_timeout_most} us)"
            )


_RFC9293 = TcpConfig()

#: Sets of settings by name. A host of a scenario names one and may override its fields. `linux` is as kernel 6.18
#: does by default, `bsd` as the public tests of FreeBSD's stack describe it.
PROFILES: dict[str, TcpConfig] = {
    "rfc9293": _RFC9293,
    "linux": replace(
        _RFC9293,
        rcv_buffer=64240,  # 44 segments
        option_layout="linux",
        window_scale=True,
        window_shift=8,
        timestamps=True,
        missing_timestamps="accept",
        delayed_ack=40 * MILLISECOND,
        quick_acks=16,
        interactive_acks=True,
        delayed_fin_ack=True,
        sack=True,
        duplicate_sack=True,
        sack_fin=True,
        ecn="passive",
        push="burst",
        slow_start_growth=0,
        used_window_grows=True,
        half_window=True,
        syn_ack_r2=5,
        reset_in_queue="tell",
        socket_buffers="doubled",
        limited_transmit=True,
        nagle=True,
        msl=30 * SECOND,
        timeout_reset=False,
        r2=15,
        syn_r2=6,
        fin_wait_2_timeout=60 * SECOND,
        unreachable="opening",
        unwanted_text_reset="segment",
        shutdown_read="keep",
        reset_told="not_after_fin",
        without_ack="first",
        syn_fin="drop",
        syn_again=4 * MILLISECOND,  # two ticks of the kernel's clock, whose length differs
        simultaneous_open="linux",
        repeated_syn="repeat",
        handshake_syn="reset",
        reset_at_fin=True,
        time_wait_window="closed",
        time_wait_iss="next",
        nagle_waits_for="small",
        loss_probe=True,
        window_probe="empty",
        rto_min=200 * MILLISECOND,
        rto_granularity=200 * MILLISECOND,
        rto_max=120 * SECOND,
        window_edge="inside",
        challenge_ack_limit=1,
        challenge_ack_interval=500 * MILLISECOND,
    ),
    "bsd": replace(
        _RFC9293,
        rcv_buffer=65536,
        whole_segments=True,
        window_steps=False,
        window_edge="inside_but_rst",
        repeated_syn="repeat_to_any",
        handshake_reset="bare",
        nagle_waits_for="earlier",
        reset_told="to_readers",
        unreachable="hard_opening",
        connect_timeout=75 * SECOND,
        syn_ack_r2=3,
        rto_extra=200 * MILLISECOND,
        challenge_ack_limit=5,
        challenge_ack_interval=1 * SECOND,
        option_layout="bsd",
        window_scale=True,
        window_shift=6,
        timestamps=True,
        sack=True,
        duplicate_sack=True,
        ecn="passive",
        limited_transmit=True,
        slow_start_growth=2,
        nagle=True,
        msl=30 * SECOND,
        fin_wait_2_timeout=600 * SECOND,
        keepalive_count=8,
        unwanted_text_reset="segment",
        rto_min=30 * MILLISECOND,
        rto_max=64 * SECOND,
        time_wait_rst="ignore",
        time_wait_window="closed",
        without_ack="first_in_time_wait",
    ),
}
