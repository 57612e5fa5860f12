"""TCP (RFC 9293): segments, calls and the time go in; segments, news and the next deadline come out. No I/O, no clock.

Begin with these:

    fsm.py          the state machine as a table, with the section of each row
    segment.py      the segment, and the arithmetic of its numbers
    config.py       all that can be set, and the profiles that set it
    connection.py   one connection: it examines what comes, and posts events to the table
    stack.py        all connections of a host, listeners and limits

What they are made of:

    machine.py      what the table's rows do to a connection; tcb.py its variables; interface.py what it tells
    timers.py       the timeouts of a connection
    sending.py      the queue, retransmission and windows; scoreboard.py what SACK reports
    receiving.py    reassembly and the window that is offered; acknowledging.py when that is acknowledged
    keepalive.py  timestamps.py  options.py     what their names say
    listening.py  time_wait.py  isn.py          of a stack: its listeners, TIME-WAIT as a table, numbers nobody guesses
    datagram.py  addresses.py                   the sockets of a segment, and what is asked of the IP below
    sockets.py      the POSIX view of a stack
"""
