// The chart: candles, volume, and a band where nothing was traded.

import { CandlestickSeries, ColorType, CrosshairMode, HistogramSeries, createChart } from "/assets/lightweight-charts-5.2.1.js";
import * as words from "/assets/words.js";

/** A gap longer than this is not drawn window by window. */
const GAP_MAX = 2000;

export class Chart {
  constructor(element) {
    this.element = element;
    this.width = 60;
    this.precision = 2;
    this.rows = new Map();
    this.chart = createChart(element, {
      autoSize: true,
      // The attribution stands in the footer: the library's own needs an inline style, which the policy forbids.
      layout: { attributionLogo: false, fontFamily: getComputedStyle(document.body).fontFamily },
      crosshair: { mode: CrosshairMode.Normal },
      timeScale: { timeVisible: true, secondsVisible: false, rightOffset: 4, minBarSpacing: 0.8 },
      localization: { locale: "en", timeFormatter: (time) => words.moment(time, this.width) },
    });
    this.gaps = this.chart.addSeries(HistogramSeries, { priceScaleId: "gaps", lastValueVisible: false, priceLineVisible: false, base: 0 });
    this.volume = this.chart.addSeries(HistogramSeries, { priceScaleId: "volume", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false });
    this.candles = this.chart.addSeries(CandlestickSeries, {});
    this.chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
    this.chart.priceScale("gaps").applyOptions({ scaleMargins: { top: 0, bottom: 0 } });
    this.candles.priceScale().applyOptions({ scaleMargins: { top: 0.08, bottom: 0.24 } });
    this.paint();
  }

  /** Takes its colours from the style sheet. */
  paint() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    this.colours = { up: colour("--up"), down: colour("--down"), upFaint: colour("--up-faint"), downFaint: colour("--down-faint"), gap: colour("--gap"), corrected: colour("--amber") };
    const line = { color: colour("--grid") };
    this.chart.applyOptions({
      layout: { background: { type: ColorType.Solid, color: colour("--panel") }, textColor: colour("--dim") },
      grid: { vertLines: line, horzLines: line },
      rightPriceScale: { borderColor: colour("--line") },
      timeScale: { borderColor: colour("--line") },
      crosshair: { vertLine: { labelBackgroundColor: colour("--label") }, horzLine: { labelBackgroundColor: colour("--label") } },
    });
    const { up, down } = this.colours;
    this.candles.applyOptions({ upColor: up, downColor: down, borderUpColor: up, borderDownColor: down, wickUpColor: up, wickDownColor: down });
    this.draw();
  }

  /** Begins anew with rows as the API gives them; one without prices is a gap. */
  set(rows, width) {
    this.width = width;
    this.rows = new Map();
    this.chart.applyOptions({ timeScale: { timeVisible: width < 86400, secondsVisible: width < 60 } });
    rows.forEach((row) => this.keep(row, true));
    this.draw();
  }

  /** Puts older rows before those that are there. */
  prepend(rows) {
    const newer = this.rows;
    this.rows = new Map();
    rows.forEach((row) => this.keep(row, true));
    const last = [...this.rows.keys()].pop();
    const first = newer.keys().next().value;
    this.bridge(last, first);
    newer.forEach((row, time) => this.rows.set(time, row));
    this.draw();
  }

  /** One candle of the stream. Returns what stood there before. */
  update(row) {
    const time = Date.parse(row.window_start) / 1000;
    const before = this.rows.get(time);
    const last = this.lastTime();
    const isNew = !before && last !== undefined && time < last;
    const bridged = !before && last !== undefined && time > last + this.width;
    if (bridged) this.bridge(last, time);
    this.keep(row, row.closed);
    if (isNew || bridged || last === undefined) {
      this.rows = new Map([...this.rows].sort((a, b) => a[0] - b[0]));
      this.draw();
    } else {
      this.show(time, time < last);
    }
    return before;
  }

  /** Marks a candle for a moment: it is not what it was shown as. */
  flash(time) {
    const row = this.rows.get(time);
    if (!row) return;
    row.corrected = true;
    this.show(time, time < this.lastTime());
    setTimeout(() => {
      row.corrected = false;
      if (this.rows.get(time) === row) this.show(time, time < this.lastTime());
    }, 4000);
  }

  /** From here on the open candles are not followed: how they go on is not known. */
  miss() {
    for (const row of this.rows.values()) if (!row.closed) row.missed = true;
  }

  keep(row, closed) {
    const time = Date.parse(row.window_start) / 1000;
    this.rows.set(time, { ...row, time, closed, seen: Date.now() });
    if (row.close !== null && closed) {
      const precision = Math.max(this.precision, words.digits(row.close));
      if (precision !== this.precision) this.quote(precision);
    }
  }

  quote(precision) {
    this.precision = Math.min(precision, 8);
    this.candles.applyOptions({ priceFormat: { type: "price", precision: this.precision, minMove: 10 ** -this.precision } });
  }

  /** Rows without a price between two times, so that the time between them is seen. */
  bridge(from, to) {
    if (from === undefined || to === undefined || (to - from) / this.width > GAP_MAX) return;
    for (let time = from + this.width; time < to; time += this.width) this.rows.set(time, { time, close: null, closed: true });
  }

  candle(row) {
    if (row.close === null) return { time: row.time };
    const { time, open, high, low, close } = row;
    const bar = { time, open, high, low, close };
    const rises = close >= open;
    if (row.corrected) return { ...bar, borderColor: this.colours.corrected, wickColor: this.colours.corrected };
    // What is still open is hollow.
    return row.closed ? bar : { ...bar, color: rises ? this.colours.upFaint : this.colours.downFaint };
  }

  bar(row) {
    if (row.close === null || row.volume === null || row.volume === undefined) return { time: row.time };
    return { time: row.time, value: row.volume, color: row.close >= row.open ? this.colours.upFaint : this.colours.downFaint };
  }

  gap(row) {
    return row.close === null ? { time: row.time, value: 1, color: this.colours.gap } : { time: row.time };
  }

  draw() {
    const rows = [...this.rows.values()];
    this.gaps.setData(rows.map((row) => this.gap(row)));
    this.volume.setData(rows.map((row) => this.bar(row)));
    this.candles.setData(rows.map((row) => this.candle(row)));
  }

  show(time, isHistory) {
    const row = this.rows.get(time);
    this.gaps.update(this.gap(row), isHistory);
    this.volume.update(this.bar(row), isHistory);
    this.candles.update(this.candle(row), isHistory);
  }

  lastTime() {
    let last;
    for (last of this.rows.keys());
    return last;
  }

  firstTime() {
    return this.rows.keys().next().value;
  }

  /** The newest row with a price. */
  newest() {
    const rows = [...this.rows.values()];
    return rows.findLast((row) => row.close !== null);
  }

  /** The newest hundred candles or so, whatever fits. */
  fit() {
    const bars = Math.max(30, Math.floor(this.element.clientWidth / 9));
    const count = this.rows.size;
    this.chart.timeScale().setVisibleLogicalRange({ from: Math.max(count - bars, Math.min(0, count - 30)), to: count + 4 });
  }

  pan(bars) {
    const scale = this.chart.timeScale();
    scale.scrollToPosition(scale.scrollPosition() + bars, false);
  }

  zoom(factor) {
    const scale = this.chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    if (!range) return;
    const half = ((range.to - range.from) * factor) / 2;
    const middle = (range.to + range.from) / 2;
    if (half > 4) scale.setVisibleLogicalRange({ from: middle - half, to: middle + half });
  }

  latest() {
    this.chart.timeScale().scrollToRealTime();
  }
}
