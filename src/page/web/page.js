// The job's page: asks once a second where the job stands, and every ten what it did.
"use strict";

const $ = (id) => document.getElementById(id);
const JOB_EVERY = 1000;
const HISTORY_EVERY = 10000;
const count = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 });

let token = sessionStorage.getItem("stockpulse-job-token") || "";
let looking = false;

class Refused extends Error {}

async function ask(path) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(path, { headers, signal: AbortSignal.timeout(15000) });
  if (answer.status === 401) throw new Refused();
  const json = await answer.json();
  if (!answer.ok) throw new Error(json.error || `the job answers ${answer.status}`);
  return json;
}

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const all = Math.max(0, Math.round(seconds));
  if (all < 120) return `${all} s`;
  if (all < 7200) return `${Math.round(all / 60)} min`;
  if (all < 172800) return `${Math.round(all / 3600)} h`;
  return `${Math.round(all / 86400)} d`;
}

const time = (text) => (text ? text.replace("T", " ").replace(/\.\d+Z$/, "") : "–");
const bytes = (value) => (value ? `${fine.format(value / 1e6)} MB` : "–");

function state(text, bad) {
  $("state").textContent = text;
  $("state").classList.toggle("bad", Boolean(bad));
}

function figure(value, name) {
  const made = element("div", undefined, "figure");
  made.append(element("b", value), element("span", name));
  return made;
}

function showJob(job) {
  $("name").textContent = job.name;
  document.title = `${job.name} – StockPulse job`;
  if (job.state === "starting") {
    state("starting: Kafka’s topic is waited for");
    return;
  }
  const behind = job.partitions.map((one) => one.behind).filter((one) => one !== null);
  const all = behind.reduce((sum, one) => sum + one, 0);
  const waits = job.sinks.filter((one) => one.away).map((one) => `${one.place} is waited for (table ${one.table})`);
  if (behind.length < job.partitions.length) waits.unshift("Kafka does not say where the topic ends");
  state(["running", ...waits].join("; "), waits.length > 0);
  $("about").textContent = `StockPulse ${job.version}, ${job.threads} threads, topic ${job.topic} → ${job.tables.join(", ")}; since ${time(job.started)} UTC`;
  const stages = job.stages_ms;
  $("figures").replaceChildren(
    figure(count.format(job.ticks_per_second), "ticks a second"),
    figure(behind.length ? count.format(all) : "–", "messages behind"),
    figure(duration(job.watermark_lag_s), "from the watermark to now"),
    figure(count.format(job.open_windows), `open windows, ${count.format(job.open_keys)} keys`),
    figure(count.format(job.rows_written), `rows written, ${count.format(job.files_written)} files`),
    figure(job.last_commit === null ? "–" : count.format(job.last_commit), "last commit’s epoch"),
    figure(`${fine.format(stages.compute + stages.commit)} ms`,
      `since the last report: ${fine.format(stages.compute)} computing, ${fine.format(stages.commit)} committing; ${fine.format(stages.take)} asking the workers`),
    figure(bytes(job.memory_bytes), "memory"),
  );
  $("partitions").replaceChildren(...job.partitions.map((one) => {
    const row = element("tr");
    row.append(
      element("td", one.partition),
      element("td", count.format(one.next)),
      element("td", one.behind === null ? "–" : count.format(one.behind)),
      element("td", time(one.watermark)),
    );
    return row;
  }));
  $("sinks").replaceChildren(...job.sinks.map((one) => {
    const row = element("tr");
    const away = one.away && `away for ${duration(one.away.for_s)}: ${one.away.why}`;
    row.append(
      element("td", one.table),
      element("td", one.place),
      element("td", count.format(one.rows_written)),
      element("td", one.last_commit === null ? "–" : count.format(one.last_commit)),
      element("td", one.last_commit === null ? "–" : `${fine.format(one.took_ms)} ms`),
      element("td", away || "well", away ? "bad" : undefined),
    );
    return row;
  }));
  const ticks = [
    ["read", job.ticks.read], ["in windows", job.ticks.in_windows],
    ["left out by the SQL", job.ticks.filtered], ["late", job.ticks.late],
    ...Object.entries(job.ticks.rejected).map(([reason, ticks]) => [`rejected: ${reason}`, ticks]),
  ];
  $("ticks").replaceChildren(...ticks.flatMap(([name, value]) =>
    [element("dt", name), element("dd", count.format(value))]));
}

const CHARTS = [
  ["ticks_per_second", "ticks a second", count],
  ["busy_ms_per_second", "ms of closing windows a second", fine],
  ["open_windows", "open windows", count],
  ["watermark_lag_s", "s from the watermark to now", count],
  ["late", "late ticks", count],
  ["rejected", "rejected ticks", count],
  ["memory_bytes", "memory, MB", { format: (value) => fine.format(value / 1e6) }],
];

function chart(samples, [key, name, format]) {
  const made = element("figure", undefined, "chart");
  const points = samples.filter((one) => one[key] !== null);
  const caption = element("figcaption", name);
  const last = points.at(-1);
  caption.append(element("b", last ? format.format(last[key]) : "–"));
  made.append(caption);
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 100 40");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  const most = Math.max(...points.map((one) => one[key]), 1e-9);
  svg.setAttribute("aria-label", last ? `${name}: ${format.format(last[key])} now, ${format.format(most)} at the most` : `${name}: nothing yet`);
  if (points.length > 1) {
    const [from, to] = [points[0].time, last.time];
    const place = (one) => `${(100 * (one.time - from) / (to - from)).toFixed(2)},${(38 - 36 * one[key] / most).toFixed(2)}`;
    const line = points.map(place).join(" ");
    const area = document.createElementNS(space, "polygon");
    area.setAttribute("class", "area");
    area.setAttribute("points", `0,40 ${line} 100,40`);
    const path = document.createElementNS(space, "polyline");
    path.setAttribute("class", "line");
    path.setAttribute("points", line);
    svg.append(area, path);
  }
  made.append(svg);
  return made;
}

function showOpen(open) {
  const rows = open.outputs.flatMap((output) => output.rows.map((row) => [output.name, row]));
  const columns = rows.length ? Object.keys(rows[0][1]) : [];
  const wanted = ["symbol", "window_start"].filter((name) => columns.includes(name));
  const ordered = [...wanted, ...columns.filter((name) => !wanted.includes(name))];
  const several = open.outputs.length > 1;
  const head = element("tr");
  head.append(...[...(several ? ["table"] : []), ...ordered].map((name) => {
    const cell = element("th", name);
    cell.scope = "col";
    return cell;
  }));
  $("open-head").replaceChildren(...(rows.length ? [head] : []));
  $("open").replaceChildren(...rows.map(([table, row]) => {
    const line = element("tr");
    const cells = ordered.map((name) => row[name] === null ? "–" : String(row[name]));
    line.append(...[...(several ? [table] : []), ...cells].map((text) => element("td", text)));
    return line;
  }));
  $("open-scroll").hidden = rows.length === 0;
  $("open-note").textContent = rows.length ? `${rows.length} rows, as they would be if their windows closed now.` : "No window is open.";
}

async function every(milliseconds, work) {
  for (;;) {
    if (!document.hidden) {
      try {
        await work();
      } catch (error) {
        if (error instanceof Refused) {
          $("ask").hidden = false;
          state("this job asks for a token", true);
        } else {
          state(`the job does not answer: ${error.message}`, true);
        }
      }
    }
    await new Promise((done) => setTimeout(done, milliseconds));
  }
}

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value;
  sessionStorage.setItem("stockpulse-job-token", token);
  $("ask").hidden = true;
});
$("look").addEventListener("click", () => {
  looking = !looking;
  $("look").setAttribute("aria-pressed", String(looking));
  if (!looking) {
    $("open-scroll").hidden = true;
    $("open-note").textContent = "They are computed while somebody looks.";
  }
});
for (const id of ["sql", "plan"]) {
  $(`${id}-details`).addEventListener("toggle", async () => {
    const plan = await ask("/api/v1/plan").catch((error) => ({ [id]: error.message }));
    $(id).textContent = plan[id];
  });
}
every(JOB_EVERY, async () => showJob(await ask("/api/v1/job")));
every(HISTORY_EVERY, async () => {
  const { samples } = await ask("/api/v1/history");
  $("charts").replaceChildren(...CHARTS.map((one) => chart(samples, one)));
});
every(JOB_EVERY, async () => {
  if (!looking) return;
  const open = await ask("/api/v1/open");
  if (looking) showOpen(open);
});
