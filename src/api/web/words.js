// Numbers and times as they are shown. Times are UTC.

const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 8 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 2 });

/** Digits behind the point that a price is written with. */
export function digits(price) {
  const text = plain.format(price);
  const point = text.indexOf(".");
  return point < 0 ? 0 : text.length - point - 1;
}

export function price(value, precision) {
  return value.toLocaleString("en", { minimumFractionDigits: precision, maximumFractionDigits: precision });
}

export function amount(value) {
  return value === null || value === undefined ? "–" : Math.abs(value) < 1000 ? plain.format(Math.round(value * 1e6) / 1e6) : short.format(value);
}

export function percent(value) {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)} %`;
}

/** A candle's start: its minute, or its day where candles last a day. */
export function moment(seconds, width) {
  const text = new Date(seconds * 1000).toISOString();
  if (width >= 86400) return text.slice(0, 10);
  return `${text.slice(0, 10)} ${text.slice(11, width < 60 ? 19 : 16)}`;
}

export function clock(seconds, width) {
  return moment(seconds, width).slice(-5);
}

/** `15m` in seconds. */
export function seconds(resolution) {
  const [, number, unit] = /^(\d+)(ms|[smhdw])$/.exec(resolution);
  return Number(number) * { ms: 0.001, s: 1, m: 60, h: 3600, d: 86400, w: 604800 }[unit];
}
