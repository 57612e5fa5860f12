"use strict";
// One host: its state diagram with the state lit and the row that fired last, its TCB, and what its user is told.

const VARIABLES = ["SND.UNA", "SND.NXT", "SND.WND", "RCV.NXT", "RCV.WND"];
const USERS_LINES = 3;

// Where RFC 9293 says so: "3.10.7.4 fifth" is the fifth step of section 3.10.7.4.
function cite(rfc) {
  const [section, step] = rfc.split(" ");
  const link = html("a", {
    href: "https://www.rfc-editor.org/rfc/rfc9293#section-" + section,
    rel: "noreferrer", target: "_blank", class: "cite",
  }, "RFC 9293, " + section);
  return html("span", { class: "rfc" }, link, step ? ", " + step + " step" : "");
}

// A row of the table in words: from where, on what, to where, what is done, and who says so.
function rowOf(row) {
  const told = [html("p", { class: "way" },
    html("b", {}, row.old), " → ", html("b", {}, row.new === row.old ? "stays" : row.new))];
  told.push(html("p", {}, html("i", {}, row.event)));
  if (row.do.length) told.push(html("p", { class: "do" }, row.do.join("; ")));
  if (row.cause) told.push(html("p", { class: "do" }, "ends the connection: " + row.cause));
  const source = row.source ? "inferred from " + row.source : "";
  const last = html("p", { class: "from" });
  if (row.rfc) last.append(cite(row.rfc));
  if (source) last.append(row.rfc ? " · " + source : source);
  if (row.rfc || source) told.push(last);
  return html("div", { class: "row" }, ...told);
}

function signalWords(event) {
  return event.signal + (event.detail ? " " + event.detail : "");
}

class Machine {
  constructor(place, side, diagram) {
    this.side = side;
    this.diagram = diagram;
    this.name = html("h2", {});
    this.endpoint = html("p", { class: "endpoint" });
    this.badge = html("p", { class: "badge" });
    this.picture = this.#draw();
    this.fired = html("div", { class: "fired" });
    this.block = html("dl", { class: "block" });
    this.user = html("ul", { class: "user" });
    this.userhead = html("h3", {});
    place.replaceChildren(
      html("div", { class: "who" }, html("div", {}, this.name, this.endpoint), this.badge),
      this.picture,
      html("div", { class: "facts" },
        html("div", {}, html("h3", {}, "Row that fired last"), this.fired),
        html("div", {}, this.userhead, this.user),
        html("div", {}, html("h3", {}, "TCB now"), this.block)));
    this.place = place;
  }

  #draw() {
    const { size, box, places, arrows, end } = this.diagram;
    const root = svg("svg", { viewBox: `0 0 ${size[0]} ${size[1]}`, role: "img", class: "diagram" });
    const heads = ["plain", "taken", "lit"].map((kind) =>
      svg("marker", { id: `${this.side}-${kind}`, class: "head " + kind, viewBox: "0 0 8 8", refX: 7, refY: 4,
        markerWidth: 7, markerHeight: 7, markerUnits: "userSpaceOnUse", orient: "auto-start-reverse" },
      svg("path", { d: "M0,0.8 L8,4 L0,7.2 z" })));
    root.append(svg("defs", {}, ...heads));
    this.ways = arrows.map((arrow) => {
      const line = svg("polyline", { points: arrow.points.map((point) => point.join(",")).join(" ") });
      line.append(svg("title", {}, `${arrow.from} → ${arrow.to.split(",")[0]}: ${arrow.label}`));
      root.append(line);
      return line;
    });
    this.shortcut = svg("path", { class: "shortcut", visibility: "hidden", "marker-end": `url(#${this.side}-lit)` });
    root.append(this.shortcut);
    this.boxes = new Map();
    for (const [state, [x, y]] of Object.entries(places)) {
      const rect = svg("rect", { x: x - box[0] / 2, y: y - box[1] / 2, width: box[0], height: box[1], rx: 8 });
      const text = svg("text", { x, y }, state === end ? "CLOSED" : state);
      const group = svg("g", { class: "state" }, rect, text);
      root.append(group);
      this.boxes.set(state, { group, rect, text, at: [x, y] });
    }
    return root;
  }

  // Another connection, or another host.
  show(film, host) {
    this.film = film;
    this.host = host;
    this.place.hidden = !host;
    if (!host) return;
    this.known = film.connection.hosts.find((other) => other.name === host);
    this.place.setAttribute("aria-label", "Host " + host);
    say(this.name, host);
    say(this.endpoint, this.known.endpoint);
    say(this.userhead, "User of " + host);
    this.news = [];
    film.events.forEach((event, index) => {
      if (event.h === host && (event.k === "call" || event.k === "end" || (event.k === "signal" && isNoted(event)))) this.news.push(index);
    });
    this.count = -1;
  }

  #box(state, count) {
    const name = state === "CLOSED" && this.film.hasLived(this.host, count) ? this.diagram.end : state;
    return this.boxes.get(name);
  }

  update(count) {
    if (!this.host || count === this.count) return;
    this.count = count;
    const state = this.film.stateAfter(this.host, count);
    const change = this.film.changeAfter(this.host, count);
    this.#light(state, count, change);
    say(this.badge, state || "state unknown");
    this.#colour(this.badge.style, "background-color", "color", state);
    this.fired.replaceChildren(change
      ? rowOf(change.row)
      : html("p", { class: "none" }, this.#silence(state)));
    showBlock(this.block, this.film.blockAfter(this.host, count));
    this.#tell(count);
  }

  #silence(state) {
    if (!this.known.before && !this.film.states.has(this.host)) return "this host keeps no trace of its states";
    return state.startsWith("(") ? "none: the host is off" : "none yet";
  }

  #colour(style, fill, ink, state) {
    const [paper, words] = this.diagram.colours[state] || ["", ""];
    style.setProperty(fill, paper);
    style.setProperty(ink, words);
  }

  #light(state, count, change) {
    const taken = new Set(), passed = new Set();
    let marks = this.film.states.get(this.host) || [];
    marks = marks.slice(0, after(marks, count - 1));
    for (const index of marks) {
      const event = this.film.events[index];
      if (event.row && event.row.arrow !== undefined && event.row.arrow !== null) taken.add(event.row.arrow);
      if (event.old) passed.add(event.old);
    }
    const lit = this.#rowsOfMoment(marks);
    this.ways.forEach((way, number) => {
      const kind = lit.has(number) ? "lit" : taken.has(number) ? "taken" : "plain";
      put(way, "class", "arrow " + kind);
      put(way, "marker-end", `url(#${this.side}-${kind})`);
    });
    const here = this.#box(state, count);
    for (const [name, box] of this.boxes) {
      const current = box === here;
      put(box.group, "class", "state" + (current ? " current" : "") + (!current && passed.has(name) ? " passed" : ""));
      this.#colour(box.rect.style, "fill", "unused", current ? state : "");
      this.#colour(box.text.style, "unused", "fill", current ? state : "");
    }
    this.#cut(change, here);
    put(this.picture, "aria-label", `State machine of ${this.host}: ${state || "state unknown"}`);
  }

  // The arrows of the last moment: one segment may fire two rows.
  #rowsOfMoment(marks) {
    const lit = new Set();
    const last = marks.length ? this.film.events[marks[marks.length - 1]] : null;
    for (const index of marks) {
      const event = this.film.events[index];
      if (event.row && event.t === last.t) lit.add(event.row.arrow);
    }
    return lit;
  }

  // A row that leads straight to CLOSED has no arrow in the diagram: it would cross all others.
  #cut(change, here) {
    const from = change && change.new === "CLOSED" && change.old !== "CLOSED" && (change.row.arrow ?? null) === null
      ? this.boxes.get(change.old) : null;
    put(this.shortcut, "visibility", from && here ? "visible" : "hidden");
    if (!from || !here) return;
    const [x0, y0] = from.at, [x1, y1] = here.at;
    const half = this.diagram.box[1] / 2;
    const bend = x0 === x1 ? this.diagram.size[0] - 6 : (x0 + x1) / 2;
    put(this.shortcut, "d", `M${x0},${y0 + half} Q${bend},${(y0 + y1) / 2} ${x1},${y1 - half - 1}`);
  }

  #tell(count) {
    const place = after(this.news, count - 1);
    const lines = this.news.slice(Math.max(0, place - USERS_LINES), place).reverse().map((index) => {
      const event = this.film.events[index];
      const when = html("span", { class: "when" }, seconds(event.t));
      if (event.k === "call") {
        return html("li", { class: "called" }, when, "calls ", html("b", {}, event.text), event.refused ? ": refused, " + event.refused : "");
      }
      if (event.k === "end") {
        const line = html("li", { class: event.cause === "graceful" ? "ended graceful" : "ended" }, when, "released: ", html("b", {}, event.cause), " ");
        if (event.rfc) line.append(cite(event.rfc));
        return line;
      }
      return html("li", { class: "told" }, when, "is told ", html("b", {}, signalWords(event)));
    });
    this.user.replaceChildren(...(lines.length ? lines : [html("li", { class: "none" }, "nothing yet")]));
  }
}

function figure(block, place) {
  const value = block.values ? block.values[place] : null;
  return value === null || value === undefined ? "–" : grouped(value);
}

// The TCB before and after, with what has changed marked; false when neither is known.
function showBlocks(table, before, later) {
  if (!before.values && !later.values) return false;
  const rows = VARIABLES.map((name, place) => {
    const [old, now] = [figure(before, place), figure(later, place)];
    return html("tr", {}, html("th", { scope: "row" }, name), html("td", {}, old),
      html("td", { class: old !== now && later.values ? "changed" : null }, now));
  });
  const titles = ["before", "after"].map((title) => html("th", { scope: "col" }, title));
  table.replaceChildren(html("thead", {}, html("tr", {}, html("td", {}), ...titles)), html("tbody", {}, ...rows));
  return true;
}

// The TCB of now, as pairs.
function showBlock(list, block) {
  list.replaceChildren(...(block.why
    ? [html("div", { class: "why" }, html("dd", { class: "none" }, block.why))]
    : VARIABLES.map((name, place) => html("div", {}, html("dt", {}, name),
      html("dd", {}, figure(block, place))))));
}
