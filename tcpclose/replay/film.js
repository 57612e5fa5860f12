"use strict";
// From the time of the run to the time of the film, and back; and what holds at any place of the film.
//
// Microseconds lie between the events of one exchange and minutes between exchanges, so time cannot pass evenly. Each
// event gets its place in the film (`at`, in seconds at speed 1): never before the event that came before it, as far
// behind as the run's time says, but no further than a fold. Events of one instant at one host are kept apart, so
// that one can see their order. The ladder draws the same places, so its arrows and the film cannot disagree.

const FLIGHT = 0.8;  // seconds of film for a segment's usual way
const LONGEST = 2.2; // what would take longer is folded
const FOLD = 1.0;    // to so much
const APART = 0.19;  // between events of one instant at one host,
const BURST = 1.7;   // which all together take no longer than this
const LEAST = 0.35;  // for any way at all: a link that is down loses a segment in the instant in which it is sent
const MOST = 240;    // for the whole run, at speed 1
const LEAD = 0.4;    // before the first event

// What has a place of its own on a lifeline, and at which of it one can stop when stepping.
const ON_LINE = new Set(["send", "receive", "lost"]);
const NOTED = new Set(["state", "call", "timer", "end", "drop"]);
const STOPS = new Set(["send", "receive", "lost", "call", "timer", "fault", "drop", "gap", "odd"]);
// Signals that only count octets; there is one for every segment, and the TCB shows the same.
const QUIET = new Set(["TEXT", "SENT"]);

function isNoted(event) {
  return NOTED.has(event.k) || (event.k === "signal" && !QUIET.has(event.signal));
}

// The first place in a sorted list that is greater than `value`.
function after(sorted, value) {
  let low = 0, high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] <= value) low = middle + 1; else high = middle;
  }
  return low;
}

class Film {
  constructor(connection, outages) {
    this.connection = connection;
    this.events = connection.events;
    this.flights = connection.flights.map((flight) => ({ ...flight, sent: null, arrived: null, gone: null }));
    this.events.forEach((event, index) => {
      if (event.k === "send") this.flights[event.f].sent = index;
      if (event.k === "receive") this.flights[event.f].arrived = index;
      if (event.k === "lost") this.flights[event.f].gone = index;
    });
    this.times = this.events.map((event) => event.t);
    this.folds = [];
    this.at = this.#place();
    this.length = this.at.length ? this.at[this.at.length - 1] + 0.6 : 0;
    this.hurry = Math.max(1, this.length / MOST); // a long run plays so many times faster
    this.#ends();
    this.stops = this.#stops();
    this.states = this.#collect("state", "fault");
    this.blocks = this.#collect("tcb");
    this.outages = outages
      .filter((outage) => outage.connection === null || outage.connection === connection.name)
      .map((outage) => ({ ...outage, from: this.filmOf(outage.start), until: outage.end === null ? Infinity : this.filmOf(outage.end) }))
      .filter((outage) => this.times.length && outage.start <= this.times.at(-1) && (outage.end ?? Infinity) >= this.times[0]);
  }

  // Microseconds of the run for one second of film: so that the usual flight takes its time.
  #pace() {
    const ways = this.flights
      .map((flight) => [flight.sent, flight.arrived ?? flight.gone])
      .filter(([sent, end]) => sent !== null && end !== null)
      .map(([sent, end]) => this.times[end] - this.times[sent])
      .filter((way) => way > 0)
      .sort((a, b) => a - b);
    return (ways.length ? ways[ways.length >> 1] : 10000) / FLIGHT;
  }

  // How many segments leave and arrive at one host in one instant.
  #crowd() {
    const crowd = new Map();
    for (const event of this.events) {
      const key = event.h + " " + event.t;
      if (ON_LINE.has(event.k)) crowd.set(key, (crowd.get(key) ?? 0) + 1);
    }
    return crowd;
  }

  #place() {
    const pace = this.#pace(), crowd = this.#crowd();
    const line = new Map(), notes = new Map(), sent = new Map();
    let film = LEAD;
    return this.events.map((event, index) => {
      const past = index ? event.t - this.times[index - 1] : 0;
      const before = film;
      const room = past / pace;
      film += room > LONGEST ? FOLD : room;
      for (const [holds, places] of [[ON_LINE.has(event.k), line], [isNoted(event), notes]]) {
        if (!holds) continue;
        const apart = places === line ? Math.min(APART, BURST / crowd.get(event.h + " " + event.t)) : APART;
        film = Math.max(film, (places.get(event.h) ?? -1) + apart);
        places.set(event.h, film);
      }
      if (event.k === "send") sent.set(event.f, film);
      else if (sent.has(event.f)) film = Math.max(film, sent.get(event.f) + LEAST);
      if (event.k === "gap") film += APART;
      if (room > LONGEST || event.k === "gap") {
        this.folds.push({ from: before, until: film, length: past, text: event.k === "gap" ? event.text : span(past) + " pass" });
      }
      return film;
    });
  }

  // Where each flight begins and ends in the film. What nobody saw leave or land is given a usual flight.
  #ends() {
    for (const flight of this.flights) {
      const end = flight.arrived ?? flight.gone;
      flight.start = flight.sent !== null ? this.at[flight.sent] : (end !== null ? this.at[end] - FLIGHT : 0);
      flight.finish = end !== null ? this.at[end] : flight.start + FLIGHT;
      flight.fate = flight.gone !== null || flight.vanished ? "lost" : flight.arrived !== null ? "arrived" : "unknown";
    }
  }

  // Where stepping stops: at each event with all that it brought about at its host in the same instant.
  #stops() {
    const stops = [];
    let last = null;
    this.events.forEach((event, index) => {
      const joins = last && !STOPS.has(event.k) && event.h === last.h && event.t === last.t;
      if (joins) stops[stops.length - 1] = this.at[index];
      else if (event.k !== "tcb" && !(event.k === "signal" && QUIET.has(event.signal))) {
        stops.push(this.at[index]);
        last = event;
      }
    });
    return [...new Set(stops)];
  }

  // By host, the places of what sets a state or the variables of the TCB.
  #collect(...kinds) {
    const found = new Map();
    this.events.forEach((event, index) => {
      if (!kinds.includes(event.k) || (event.k === "fault" && !event.new)) return;
      if (!found.has(event.h)) found.set(event.h, []);
      found.get(event.h).push(index);
    });
    return found;
  }

  // How many events have happened at a place of the film. Sums of floats deserve a little leeway.
  done(film) {
    return after(this.at, film + 1e-6);
  }

  timeOf(film) {
    const index = this.done(film);
    if (!index) return this.times.length ? this.times[0] : 0;
    if (index === this.at.length) return this.times[index - 1];
    const [f0, f1, t0, t1] = [this.at[index - 1], this.at[index], this.times[index - 1], this.times[index]];
    return f1 > f0 ? Math.round(t0 + (t1 - t0) * Math.min(1, (film - f0) / (f1 - f0))) : t0;
  }

  // All that happened up to and at this time has happened.
  filmOf(time) {
    const index = after(this.times, time);
    if (!index) return 0;
    if (index === this.times.length) return this.at[index - 1];
    const [t0, t1] = [this.times[index - 1], this.times[index]];
    return this.at[index - 1] + (this.at[index] - this.at[index - 1]) * ((time - t0) / (t1 - t0));
  }

  #latest(places, count) {
    const index = places ? after(places, count - 1) - 1 : -1;
    return index < 0 ? null : this.events[places[index]];
  }

  // The state of a host after `count` events; "" where nobody knows.
  stateAfter(host, count) {
    const change = this.#latest(this.states.get(host), count);
    return change ? change.new : this.connection.hosts.find((other) => other.name === host).before;
  }

  changeAfter(host, count) {
    const change = this.#latest(this.states.get(host), count);
    return change && change.k === "state" ? change : null;
  }

  // It was in a state with a peer once: CLOSED is then the end, not the beginning.
  hasLived(host, count) {
    const places = this.states.get(host);
    return Boolean(places && places[0] < count);
  }

  // The TCB of a host after `count` events, or why there is none to show.
  blockAfter(host, count) {
    const known = this.connection.hosts.find((other) => other.name === host);
    const state = this.stateAfter(host, count);
    if (this.connection.loose) return { why: "none: it is of no connection" };
    if (state === "CLOSED") return { why: "none: it is CLOSED" };
    if (!known.tcb) return { why: "not known: its TCP does not tell" };
    if (state === "LISTEN") return { why: "none yet: it is in LISTEN" };
    if (state.startsWith("(")) return { why: "gone with the crash" };
    const told = this.#latest(this.blocks.get(host), count);
    return told ? { values: told.v } : { why: "not known" };
  }

  // The first place behind an event where all is over that it brought about at its host.
  settled(index) {
    const event = this.events[index];
    let end = index + 1;
    while (end < this.events.length && this.events[end].t === event.t) {
      const next = this.events[end];
      if (next.h === event.h && STOPS.has(next.k)) break;
      end += 1;
    }
    return end;
  }

  // What a flight found and left at one of its ends: states and TCBs before and after, or null if nobody saw it there.
  encounter(index) {
    if (index === null) return null;
    const host = this.events[index].h, end = this.settled(index);
    return {
      host,
      states: [this.stateAfter(host, index), this.stateAfter(host, end)],
      blocks: [this.blockAfter(host, index), this.blockAfter(host, end)],
    };
  }
}
