"use strict";
// Making elements. Text is always set as text: whatever a trace says, it is never parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";

function build(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  for (const child of children) {
    if (child !== null && child !== undefined) node.append(child); // a string becomes a text node
  }
  return node;
}

function html(tag, attributes = {}, ...children) {
  return build(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return build(document.createElementNS(SVG, tag), attributes, children);
}

// Set only what changes: the browser recalculates nothing for what is not touched.
function put(node, name, value) {
  const text = String(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// ---- Words and figures

function seconds(t, digits = 3) {
  return (t / 1e6).toFixed(digits) + " s";
}

function span(t) {
  return t >= 1e6 ? (t / 1e6).toFixed(2) + " s" : t >= 1000 ? Math.round(t / 1000) + " ms" : t + " µs";
}

function grouped(number) {
  return number.toLocaleString("en").replaceAll(",", "\u202f");
}

// "SYN,ACK  seq 0 ack 1": numbers count from the first of their direction.
function wording(flight) {
  let text = flight.ctl || "no bits";
  text += "  seq " + flight.seq;
  if (flight.len) text += "+" + flight.len;
  if (flight.ack !== null) text += "  ack " + flight.ack;
  return text;
}

function kindOf(flight) {
  const bits = flight.ctl.split(",");
  for (const bit of ["RST", "FIN", "SYN"]) if (bits.includes(bit)) return bit.toLowerCase();
  return flight.len ? "text" : "ack";
}

function remarks(flight, withLoss = true) {
  const told = [];
  if (flight.retransmission) told.push("sent again");
  if (flight.copy) told.push("copy made by a link");
  if (flight.forged) told.push("forged by " + flight.from);
  if (flight.unsent) told.push("sent by a middlebox in the name of " + flight.from);
  if (flight.vanished && withLoss) told.push("lost");
  if (flight.lost && withLoss) told.push((flight.lost.reason === "corrupt" ? "damaged" : "lost") + ": " + flight.lost.reason);
  return told;
}

// Which part of its way a segment went: all of it, or to about where the link is that lost it.
function partOfWay(flight) {
  if (flight.vanished) return 0.62;
  if (!flight.lost || flight.arrived !== null) return 1;
  const ends = flight.lost.link.split(/[-:]/);
  return ends.includes(flight.from) === ends.includes(flight.to) ? 0.62 : ends.includes(flight.from) ? 0.36 : 0.8;
}
