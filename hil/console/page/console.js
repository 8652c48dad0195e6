// The operator's page: what comes over the WebSocket, and the keyboard. Texts of the service become text, never markup.

import { Controls, makeElement } from "./controls.js";
import { drawLatency, drawMap, drawStates } from "./plots.js";

const byId = (id) => document.getElementById(id);
const SEVERITIES = ["diagnostic", "info", "warning_low", "warning_high", "fatal"];
const SIGNS = { diagnostic: "·", info: "ℹ", warning_low: "△", warning_high: "▲", fatal: "✖" };
const MOST_POINTS = 600, MOST_EVENTS = 300, MAP_STALE_S = 10;
const OVERLAYS = { 1: "classes", 2: "entropy", 3: "hazard", 0: "" };

let socket = null, staleAfter = 3, states = [], lastHeard = 0, tickets = 0;
let points = [], events = [], map = null, pictures = {};
const waiting = new Map();
const key = takeKey();
const controls = new Controls(ask);

// Out of the address, where it could be seen; kept for this page's origin, so that it can be loaded again.
function takeKey() {
  const given = location.hash.slice(1);
  if (given) {
    sessionStorage.setItem("key", given);
    history.replaceState(null, "", "/");
  }
  return given || sessionStorage.getItem("key") || "";
}

function ask(name, args) {
  return new Promise((resolve) => {
    if (socket === null || socket.readyState !== WebSocket.OPEN) {
      resolve({ error: "no connection to the console" });
      return;
    }
    const ticket = ++tickets;
    waiting.set(ticket, resolve);
    socket.send(JSON.stringify({ ticket, name, arguments: args }));
  });
}

function connect() {
  socket = new WebSocket(`ws://${location.host}/live`);
  socket.addEventListener("open", () => socket.send(key));
  socket.addEventListener("message", (event) => take(JSON.parse(event.data)));
  socket.addEventListener("close", (event) => {
    for (const resolve of waiting.values()) resolve({ error: "the console has gone; whether it was carried out is not known" });
    waiting.clear();
    if (event.code === 4403) {
      showStale("open the address that hil console printed, with all that is behind the #");
      return;
    }
    showStale("no connection to the console: is hil console running?");
    setTimeout(connect, 1000);
  });
}

function take(message) {
  lastHeard = performance.now();
  const parts = {
    hello: () => {
      states = message.states;
      staleAfter = message.stale_s;
      points = [];
      events = [];
      controls.build(message.commands, message.parameters);
    },
    reply: () => {
      waiting.get(message.ticket)?.(message);
      waiting.delete(message.ticket);
    },
    map: () => showMap(message),
    now: () => showNow(message),
  };
  parts[message.type]?.();
}

// One part of the page that cannot be shown must not keep the others from being shown.
function attempt(show) {
  try {
    show();
  } catch (error) {
    console.error(error);
  }
}

function showStale(text) {
  byId("staleness").textContent = text;
  document.body.classList.toggle("stale", text !== "");
  controls.enable(text === "");
}

function showNow(now) {
  const stale = now.age_s === null || now.age_s > staleAfter;
  const never = "no housekeeping from the service yet";
  const lost = `no housekeeping for ${Math.round(now.age_s)} s: what is shown is old`;
  attempt(() => showStale(stale ? (now.age_s === null ? never : lost) : ""));
  attempt(() => showEvents(now.events));
  attempt(() => showPlots(now.points));
  attempt(() => showMapAge(now.map_age_s));
  if (now.housekeeping !== null) {
    attempt(() => showState(now.housekeeping, stale));
    attempt(() => showCounters(now.housekeeping));
    attempt(() => controls.showParameters(now.housekeeping.parameters));
  }
  byId("malformed").textContent = now.malformed ? `· ${now.malformed} malformed messages left out` : "";
}

function fillList(list, entries) {
  list.replaceChildren(...entries.map(([name, value]) => {
    const pair = document.createElement("div");
    pair.append(makeElement("dt", name), makeElement("dd", String(value)));
    return pair;
  }));
}

function showState(values, stale) {
  const state = byId("state");
  const text = stale ? `${values.state}, when last heard` : values.state;
  if (state.textContent !== text) state.textContent = text;
  state.className = `state ${values.state}`;
  const probation = values.bundle_on_probation ? ", on probation" : "";
  fillList(byId("summary"), [
    ["bundle", `${values.bundle.name} ${values.bundle.version} ${values.bundle.sha256.slice(0, 12)}${probation}`],
    ["up", `${Math.floor(values.uptime_s / 3600)} h ${Math.floor(values.uptime_s / 60) % 60} min`],
    ["memory", `${Math.round(values.resident_memory_bytes / 1e6)} MB`],
    ...(values.cpu_temperature_c === null ? [] : [["processor", `${Math.round(values.cpu_temperature_c)} °C`]]),
  ]);
}

function showCounters(values) {
  const counters = values.counters;
  const rejected = Object.entries(counters.frames_rejected).filter(([, count]) => count > 0);
  const reasons = rejected.map(([reason, count]) => `${reason} ${count}`).join(", ");
  const total = rejected.reduce((sum, [, count]) => sum + Number(count), 0);
  fillList(byId("counters"), [
    ["frames received", counters.frames_received],
    ["answered", counters.frames_processed],
    ["superseded", counters.frames_superseded],
    ["rejected", total + (reasons ? ` (${reasons})` : "")],
    ["worker restarts", counters.worker_restarts],
    ["upsets", counters.upsets_found ?? "–"],
    ["latency p50 / p99", `${values.latency_ms.total.p50.toFixed(0)} / ${values.latency_ms.total.p99.toFixed(0)} ms`],
  ]);
}

function showEvents(newer) {
  if (newer.length === 0) return;
  events = [...events, ...newer].slice(-MOST_EVENTS);
  renderEvents();
}

function renderEvents() {
  const least = SEVERITIES.indexOf(byId("least-severity").value);
  const shown = events.filter((event) => SEVERITIES.indexOf(event.severity) >= least).reverse();
  byId("events").replaceChildren(...shown.map((event) => {
    const row = makeElement("tr", "", event.severity);
    const time = new Date(Number(event.time_ns) / 1e6);
    const when = Number.isNaN(time.getTime()) ? "–" : time.toISOString().slice(11, 19);
    const more = Number(event.count_suppressed) > 0 ? ` (and ${event.count_suppressed} held back)` : "";
    row.append(makeElement("td", when), makeElement("td", `${SIGNS[event.severity] ?? "?"} ${event.severity}`));
    row.append(makeElement("td", `${event.name}: ${event.message}${more}`));
    return row;
  }));
}

function showPlots(newer) {
  if (newer.length === 0) return;
  points = [...points, ...newer].slice(-MOST_POINTS);
  drawLatency(byId("latency"), points.filter((point) => point.latency_ms !== undefined));
  drawStates(byId("states"), points.filter((point) => point.state !== undefined), states);
}

async function showMap(message) {
  if (message.problem !== undefined) {
    byId("map-note").textContent = `this map cannot be shown: ${message.problem}`;
    return;
  }
  const loaded = await Promise.all(Object.entries(message.pictures).map(async ([name, address]) => {
    const image = new Image();
    image.src = address;
    await image.decode();
    return [name, image];
  }));
  map = message;
  pictures = Object.fromEntries(loaded);
  attempt(renderMap);
  attempt(showFacts);
  attempt(showLegend);
}

function chosenOverlay() {
  return document.querySelector("input[name=overlay]:checked").value;
}

function renderMap() {
  if (map === null) return;
  const opacity = byId("opacity").value / 100;
  const options = { overlay: chosenOverlay(), opacity, circles: byId("show-circles").checked, fix: byId("show-fix").checked };
  drawMap(byId("map"), map, pictures, options);
  const scales = { entropy: "black: certain, pale yellow: as uncertain as can be", hazard: "dark blue: safe, yellow: hazard" };
  byId("scale").textContent = scales[options.overlay] ?? "";
  byId("legend").hidden = options.overlay !== "classes";
}

function showFacts() {
  byId("map-title").textContent = `${map.source}, epoch ${map.epoch}, frame ${map.frame_id}`;
  const refusals = Object.entries(map.refusals).map(([what, why]) => `${what}: ${why}`);
  const notes = [...refusals, ...(map.pictures.frame || !map.pictures.classes ? [] : ["the frame itself is not known here"])];
  byId("map-note").textContent = notes.join("; ");
  const fix = map.fix;
  const circles = map.circles.map((circle, index) =>
    [`circle ${index + 1}`, `${circle.radius_px.toFixed(1)} px at (${circle.x.toFixed(1)}, ${circle.y.toFixed(1)})`]);
  fillList(byId("map-facts"), [
    ["status", map.status],
    ["flags", map.flags.join(", ") || "none"],
    ["passes", `${map.passes_used} of ${map.passes_requested}`],
    ["fix", fix === null ? "none" : `(${fix.x.toFixed(1)}, ${fix.y.toFixed(1)}) ± ${fix.sigma_px.toFixed(1)} px`],
    ["diameter", fix === null ? "–" : `${fix.diameter_px.toFixed(1)} px`],
    ["sun", fix === null || fix.sun === null ? "–" : `${fix.sun.angle_deg.toFixed(0)}°`],
    ...circles,
  ]);
}

function showLegend() {
  byId("legend").replaceChildren(...map.legend.map(({ name, color }) => {
    const item = makeElement("li", name);
    const swatch = document.createElement("canvas");
    swatch.width = swatch.height = 1;
    const context = swatch.getContext("2d");
    context.fillStyle = `rgb(${color.map(Number).join(",")})`;
    context.fillRect(0, 0, 1, 1);
    item.prepend(swatch);
    return item;
  }));
}

function showMapAge(age) {
  const stale = age === null || age > MAP_STALE_S;
  byId("map-view").classList.toggle("stale", stale);
  if (map === null) {
    byId("map-note").textContent = "no map yet";
  } else if (stale) {
    byId("map-note").textContent = `${Math.round(age)} s old: no newer map has come`;
  }
}

function choose(overlay) {
  document.querySelector(`input[name=overlay][value="${overlay}"]`).checked = true;
  renderMap();
}

function pressKey(event) {
  const typing = event.target.matches("input:not([type=range]):not([type=checkbox]):not([type=radio]), select");
  if (typing || event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
  const keys = {
    "[": () => byId("opacity").stepDown(10), "]": () => byId("opacity").stepUp(10),
    c: () => byId("show-circles").click(), x: () => byId("show-fix").click(),
    e: () => byId("events-view").focus(), p: () => byId("parameters-view").querySelector("input, select")?.focus(),
    m: () => byId("commands").querySelector("button")?.focus(), "?": () => byId("help").showModal(),
  };
  const action = event.key in OVERLAYS ? () => choose(OVERLAYS[event.key]) : keys[event.key];
  if (action === undefined) return;
  event.preventDefault();
  action();
  renderMap();
}

document.addEventListener("keydown", pressKey);
byId("overlays").addEventListener("change", renderMap);
for (const id of ["opacity", "show-circles", "show-fix"]) byId(id).addEventListener("input", renderMap);
byId("least-severity").addEventListener("change", renderEvents);
// Connected, and yet nothing comes: a console that was stopped, not ended.
setInterval(() => {
  if (lastHeard > 0 && performance.now() - lastHeard > 5000) showStale("the console has said nothing for seconds");
}, 1000);
connect();
