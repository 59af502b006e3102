// The dashboard: one symbol's candles at one resolution, stored ones first, then as they happen.

import { Chart } from "/assets/chart.js";
import { Unauthorized, ask, follow } from "/assets/feed.js";
import { Picker } from "/assets/picker.js";
import * as words from "/assets/words.js";

const RESOLUTIONS = ["1s", "5s", "15s", "30s", "1m", "5m", "15m", "1h", "4h", "1d", "1w"];
const BUTTONS_MAX = 7;
const PAGE = 1000;
const EMPTY_RETRY_MS = 3000;

const $ = (id) => document.getElementById(id);
const chart = new Chart($("chart"));
const shown = { symbol: "", resolution: "", state: "loading", exhausted: false, loadingOlder: false, hovered: null, hasPages: false };
let running = new AbortController();
let resolutions = [];

const picker = new Picker($("symbol"), $("symbols"), () => ask("/api/v1/symbols").catch(() => []), (symbol) => open(symbol, shown.resolution));

// What is chosen stands in the address, so that it can be kept and shared.
const hash = () => new URLSearchParams(location.hash.slice(1));
addEventListener("hashchange", () => {
  const { symbol = shown.symbol, resolution = shown.resolution } = Object.fromEntries(hash());
  if (symbol !== shown.symbol || resolution !== shown.resolution) open(symbol, resolution);
});

/** Finds out what there is, then opens a chart. Waits where there is nothing yet. */
async function begin() {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  say("loading", "Loading", "Loading candles…");
  for (;;) {
    try {
      const [status, symbols] = [await ask("/api/v1/status", {}, signal), await ask("/api/v1/symbols", {}, signal)];
      picker.symbols = symbols;
      offer(status.stored_resolution ?? "1m");
      if (symbols.length) {
        const wanted = hash();
        const known = symbols.map(({ symbol }) => symbol);
        const watched = status.monitored_symbols.find((symbol) => known.includes(symbol));
        const resolution = resolutions.includes(wanted.get("resolution")) ? wanted.get("resolution") : resolutions[0];
        return open(wanted.get("symbol") || watched || known[0], resolution);
      }
      say("empty", "No candles", "No candles yet", "A candle appears once its window has closed: with one-minute candles about two minutes after the first tick. This page looks again by itself.", "stockpulse-producer --feed simulated\nstockpulse-ingest sql/ohlc.sql");
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Unauthorized) return login();
      say("lost", "Disconnected", "The server cannot be reached", "This page tries again by itself.");
    }
    await new Promise((resolve) => setTimeout(resolve, EMPTY_RETRY_MS));
    if (signal.aborted) return;
  }
}

/** Resolutions that stored candles add up to. */
function offer(stored) {
  const least = words.seconds(stored);
  const larger = RESOLUTIONS.filter((name) => words.seconds(name) > least && words.seconds(name) % least === 0);
  resolutions = [stored, ...larger].slice(0, BUTTONS_MAX);
  $("resolutions").replaceChildren(...resolutions.map((name) => {
    const button = document.createElement("button");
    button.type = "button";
    button.role = "radio";
    button.textContent = name;
    button.addEventListener("click", () => open(shown.symbol, name));
    return button;
  }));
  mark();
}

function mark() {
  for (const button of $("resolutions").children) {
    const isChosen = button.textContent === shown.resolution;
    button.ariaChecked = String(isChosen);
    button.tabIndex = isChosen || !shown.resolution ? 0 : -1;
  }
}

/** Shows one symbol: what is stored, then what happens. */
async function open(symbol, resolution) {
  if (!symbol || !resolution) return;
  running.abort();
  running = new AbortController();
  const { signal } = running;
  const isOther = symbol !== shown.symbol || resolution !== shown.resolution;
  Object.assign(shown, { symbol, resolution, exhausted: false, loadingOlder: false, hovered: null });
  history.replaceState(null, "", `#${new URLSearchParams({ symbol, resolution })}`);
  document.title = `${symbol} · StockPulse`;
  picker.set(symbol);
  mark();
  $("toast").classList.remove("shown");
  $("name").textContent = symbol;
  if (isOther) {
    chart.precision = 0;
    chart.quote(2);
    chart.set([], words.seconds(resolution));
    legend();
    say("loading", "Loading", `Loading ${symbol}…`);
  }
  let rows;
  for (let wait = 1; rows === undefined; wait = Math.min(wait * 2, 8)) {
    try {
      rows = await ask("/api/v1/candles", { symbol, resolution, limit: PAGE, fill: "null" }, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Unauthorized) return login();
      const isAway = error instanceof TypeError;
      say("lost", isAway ? "Disconnected" : "Error", isAway ? "The server cannot be reached" : "The candles cannot be shown", isAway ? "This page tries again by itself." : error.message);
      await new Promise((resolve) => setTimeout(resolve, wait * 1000));
      if (signal.aborted) return;
    }
  }
  chart.set(rows, words.seconds(resolution));
  chart.fit();
  legend();
  if (rows.length) hush();
  else say("empty", "No candles", `No candles of ${symbol}`, "Choose another symbol, or wait for its first candle.");
  // The last row may be a candle that is not whole: the stream sends it again.
  const lastId = rows.length > 1 ? String(Date.parse(rows.at(-2).window_start)) : "";
  follow({ symbol, resolution, lastId, signal }, {
    connected: () => connected(),
    event: (name, data) => !signal.aborted && { candle, job, reset: () => open(shown.symbol, shown.resolution) }[name]?.(data),
    lost: (seconds, why) => lost(seconds, why),
    unauthorized: () => login(),
  });
}

function candle(row) {
  const before = chart.update(row);
  hush();
  const time = Date.parse(row.window_start) / 1000;
  // What was seen of it after its end was all there was then; what came since was late.
  const wasWhole = before && !before.closed && !before.missed && before.seen >= (time + chart.width) * 1000;
  const isCorrected = row.closed && wasWhole && ["open", "high", "low", "close"].some((price) => before[price] !== row[price]);
  if (isCorrected) {
    chart.flash(time);
    const at = words.clock(time, chart.width);
    toast(`${at} was corrected by late ticks: close ${words.price(before.close, chart.precision)} → ${words.price(row.close, chart.precision)}`);
  }
  legend();
}

function connected() {
  $("stale").hidden = true;
  $("frame").classList.remove("lost");
  if (shown.state === "lost" || shown.state === "loading") state("live", "Connected");
}

function job({ job: told, message }) {
  if (told !== "connected") {
    chart.miss();
    legend();
  }
  if (told === "connected") state("live", "Live");
  else if (told === "off") state("stored", "Closed candles", "This server is not told of a job, so candles appear once they are closed.");
  else state("stored", "Closed candles", `The running candle is not known: ${message ?? "the job cannot be reached"}. Candles appear once they are closed.`);
}

function lost(seconds, why) {
  state("lost", `Retry in ${Math.max(1, Math.round(seconds))} s`, why);
  $("frame").classList.add("lost");
  chart.miss();
  legend();
  const newest = chart.newest();
  if (!$("stale").hidden) return;
  $("stale").textContent = newest ? `Disconnected: ${why}. The chart is as of ${new Date().toISOString().slice(11, 19)} UTC.` : `Disconnected: ${why}.`;
  $("stale").hidden = !$("message").hidden;
}

/** The pill. */
function state(name, text, why = "") {
  shown.state = name;
  const pill = $("state");
  if (pill.dataset.state === name && pill.lastElementChild.textContent === text) return;
  pill.dataset.state = name;
  pill.title = why;
  pill.lastElementChild.textContent = text;
}

/** The pill, and a message in place of the chart. */
function say(name, short, title, text = "", code = "") {
  state(name, short);
  const box = $("message");
  box.dataset.state = name;
  box.hidden = false;
  box.querySelector("h2").textContent = title;
  box.querySelector("p").textContent = text;
  box.querySelector("pre").textContent = code;
  box.querySelector("pre").hidden = !code;
  $("stale").hidden = true;
}

function hush() {
  $("message").hidden = true;
}

let toasting;
function toast(text) {
  $("toast").textContent = text;
  $("toast").classList.add("shown");
  clearTimeout(toasting);
  toasting = setTimeout(() => $("toast").classList.remove("shown"), 6000);
}

/** The candle under the pointer, else the newest. */
function legend() {
  const newest = chart.newest();
  const row = (shown.hovered !== null && chart.rows.get(shown.hovered)) || newest;
  const change = newest && newest.open ? ((newest.close - newest.open) / newest.open) * 100 : 0;
  $("price").textContent = newest ? words.price(newest.close, chart.precision) : "";
  $("change").textContent = newest ? words.percent(change) : "";
  $("last").className = change < 0 ? "down" : "up";
  const price = (value) => words.price(value, chart.precision);
  const entries = !row ? [] : row.close === null
    ? [["Time", words.moment(row.time, chart.width)], ["", "no trades"]]
    : [["Time", words.moment(row.time, chart.width)], ["Open", price(row.open)], ["High", price(row.high)], ["Low", price(row.low)], ["Close", price(row.close)],
      ["Volume", words.amount(row.volume)], ["Trades", words.amount(row.trades)], ["", row.closed ? "closed" : standing(row)]];
  $("legend").replaceChildren(...entries.map(([name, value]) => {
    const entry = document.createElement("div");
    const [term, text] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = name || "State";
    text.textContent = value;
    if (!name) entry.className = row.close === null ? "state gap" : row.closed ? "state" : "state open";
    entry.append(term, text);
    return entry;
  }));
}

/** An open candle runs until its end; then late ticks are waited for. */
function standing(row) {
  if (row.missed) return "as last seen";
  return (row.time + chart.width) * 1000 > Date.now() ? "running" : "waits for late ticks";
}

chart.chart.subscribeCrosshairMove(({ time }) => {
  shown.hovered = time ?? null;
  legend();
});

chart.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
  if (!range) return;
  $("latest").hidden = !chart.rows.size || range.to > chart.rows.size - 5;
  if (range.from < 50) older();
});

async function older() {
  if (shown.loadingOlder || shown.exhausted || chart.rows.size < PAGE) return;
  shown.loadingOlder = true;
  const { symbol, resolution } = shown;
  const { signal } = running;
  try {
    const to = new Date(chart.firstTime() * 1000).toISOString();
    const rows = await ask("/api/v1/candles", { symbol, resolution, to, limit: PAGE, fill: "null" }, signal);
    if (signal.aborted) return;
    shown.exhausted = rows.length === 0;
    if (rows.length) chart.prepend(rows);
  } catch {
    // The next move asks again; that the server is away is shown by the stream.
  } finally {
    if (!signal.aborted) shown.loadingOlder = false;
  }
}

function login() {
  running.abort();
  state("lost", "Token needed");
  hush();
  $("login-error").textContent = sessionStorage.getItem("token") ? "This token is not the server's." : "";
  if (!$("login").open) $("login").showModal();
}

$("login").addEventListener("cancel", (event) => event.preventDefault());
$("login").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", $("token").value);
  $("token").value = "";
  $("login").close();
  begin();
});

function turn() {
  const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("theme", theme);
  chart.paint();
}

$("theme").addEventListener("click", turn);
$("keys").addEventListener("click", () => $("help").showModal());
$("latest").addEventListener("click", () => chart.latest());
matchMedia("(prefers-color-scheme: light)").addEventListener("change", ({ matches }) => {
  if (localStorage.getItem("theme")) return;
  document.documentElement.dataset.theme = matches ? "light" : "dark";
  chart.paint();
});

$("resolutions").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  event.stopPropagation();
  const at = resolutions.indexOf(shown.resolution);
  const next = (at + step + resolutions.length) % resolutions.length;
  $("resolutions").children[next].focus();
  open(shown.symbol, resolutions[next]);
});

addEventListener("keydown", (event) => {
  const isTyping = event.target.closest("input, dialog");
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  const number = Number(event.key);
  const action = {
    "/": () => $("symbol").focus(),
    "?": () => $("help").showModal(),
    ArrowLeft: () => chart.pan(-10),
    ArrowRight: () => chart.pan(10),
    "+": () => chart.zoom(0.75),
    "=": () => chart.zoom(0.75),
    "-": () => chart.zoom(1 / 0.75),
    End: () => chart.latest(),
    t: turn,
  }[event.key] ?? (number >= 1 && resolutions[number - 1] ? () => open(shown.symbol, resolutions[number - 1]) : null);
  if (!action) return;
  event.preventDefault();
  action();
});

// For scripts and tests: what is drawn, from the chart itself.
window.stockpulse = { candles: () => chart.candles.data(), gaps: () => chart.gaps.data(), place: (time) => chart.chart.timeScale().timeToIndex(time), shown };

begin();
