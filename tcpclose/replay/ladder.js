"use strict";
// The ladder: lifelines downwards in the time of the film, segments as slanted arrows that grow as they fly.
//
// Only what is in sight is in the document: a run may have thousands of segments, and the browser's time goes with
// the number of elements. So a frame costs the same whether the run is short or long.

const PIXELS = 86;  // of height for a second of film
const MARGIN = 26;  // above the first event
const AHEAD = 0.58; // where the playhead stands in the window

class Ladder {
  constructor(place, colours, choose) {
    this.colours = colours;
    this.choose = choose;
    this.pane = place;
    this.root = svg("svg", { class: "sheet", role: "group", "aria-label": "Segments, from the first downwards" });
    place.replaceChildren(this.root);
    put(place, "tabindex", 0);
    put(place, "role", "region");
    put(place, "aria-label", "Ladder of segments");
    place.addEventListener("scroll", () => this.#sight(), { passive: true });
    new ResizeObserver(() => this.film && this.#layOut()).observe(place);
    this.root.addEventListener("click", (event) => {
      const segment = event.target.closest("[data-flight]");
      if (segment) choose(Number(segment.dataset.flight));
    });
    this.root.addEventListener("keydown", (event) => {
      if (event.key !== " " || !event.target.dataset.flight) return;
      choose(Number(event.target.dataset.flight));
      event.preventDefault();
      event.stopPropagation();
    });
  }

  show(film) {
    this.film = film;
    this.now = 0;
    this.chosen = null;
    this.#layOut();
  }

  #y(film) {
    return MARGIN + film * PIXELS;
  }

  #layOut() {
    const width = Math.max(this.pane.clientWidth, 260), height = this.#y(this.film.length) + 40;
    this.width = width;
    this.x = columns(this.film.connection.hosts, width);
    put(this.root, "width", width);
    put(this.root, "height", height);
    this.still = svg("g", { "aria-hidden": "true" });
    this.moving = svg("g", {});
    this.head = svg("g", { class: "playhead", "aria-hidden": "true" }, svg("line", { x1: 0, x2: width }), svg("path", { d: "M0,-5 L7,0 L0,5 z" }));
    this.root.replaceChildren(this.still, this.moving, this.head);
    this.#drawStill(height);
    this.items = [...this.#segments(), ...this.#notes(), ...this.#folds()].sort((a, b) => a.top - b.top);
    this.tops = this.items.map((item) => item.top);
    this.tallest = this.items.reduce((most, item) => Math.max(most, item.bottom - item.top), 0);
    this.live = new Map();
    this.#sight();
    this.update(this.now, false);
  }

  // What is there once for all: faults as bands, lifelines in the colours of the states.
  #drawStill(height) {
    for (const outage of this.film.outages) {
      const top = this.#y(outage.from), bottom = Math.min(this.#y(outage.until), height);
      this.still.append(svg("rect", { class: "band", x: 0, width: this.width, y: top, height: Math.max(bottom - top, 2) }));
      this.still.append(svg("text", { class: "bandname", x: this.width / 2, y: top - 4 }, outage.name));
    }
    for (const { name, before } of this.film.connection.hosts) {
      const x = this.x.get(name);
      let top = 0, state = before;
      const stretch = (bottom) => this.still.append(svg("rect", {
        class: "life" + (this.colours[state] ? "" : " unknown"), x: x - 4, width: 8, y: top, height: Math.max(bottom - top, 0),
        fill: (this.colours[state] || [null])[0],
      }));
      for (const index of this.film.states.get(name) || []) {
        const y = this.#y(this.film.at[index]);
        stretch(y);
        [top, state] = [y, this.film.events[index].new];
      }
      stretch(height);
    }
  }

  // A burst is too dense for all its labels: then those are shown that have room, and what opens and releases. The
  // steeper the arrows, the closer they run.
  #legible() {
    const lowest = new Map(), former = new Map(), legible = new Set();
    const order = this.film.flights.map((_, number) => number).sort((a, b) => this.film.flights[a].start - this.film.flights[b].start);
    for (const number of order) {
      const flight = this.film.flights[number], y = this.#y(flight.start);
      const fall = this.#y(flight.finish) - y, across = this.x.get(flight.to) - this.x.get(flight.from);
      const room = (places) => (y - (places.get(flight.from) ?? -99)) * Math.cos(Math.atan2(fall, Math.abs(across)));
      const enough = room(former) < 12 ? 40 : 13; // beside close lines words are hard to read: fewer of them
      former.set(flight.from, y);
      if (["text", "ack"].includes(kindOf(flight)) && !flight.lost && room(lowest) < enough) continue;
      lowest.set(flight.from, y);
      legible.add(number);
    }
    return legible;
  }

  #segments() {
    const legible = this.#legible();
    return this.film.flights.map((flight, number) => {
      const x0 = this.x.get(flight.from), x1 = this.x.get(flight.to);
      const inset = Math.sign(x1 - x0) * 6;
      const from = [x0 + inset, this.#y(flight.start)];
      const to = [x0 + inset + (x1 - x0 - 2 * inset) * partOfWay(flight), this.#y(flight.finish)];
      return { key: "s" + number, top: from[1] - 16, bottom: to[1] + 8, make: () => this.#segment(flight, number, from, to, legible.has(number)) };
    });
  }

  #segment(flight, number, from, to, legible) {
    const right = to[0] > from[0];
    const ctl = svg("tspan", { class: "ctl" }, flight.ctl || "–");
    const rest = this.width < 430 ? (flight.len ? " " + flight.len : "") : wording(flight).slice((flight.ctl || "no bits").length);
    const slope = Math.atan2(to[1] - from[1], Math.abs(to[0] - from[0])) * 180 / Math.PI * (right ? 1 : -1);
    const label = svg("text", {
      class: "label", "text-anchor": right ? "start" : "end",
      transform: `translate(${from[0] + (right ? 14 : -14)} ${from[1] + 14 * Math.tan(Math.abs(slope) * Math.PI / 180) - 4}) rotate(${slope})`,
    }, ctl, rest.replaceAll("  ", "\u2002"));
    const marks = remarks(flight);
    if (marks.length && this.width >= 430) label.append(svg("tspan", { class: "mark" }, "\u2002" + marks.join(", ")));
    const hit = svg("line", { class: "hit", x1: from[0], y1: from[1], x2: to[0], y2: to[1] });
    const line = svg("line", { class: "way", x1: from[0], y1: from[1] });
    const tip = flight.fate === "lost"
      ? svg("path", { class: "tip", d: "M-5,-5 L5,5 M5,-5 L-5,5", transform: `translate(${to[0]} ${to[1]})` })
      : svg("path", { class: "tip", d: "M0,0 L-9,-4 L-9,4 z", transform: `translate(${to[0]} ${to[1]}) rotate(${Math.atan2(to[1] - from[1], to[0] - from[0]) * 180 / Math.PI})` });
    const dot = svg("circle", { class: "dot", r: 5 });
    const node = svg("g", {
      role: "button", tabindex: -1, "data-flight": number,
      "aria-label": `${wording(flight)}, from ${flight.from} to ${flight.to}${[flight.fate === "unknown" ? "fate unknown" : "", ...remarks(flight)].filter(Boolean).map((word) => ", " + word).join("")}`,
    }, hit, line, tip, dot, label);
    const kind = `segment ${kindOf(flight)} ${flight.fate}${flight.retransmission ? " again" : ""}${flight.forged || flight.unsent ? " forged" : ""}${legible ? "" : " mute"}`;
    let shown = "";
    const move = (now) => {
      const phase = now < flight.start - 1e-6 ? "future" : now < flight.finish - 1e-6 ? "flying" : "past";
      if (phase === "flying") {
        const part = Math.max(0, (now - flight.start) / (flight.finish - flight.start));
        const [x, y] = [from[0] + (to[0] - from[0]) * part, from[1] + (to[1] - from[1]) * part];
        put(line, "x2", x.toFixed(1));
        put(line, "y2", y.toFixed(1));
        put(dot, "cx", x.toFixed(1));
        put(dot, "cy", y.toFixed(1));
      } else if (shown !== phase) {
        put(line, "x2", to[0]);
        put(line, "y2", to[1]);
      }
      const chosen = this.chosen === number;
      if (shown !== phase + chosen) {
        shown = phase + chosen;
        put(node, "class", `${kind} ${phase}${chosen ? " chosen" : ""}`);
        put(node, "tabindex", chosen ? 0 : -1);
        put(node, "aria-pressed", chosen);
      }
    };
    return { node, move };
  }

  // On which side of its lifeline the notes of a host stand: on the outer one, and between others where less flies.
  #side(name) {
    const x = this.x.get(name), ways = this.film.flights.map((flight) => [this.x.get(flight.from), this.x.get(flight.to)]);
    const left = ways.filter((way) => Math.min(...way) < x && Math.max(...way) >= x).length;
    const right = ways.filter((way) => Math.max(...way) > x && Math.min(...way) <= x).length;
    const places = [...this.x.values()];
    return x === Math.min(...places) || (x < Math.max(...places) && left < right) ? -1 : 1;
  }

  #notes() {
    const places = [...this.x.values()].sort((a, b) => a - b);
    const room = (x, side, wide) => { // characters as far as the edge, or well before the next lifeline
      const next = side < 0 ? places.findLast((other) => other < x) ?? 0 : places.find((other) => other > x) ?? this.width;
      return Math.max(6, Math.floor((Math.abs(next - x) * (next === 0 || next === this.width ? 1 : 0.85) - 14) / wide));
    };
    const sides = new Map([...this.x.keys()].map((name) => [name, this.#side(name)]));
    const found = [];
    this.film.events.forEach((event, index) => {
      if (!isNoted(event) || !event.h || !this.x.has(event.h)) return;
      const side = sides.get(event.h), x = this.x.get(event.h) + side * 10, y = this.#y(this.film.at[index]);
      const words = { state: () => event.new, call: () => event.text, timer: () => event.text, signal: () => "“" + signalWords(event) + "”",
        end: () => (event.cause === "graceful" ? "● " : "✕ ") + event.cause, drop: () => "dropped" }[event.k]();
      if (event.k === "state" && event.old === event.new) return;
      const most = room(this.x.get(event.h), side, event.k === "end" ? 7.4 : 6.6); // causes are bold
      const text = words.length > most ? words.slice(0, most - 1) + "…" : words;
      found.push({ key: "n" + index, top: y - 12, bottom: y + 6, make: () => {
        const node = svg("text", { x, y: y + 4, class: `note ${event.k}${event.cause === "graceful" ? " graceful" : ""}`, "text-anchor": side < 0 ? "end" : "start" }, text);
        if (text !== words) node.append(svg("title", {}, words));
        return { node, move: (now) => put(node, "visibility", now < this.film.at[index] - 1e-6 ? "hidden" : "visible") };
      } });
    });
    return found;
  }

  #folds() {
    return this.film.folds.map((fold, number) => {
      const y = this.#y((fold.from + fold.until) / 2);
      return { key: "f" + number, top: y - 14, bottom: y + 14, make: () => {
        const marks = [...this.x.values()].map((x) => svg("path", { d: `M${x - 7},${y + 3} l14,-8 M${x - 7},${y + 10} l14,-8`, class: "zigzag" }));
        const text = svg("text", { x: this.width / 2, y: y + 5, class: "fold" }, "⋯ " + fold.text + " ⋯");
        const node = svg("g", {}, ...marks, text);
        return { node, move: (now) => put(text, "visibility", now < fold.from ? "hidden" : "visible") };
      } };
    });
  }

  // Make what has come into sight, take out what has left it.
  #sight() {
    if (!this.items) return;
    const top = this.pane.scrollTop - 100, bottom = top + this.pane.clientHeight + 200;
    const wanted = new Set();
    for (let place = after(this.tops, top - this.tallest); place < this.items.length && this.tops[place] <= bottom; place += 1) {
      const item = this.items[place];
      if (item.bottom < top) continue;
      wanted.add(item.key);
      if (this.live.has(item.key)) continue;
      const thing = item.make();
      thing.move(this.now);
      this.live.set(item.key, thing);
      this.moving.append(thing.node);
    }
    for (const [key, thing] of this.live) {
      if (wanted.has(key)) continue;
      if (thing.node.contains(document.activeElement)) this.pane.focus({ preventScroll: true });
      thing.node.remove();
      this.live.delete(key);
    }
  }

  // Draw the moment; with `follow` the playhead stays in sight.
  update(film, follow) {
    this.now = film;
    const y = this.#y(film);
    this.head.setAttribute("transform", `translate(0 ${y.toFixed(1)})`);
    if (follow) {
      const wanted = Math.max(0, Math.round(y - this.pane.clientHeight * AHEAD));
      if (Math.abs(this.pane.scrollTop - wanted) >= 1) {
        this.pane.scrollTop = wanted;
        this.#sight(); // the event comes too late for this frame
      }
    }
    for (const thing of this.live.values()) thing.move(film);
  }

  select(number) {
    this.chosen = number;
    for (const thing of this.live.values()) thing.move(this.now);
  }

  // The keyboard has chosen it: it should be in sight and have the focus, if the ladder had it.
  reveal(number) {
    const flight = this.film.flights[number];
    const top = this.#y(flight.start), bottom = this.#y(flight.finish);
    if (top < this.pane.scrollTop + 20 || bottom > this.pane.scrollTop + this.pane.clientHeight - 20) {
      this.pane.scrollTop = Math.max(0, (top + bottom) / 2 - this.pane.clientHeight / 2);
      this.#sight();
    }
    if (this.pane.contains(document.activeElement)) this.live.get("s" + number)?.node.focus({ preventScroll: true });
  }
}
