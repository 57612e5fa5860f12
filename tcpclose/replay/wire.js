"use strict";
// What is between the hosts now: segments under way as they fly, links that are down, hosts that are off or silent.

const WIRE = { height: 74, y: 34, host: 62, tall: 30 };
const PILLS = 14; // so many are named at once; others are dots

// Where the hosts stand, of the wire and of the ladder alike: names of states need room beside the outer ones.
function columns(hosts, width) {
  const margin = Math.min(126, width * (hosts.length > 2 ? 0.2 : 0.28));
  const step = hosts.length > 1 ? (width - 2 * margin) / (hosts.length - 1) : 0;
  return new Map(hosts.map((host, place) => [host.name, hosts.length > 1 ? margin + step * place : width / 2]));
}

class Wire {
  constructor(place, colours) {
    this.colours = colours;
    this.pane = place;
    this.root = svg("svg", { height: WIRE.height, role: "img" });
    place.replaceChildren(this.root);
    new ResizeObserver(() => this.film && this.#layOut()).observe(place);
  }

  show(film) {
    this.film = film;
    this.byStart = film.flights.map((_, index) => index).sort((a, b) => film.flights[a].start - film.flights[b].start);
    this.starts = this.byStart.map((index) => film.flights[index].start);
    this.longest = film.flights.reduce((most, flight) => Math.max(most, flight.finish - flight.start), 0);
    this.now = [0, 0];
    this.#layOut();
  }

  #layOut() {
    const film = this.film, hosts = film.connection.hosts, width = Math.max(this.pane.clientWidth, 260);
    put(this.root, "width", width);
    this.x = columns(hosts, width);
    this.line = svg("g", { class: "line" });
    this.flying = svg("g", {});
    this.trouble = svg("text", { class: "trouble", x: width / 2, y: 14 });
    const all = [...this.x.values()];
    for (let place = 1; place < all.length; place += 1) {
      this.line.append(svg("line", { x1: all[place - 1], x2: all[place], y1: WIRE.y, y2: WIRE.y }));
    }
    this.hosts = new Map(hosts.map(({ name }) => {
      const x = this.x.get(name);
      const rect = svg("rect", { x: x - WIRE.host / 2, y: WIRE.y - WIRE.tall / 2, width: WIRE.host, height: WIRE.tall, rx: 6 });
      const label = svg("text", { x, y: WIRE.y, class: "hostname" }, name.length > 9 ? name.slice(0, 8) + "…" : name);
      const state = svg("text", { x, y: WIRE.y + WIRE.tall / 2 + 15, class: "hoststate" });
      const group = svg("g", { class: "host" }, svg("title", {}, name), rect, label, state);
      return [name, { group, rect, label, state }];
    }));
    this.cuts = svg("g", { class: "cuts" });
    this.root.replaceChildren(this.line, this.cuts, this.flying, ...[...this.hosts.values()].map((host) => host.group), this.trouble);
    this.pills = [];
    this.last = {};
    this.update(...this.now);
  }

  // The flights that are under way at a place of the film.
  underWay(film) {
    const found = [];
    for (let place = after(this.starts, film) - 1; place >= 0 && this.starts[place] >= film - this.longest; place -= 1) {
      const flight = this.film.flights[this.byStart[place]];
      if (flight.finish > film) found.push(this.byStart[place]);
    }
    return found;
  }

  update(film, count) {
    this.now = [film, count];
    this.#fly(film);
    const troubled = this.film.outages.filter((outage) => outage.from <= film && (film < outage.until || (outage.start === outage.end && film < outage.from + 0.8)));
    const words = troubled.map((outage) => outage.name).join(" · ");
    if (words !== this.last.words) {
      this.last.words = words;
      say(this.trouble, words.length > 90 ? words.slice(0, 88) + "…" : words);
      this.#strike(troubled);
    }
    if (count !== this.last.count) {
      this.last.count = count;
      for (const [name, host] of this.hosts) {
        const state = this.film.stateAfter(name, count);
        const [paper] = this.colours[state] || [""];
        say(host.state, state);
        host.rect.style.setProperty("stroke", paper);
      }
      const states = [...this.hosts.keys()].map((name) => `${name} ${this.film.stateAfter(name, count) || "state unknown"}`);
      put(this.root, "aria-label", "The network: " + states.join(", ") + (words ? "; " + words : ""));
    }
  }

  // A cut stands on the side of the host that its link's name has; between all others in the middle.
  #strike(troubled) {
    for (const [name, host] of this.hosts) {
      const hit = troubled.filter((outage) => outage.target === name || outage.target.startsWith(name + "."));
      put(host.group, "class", "host" + (hit.length ? " struck" : ""));
    }
    const all = [...this.x.values()];
    const middle = (all[0] + all[all.length - 1]) / 2;
    const cuts = troubled.filter((outage) => !this.hosts.has(outage.target)).map((outage) => {
      const near = [...this.x].find(([name]) => outage.target.split(/[-:]/).includes(name));
      const x = near ? near[1] + Math.sign(middle - near[1] || 1) * (WIRE.host / 2 + 26) : middle;
      return svg("g", { transform: `translate(${x} ${WIRE.y})` },
        svg("rect", { x: -11, y: -11, width: 22, height: 22, rx: 11 }), svg("path", { d: "M-5,-5 L5,5 M5,-5 L-5,5" }));
    });
    this.cuts.replaceChildren(...cuts);
  }

  #fly(film) {
    const flying = this.underWay(film);
    while (this.pills.length < flying.length) {
      const box = svg("rect", {}), text = svg("text", {});
      const group = svg("g", {}, box, text);
      this.flying.append(group);
      this.pills.push({ group, box, text, shown: null });
    }
    this.pills.forEach((pill, place) => {
      put(pill.group, "visibility", place < flying.length ? "visible" : "hidden");
      if (place >= flying.length) return;
      const flight = this.film.flights[flying[place]];
      const from = this.x.get(flight.from), to = this.x.get(flight.to);
      const part = (film - flight.start) / (flight.finish - flight.start) * partOfWay(flight);
      const wide = place < PILLS ? (flight.ctl || "–").length * 7 + (flight.len ? 10 : 0) + 14 : 10;
      if (pill.shown !== flying[place] || pill.wide !== wide) {
        pill.shown = flying[place];
        pill.wide = wide;
        put(pill.group, "class", "pill " + kindOf(flight) + (flight.retransmission ? " again" : ""));
        put(pill.box, "width", wide);
        put(pill.box, "x", -wide / 2);
        const tall = place < PILLS ? 20 : 10;
        for (const [name, value] of [["height", tall], ["y", -tall / 2], ["rx", tall / 2]]) put(pill.box, name, value);
        say(pill.text, place < PILLS ? (flight.ctl || "–") + (flight.len ? " ▪" : "") : "");
      }
      const near = Math.sign(to - from) * (WIRE.host / 2 + wide / 2);
      const x = from + near + (to - near - from - near) * part;
      pill.group.setAttribute("transform", `translate(${x.toFixed(1)} ${WIRE.y})`);
    });
  }
}
