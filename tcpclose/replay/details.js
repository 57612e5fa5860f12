"use strict";
// One segment: its fields, the rows that it fired with their sections, and the TCBs before and after.

class Details {
  constructor(place, go) {
    this.place = place;
    this.go = go;
    this.shown = undefined;
  }

  // `number` is the flight to show, `pinned` whether somebody chose it; else it is the last one that did something, and
  // while it is under way nothing of its future is told.
  show(film, number, count, pinned) {
    const end = number === null ? null : film.flights[number].arrived ?? film.flights[number].gone;
    const early = !pinned && end !== null && end >= count;
    const key = [film.connection.name, number, pinned, early].join(" ");
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
      html("p", {}, [this.#fate(film, flight, early), ...remarks(flight, false)].join(" · ")));
    if (pinned) {
      const free = html("button", { type: "button", class: "free", title: "Follow the time again (Esc)" }, "Follow");
      free.addEventListener("click", () => this.go(null));
      head.append(free);
    }
    this.place.replaceChildren(head, html("div", { class: "columns" },
      this.#fields(flight), this.#rows(flight, early), this.#blocks(film, flight, early)));
  }

  #fate(film, flight, early) {
    const left = flight.sent !== null ? "sent at " + seconds(film.times[flight.sent]) : "nobody saw it leave";
    const end = flight.arrived ?? flight.gone;
    if (early) return left + ", under way";
    if (flight.vanished) return left + ", never received, though no link lost it";
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

  #rows(flight, early) {
    if (early) return html("div", {}, html("h4", {}, "Row that it fires"), html("p", { class: "none" }, "It is under way."));
    const told = flight.rows.length
      ? flight.rows.map(rowOf)
      : [html("p", { class: "none" }, flight.fate === "lost" ? "None: it did not arrive."
        : flight.fate === "unknown" ? "Not known: its target keeps no trace." : "None: it changed no state.")];
    return html("div", {}, html("h4", {}, flight.rows.length > 1 ? "Rows that it fired" : "Row that it fired"), ...told);
  }

  #blocks(film, flight, early) {
    const there = early ? null : film.encounter(flight.arrived), here = film.encounter(flight.sent);
    if (!there && !here) return html("p", { class: "none" }, "Nobody saw it leave or arrive.");
    const parts = [];
    if (there) {
      // Of a kernel a change may be known a little later than what brought it about: the rows know.
      const [old, state] = flight.rows.length ? [flight.rows[0].old, flight.rows.at(-1).new] : there.states;
      const table = html("table", { class: "tcb" });
      parts.push(html("h4", {}, `TCB of ${there.host}, around its arrival`));
      if (showBlocks(table, ...there.blocks)) parts.push(table);
      const [before, later] = there.blocks.map((block) => block.why);
      if (before && before === later) parts.push(html("p", { class: "none" }, before));
      else if (before || later) parts.push(html("p", { class: "none" }, before ? "before: " + before : "after: " + later));
      if (state) parts.push(html("p", { class: "way" }, old === state ? `${state} stays` : `${old} → ${state}`));
    }
    if (here) {
      const list = html("dl", { class: "block" });
      showBlock(list, here.blocks[1]);
      parts.push(html("h4", {}, `TCB of ${here.host}, when it sent it`), list);
    }
    return html("div", { class: "blocks" }, ...parts);
  }
}
