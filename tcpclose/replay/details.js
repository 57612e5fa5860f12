"use strict";
// One segment: its fields, the rows that it fired with their sections, and the TCBs before and after.

class Details {
  constructor(place, go) {
    this.place = place;
    this.go = go;
    this.shown = undefined;
  }

  // `number` is the flight to show, `pinned` whether somebody chose it; else it is the last one that did something.
  show(film, number, pinned) {
    const key = film.connection.name + " " + number + pinned;
    if (key === this.shown) return;
    this.shown = key;
    if (number === null) {
      this.place.replaceChildren(html("p", { class: "none" }, film.flights.length
        ? "No segment has been sent yet. Play, or choose one in the ladder."
        : "No segment of this connection was seen."));
      return;
    }
    const flight = film.flights[number];
    const head = html("div", { class: "dhead" },
      html("h3", { class: kindOf(flight) }, html("span", { class: "chip" }, flight.ctl || "no bits"), ` ${flight.from} → ${flight.to}`),
      html("p", {}, [this.#fate(film, flight), ...remarks(flight).filter((word) => !flight.lost || !word.endsWith(flight.lost.reason))].join(" · ")));
    if (pinned) {
      const free = html("button", { type: "button", class: "free", title: "Follow the time again (Esc)" }, "Follow");
      free.addEventListener("click", () => this.go(null));
      head.append(free);
    }
    this.place.replaceChildren(head, html("div", { class: "columns" },
      this.#fields(flight), this.#rows(flight), this.#blocks(film, flight)));
  }

  #fate(film, flight) {
    const left = flight.sent !== null ? "sent at " + seconds(film.times[flight.sent]) : "nobody saw it leave";
    const end = flight.arrived ?? flight.gone;
    if (end === null) return left + ", nobody saw what became of it";
    const past = flight.sent !== null ? film.times[end] - film.times[flight.sent] : null;
    const length = past === null ? " at " + seconds(film.times[end]) : past ? " after " + span(past) : " at once";
    if (flight.fate === "arrived") return left + ", arrived" + length;
    const why = { down: "the link was down", middlebox: "a middlebox did not pass it on", corrupt: "damaged, so its receiver drops it" }[flight.lost.reason];
    return `${left}, lost${length} on ${flight.lost.link}: ${why || flight.lost.reason}${flight.lost.rule ? ` (${flight.lost.rule})` : ""}`;
  }

  #fields(flight) {
    const list = html("dl", {});
    const field = (name, value, more) => list.append(html("dt", {}, name), html("dd", {}, value, more ? html("small", {}, " " + more) : null));
    field("SEG.SEQ", grouped(flight.seq), "= " + flight.rawseq);
    field("SEG.ACK", flight.ack === null ? "–" : grouped(flight.ack), flight.ack === null ? "no ACK bit" : "= " + flight.rawack);
    field("CTL", flight.ctl || "–");
    field("text", flight.len ? `${grouped(flight.len)} octets` : "none");
    field("SEG.WND", grouped(flight.wnd));
    field("from", flight.src);
    field("to", flight.dst);
    if (flight.id) field("IPv4 id", String(flight.id));
    const filter = `tcp.srcport == ${flight.src.split(":").pop()} && tcp.seq_raw == ${flight.rawseq}` + (flight.id ? ` && ip.id == ${flight.id}` : "");
    return html("div", {}, html("h4", {}, "Fields"), list,
      html("p", { class: "filter" }, "in a capture: ", html("code", {}, filter)));
  }

  #rows(flight) {
    const told = flight.rows.length
      ? flight.rows.map(rowOf)
      : [html("p", { class: "none" }, flight.fate === "lost" ? "None: it did not arrive."
        : flight.fate === "unknown" ? "Not known: its target keeps no trace." : "None: it changed no state.")];
    return html("div", {}, html("h4", {}, flight.rows.length > 1 ? "Rows that it fired" : "Row that it fired"), ...told);
  }

  #blocks(film, flight) {
    const there = film.encounter(flight.arrived), here = film.encounter(flight.sent);
    if (!there && !here) return html("p", { class: "none" }, "Nobody saw it leave or arrive.");
    const table = html("table", { class: "tcb" });
    const heads = [], blocks = [];
    if (here) {
      heads.push(here.host + " sent");
      blocks.push(here.blocks[1]);
    }
    if (there) {
      heads.push(there.host + " before", "after");
      blocks.push(...there.blocks);
    }
    const known = showBlocks(table, heads, blocks);
    const lacks = blocks.map((block, place) => (block.why ? html("p", { class: "none" }, `${heads[place]}: ${block.why}`) : null));
    const [old, state] = there ? there.states : [];
    return html("div", { class: "blocks" }, html("h4", {}, "TCB before and after"), known ? table : null, ...lacks,
      there ? html("p", { class: "way" }, `${there.host}: `, old === state ? (state || "state unknown") + " stays" : `${old} → ${state}`) : null);
  }
}
