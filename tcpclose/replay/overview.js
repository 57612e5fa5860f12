"use strict";
// The whole run in a strip above the scrubber: states of the ends by colour, faults, and where SYN, FIN and RST flew.

const LANE = 6;

class Overview {
  constructor(place, colours) {
    this.colours = colours;
    this.root = svg("svg", { preserveAspectRatio: "none" });
    place.replaceChildren(this.root);
  }

  show(film) {
    const ends = film.connection.hosts.filter(({ name }) => film.states.has(name)).slice(0, 4);
    const height = Math.max(ends.length, 1) * (LANE + 1) + 8;
    const x = (at) => film.length ? at / film.length * 1000 : 0;
    put(this.root, "viewBox", `0 0 1000 ${height}`);
    const parts = [];
    for (const outage of film.outages) {
      const left = x(outage.from), right = Math.min(x(outage.until), 1000);
      parts.push(svg("rect", { x: left, width: Math.max(right - left, 2), y: 0, height, class: "band" }));
    }
    ends.forEach(({ name, before }, lane) => {
      let left = 0, state = before;
      const y = 8 + lane * (LANE + 1);
      const stretch = (right) => parts.push(svg("rect", {
        x: left, y, height: LANE, width: Math.max(right - left, 0), class: "lane", fill: (this.colours[state] || [null])[0],
      }));
      for (const index of film.states.get(name)) {
        const right = x(film.at[index]);
        stretch(right);
        [left, state] = [right, film.events[index].new];
      }
      stretch(1000);
    });
    for (const flight of film.flights) {
      const kind = kindOf(flight);
      if (kind === "text" || kind === "ack") continue;
      parts.push(svg("rect", { x: x(flight.start) - 1, width: 2, y: 0, height: 7, class: "tick " + kind }));
    }
    this.root.replaceChildren(...parts);
  }
}
