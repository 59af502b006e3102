// Asks the API: answers as JSON, and the stream of events, which connects again by itself.

/** The server asks for a token, or for another one. */
export class Unauthorized extends Error {}

/** Nothing came for so long: the connection is gone, whatever the browser thinks. */
const SILENCE_MS = 15000;
const RETRY_MS = [500, 1000, 2000, 4000, 8000];

function headers() {
  const token = sessionStorage.getItem("token");
  return token ? { authorization: `Bearer ${token}` } : {};
}

export async function ask(path, params, signal) {
  const query = new URLSearchParams(params ?? {}).toString();
  const answer = await fetch(query ? `${path}?${query}` : path, { headers: headers(), signal });
  if (answer.status === 401) throw new Unauthorized();
  if (!answer.ok) {
    const body = await answer.json().catch(() => ({}));
    throw new Error(body.error ?? `the server answers ${answer.status}`);
  }
  return answer.json();
}

/**
 * Follows one symbol until `signal` aborts. `on` has: event(name, data), connected(), lost(seconds, why),
 * unauthorized(). What was missed while it was away is sent again, by the id of the last closed candle.
 */
export async function follow({ symbol, resolution, lastId, signal }, on) {
  let failures = 0;
  while (!signal.aborted) {
    let why = "the connection ended";
    const silence = new AbortController();
    try {
      const query = new URLSearchParams({ symbol, resolution });
      const answer = await within(silence, (alive) => fetch(`/api/v1/stream?${query}`, {
        headers: { ...headers(), accept: "text/event-stream", ...(lastId && { "last-event-id": lastId }) },
        cache: "no-store",
        signal: AbortSignal.any([signal, alive]),
      }));
      if (answer.status === 401) return on.unauthorized();
      if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error ?? `status ${answer.status}`);
      on.connected();
      failures = 0;
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { done, value } = await within(silence, () => reader.read());
        if (done) break;
        const parts = (rest + value).split("\n\n");
        rest = parts.pop();
        for (const part of parts) {
          const event = parse(part);
          if (event.id) lastId = event.id;
          if (event.data) on.event(event.name, JSON.parse(event.data));
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      why = silence.signal.aborted ? "nothing was heard for a while" : "the server cannot be reached";
    }
    const wait = RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)];
    on.lost(wait / 1000, why);
    await pause(wait, signal);
  }
}

/** Aborts `silence` if what is waited for takes too long. */
async function within(silence, wait) {
  const timer = setTimeout(() => silence.abort(), SILENCE_MS);
  try {
    const gone = new Promise((_, reject) => silence.signal.addEventListener("abort", () => reject(new Error("silence")), { once: true }));
    return await Promise.race([wait(silence.signal), gone]);
  } finally {
    clearTimeout(timer);
  }
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}

function parse(text) {
  const event = { name: "message", data: "", id: null };
  for (const line of text.split("\n")) {
    const [, field, value] = /^(\w*): ?(.*)$/.exec(line) ?? [];
    if (field === "event") event.name = value;
    if (field === "id") event.id = value;
    if (field === "data") event.data += (event.data && "\n") + value;
  }
  return event;
}
