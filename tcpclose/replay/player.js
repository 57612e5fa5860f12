"use strict";
// The page comes to life here: what is shown, when, and what keys, buttons and the address of the page do.

const run = JSON.parse(document.getElementById("run").textContent);
const at = (id) => document.getElementById(id);
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const PLAY_SIGN = "M4 2.5v11l9-5.5z", PAUSE_SIGN = "M4 3h3v10H4zM9 3h3v10H9z";
const SPEEDS = [0.25, 0.5, 1, 2, 4, 8, 16];

const colours = run.diagram.colours;
const machines = [new Machine(at("left"), "left", run.diagram), new Machine(at("right"), "right", run.diagram)];
const ladder = new Ladder(at("ladder"), colours, choose);
const wire = new Wire(at("wire"), colours);
const overview = new Overview(at("overview"), colours);
const details = new Details(at("details"), choose);
const films = new Map();

let film = null;
let now = 0;         // seconds of film
let playing = false;
let speed = 1;
let chosen = null;   // the segment that somebody chose
let lastFrame = 0;
let rested = -Infinity; // when the address was written last,
let waiting = 0;        // and the timer until it may be again

// ---- What is shown

function load(number) {
  if (!films.has(number)) films.set(number, new Film(run.connections[number], run.outages));
  film = films.get(number);
  at("connection").value = number;
  say(at("story"), film.connection.title);
  say(at("substory"), film.connection.subtitle);
  const ends = ofInterest(film);
  machines.forEach((machine, place) => machine.show(film, ends[place]));
  at("main").classList.toggle("single", ends.length === 1);
  at("main").classList.toggle("alone", !ends.length);
  wire.show(film);
  ladder.show(film);
  overview.show(film);
  at("scrub").max = film.length;
  chosen = null;
  ladder.select(null);
}

// The hosts whose machines are drawn: the two ends, left and right as in the ladder.
function ofInterest(film) {
  if (film.connection.loose) return [];
  const hosts = film.connection.hosts;
  const ends = hosts.filter((host) => host.end);
  const others = hosts.filter((host) => !host.end);
  const two = [...ends, ...others].slice(0, 2).map((host) => host.name);
  return hosts.map((host) => host.name).filter((name) => two.includes(name));
}

// With reduced motion nothing flies: the picture goes from event to event.
function shownMoment() {
  if (!calm.matches || !playing) return now;
  const place = after(film.stops, now + 1e-6) - 1;
  return place < 0 ? 0 : film.stops[place];
}

function render(follow = true) {
  const moment = shownMoment();
  const count = film.done(moment);
  const time = film.timeOf(moment);
  for (const machine of machines) machine.update(count);
  ladder.update(moment, follow);
  wire.update(moment, count);
  details.show(film, chosen ?? latest(count), count, chosen !== null);
  say(at("clock"), seconds(time));
  const scrub = at("scrub");
  if (document.activeElement !== scrub || Number(scrub.value) !== now) scrub.value = now;
  if (count !== render.count) {
    render.count = count;
    put(scrub, "aria-valuetext", seconds(time) + ", " + machines.filter((machine) => machine.host)
      .map((machine) => `${machine.host} ${film.stateAfter(machine.host, count) || "state unknown"}`).join(", "));
  }
}

// The last segment that arrived, was lost or left.
function latest(count) {
  for (let index = count - 1; index >= 0; index -= 1) {
    if (ON_LINE.has(film.events[index].k)) return film.events[index].f;
  }
  return null;
}

// ---- Time

function seek(to, settle = true) {
  now = Math.min(Math.max(to, 0), film.length);
  render();
  if (settle) remember();
}

function play(on) {
  if (on && now >= film.length - 1e-6) now = 0;
  playing = on && film.length > 0;
  put(at("playsign"), "d", playing ? PAUSE_SIGN : PLAY_SIGN);
  say(at("playword"), playing ? "Pause" : "Play");
  lastFrame = performance.now();
  if (playing) requestAnimationFrame(frame);
  else {
    render();
    remember();
  }
}

function frame(clock) {
  if (!playing) return;
  now += Math.min(Math.max(clock - lastFrame, 0), 250) / 1000 * speed * film.hurry; // a hidden page does not run ahead
  lastFrame = clock;
  if (now >= film.length) {
    now = film.length;
    play(false);
    return;
  }
  render();
  remember();
  requestAnimationFrame(frame);
}

function step(way, stops = film.stops) {
  if (playing) play(false);
  const leeway = way > 0 ? 1e-6 : -1e-6;
  const place = after(stops, now + leeway) + (way > 0 ? 0 : -1);
  seek(place < 0 ? 0 : place >= stops.length ? film.length : stops[place]);
  announce();
}

function turns() {
  const changes = [...film.states.values()].flat().filter((index) => film.events[index].old !== film.events[index].new);
  return changes.map((index) => film.at[index]).sort((a, b) => a - b);
}

// For those who hear the page: what the step brought.
function announce() {
  const count = film.done(now);
  const number = latest(count);
  const words = number === null ? [] : [`${wording(film.flights[number])} from ${film.flights[number].from}`];
  for (const machine of machines) if (machine.host) words.push(`${machine.host} ${film.stateAfter(machine.host, count) || "state unknown"}`);
  say(at("spoken"), words.join("; "));
}

// ---- Segments

function choose(number) {
  chosen = number;
  ladder.select(number);
  render(false);
  if (number !== null) {
    const flight = film.flights[number];
    say(at("spoken"), `${wording(flight)}, from ${flight.from} to ${flight.to}, ${flight.fate}`);
  }
}

function chooseNext(way) {
  if (!film.flights.length) return;
  const from = chosen ?? latest(film.done(now)) ?? -1;
  const number = Math.min(Math.max(from + way, 0), film.flights.length - 1);
  choose(number);
  ladder.reveal(number);
}

// ---- The address of the page: #c=NAME&t=SECONDS

// Browsers allow about a hundred changes in half a minute, and some throw at the next.
const REST = 350; // milliseconds

function remember() {
  const rest = rested + REST - performance.now();
  if (rest > 0) waiting ||= setTimeout(write, rest);
  else write();
}

function write() {
  clearTimeout(waiting);
  waiting = 0;
  rested = performance.now();
  const where = new URLSearchParams({ c: film.connection.name, t: String(film.timeOf(now) / 1e6) });
  history.replaceState(null, "", "#" + where);
}

function recall() {
  const where = new URLSearchParams(location.hash.slice(1));
  const named = run.connections.findIndex((connection) => connection.name === where.get("c"));
  const time = Number.parseFloat(where.get("t"));
  const number = named >= 0 ? named : film === null ? 0 : run.connections.indexOf(film.connection);
  if (!film || run.connections[number] !== film.connection) load(number);
  if (playing) play(false);
  now = Number.isFinite(time) ? Math.min(Math.max(film.filmOf(Math.round(time * 1e6)), 0), film.length) : 0;
  render();
}

function change(number) {
  if (playing) play(false);
  load((number + run.connections.length) % run.connections.length);
  seek(0);
}

// ---- Buttons and keys

function faster(way) {
  const place = Math.min(Math.max(SPEEDS.indexOf(speed) + way, 0), SPEEDS.length - 1);
  speed = SPEEDS[place];
  at("speed").value = speed;
}

function theme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
}

function help() {
  if (!at("keys").open) at("keys").showModal();
}

function arrive() {
  if (chosen === null) return;
  const flight = film.flights[chosen];
  const end = flight.arrived ?? flight.gone;
  seek(end === null ? flight.finish : film.at[film.settled(end) - 1]);
}

const KEYS = {
  " ": () => play(!playing),
  ArrowRight: (event) => event.shiftKey ? step(1, turns()) : step(1),
  ArrowLeft: (event) => event.shiftKey ? step(-1, turns()) : step(-1),
  ArrowDown: () => chooseNext(1),
  ArrowUp: () => chooseNext(-1),
  Home: () => seek(0),
  End: () => seek(film.length),
  Enter: arrive,
  Escape: () => choose(null),
  "+": () => faster(1),
  "=": () => faster(1),
  "-": () => faster(-1),
  c: () => change(run.connections.indexOf(film.connection) + 1),
  C: () => change(run.connections.indexOf(film.connection) - 1),
  d: theme,
  "?": help,
};

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || at("keys").open) return;
  const on = event.target.closest("button, select, a");
  if (on && (event.key === " " || event.key === "Enter" || on.tagName === "SELECT")) return; // its own meaning first
  const act = KEYS[event.key];
  if (!act) return;
  act(event);
  event.preventDefault();
}

function begin() {
  say(at("title"), run.title);
  say(at("about"), run.about.join(" · "));
  if (run.leftOut) tell(`${run.leftOut} further connections are left out of this page.`);
  put(at("playsign"), "d", PLAY_SIGN);
  at("theme").addEventListener("click", theme);
  at("help").addEventListener("click", help);
  if (!run.connections.length) {
    tell("Nothing to replay: no connection and no segment was seen in this run.");
    for (const id of ["pick", "bar", "left", "middle", "right"]) at(id).hidden = true;
    return;
  }
  at("connection").append(...run.connections.map((connection, number) => html("option", { value: number }, connection.title)));
  at("pick").hidden = run.connections.length < 2;
  at("speed").append(...SPEEDS.map((value) => html("option", { value }, "×" + value)));
  at("speed").value = speed;
  at("connection").addEventListener("change", (event) => change(Number(event.target.value)));
  at("speed").addEventListener("change", (event) => { speed = Number(event.target.value); });
  at("scrub").addEventListener("input", (event) => {
    if (playing) play(false);
    seek(Number(event.target.value));
  });
  at("first").addEventListener("click", () => seek(0));
  at("back").addEventListener("click", () => step(-1));
  at("play").addEventListener("click", () => play(!playing));
  at("forth").addEventListener("click", () => step(1));
  at("last").addEventListener("click", () => seek(film.length));
  document.addEventListener("keydown", press);
  window.addEventListener("hashchange", recall);
  recall();
}

function tell(text) {
  at("message").hidden = false;
  at("message").append(html("span", {}, text + " "));
}

begin();
