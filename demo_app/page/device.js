// This device: what it is, and how long one run of each network takes on it.

import { measure } from "./server.js";
import { bytes, element, make, milliseconds, say } from "./text.js";

let rows = [];

export function startDevice(facts) {
  showFacts(facts);
  rows = latencyRows(facts);
  const body = element("latency").tBodies[0];
  body.replaceChildren(...rows.map((row, i) => tableRow(row, rows[i - 1])));
  element("measure").addEventListener("click", measureAll);
  element("measure").hidden = rows.length === 0;
  measureWhenSeen();
}

function showFacts(facts) {
  const known = Object.entries(facts.device).map(([name, fact]) => pair(name, fact));
  const engines = facts.engines.map(({ name, version, missing }) =>
    missing === null ? pair(name, version) : pair(name, missing, "absent"),
  );
  element("device-facts").replaceChildren(...known, ...engines);
}

function pair(term, value, className) {
  const made = make("div");
  made.append(make("dt", term), make("dd", value, className));
  return made;
}

/** Every bundle on every engine there is, at every precision and depth. */
function latencyRows({ bundles, engines }) {
  const present = engines.filter(({ missing }) => missing === null);
  return bundles.flatMap((bundle) =>
    present.flatMap(({ name, format }) =>
      bundle.models
        .filter((model) => model.format === format)
        .flatMap(({ precision }) =>
          (bundle.depths.length ? bundle.depths : [null]).map((depth) => ({
            bundle: bundle.name,
            engine: name,
            precision,
            depth,
          })),
        ),
    ),
  );
}

function tableRow(row, before) {
  const line = make("tr");
  const name = make("th", row.bundle);
  name.scope = "row";
  line.append(name, make("td", row.engine), make("td", row.precision));
  line.append(make("td", row.depth ?? "–", "number"));
  for (let i = 0; i < 5; i += 1) line.append(make("td", "–", "number"));
  line.append(make("td", "", "bar-cell"));
  if (before && before.bundle !== row.bundle) line.className = "group-start";
  return line;
}

/** Measuring costs time: wait until somebody looks. */
function measureWhenSeen() {
  const observer = new IntersectionObserver((entries) => {
    if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
    observer.disconnect();
    measureAll();
  });
  observer.observe(element("latency"));
}

async function measureAll() {
  say("device-message");
  element("measure").disabled = true;
  try {
    const lines = element("latency").tBodies[0].rows;
    for (const [i, row] of rows.entries()) {
      element("measure").textContent = `Measuring ${i + 1} of ${rows.length}`;
      showMeasured(lines[i], await measure(row));
    }
  } catch (error) {
    say("device-message", error.message);
  } finally {
    const isKnown = document.querySelector("#latency tr[data-p50]") !== null;
    element("measure").textContent = isKnown ? "Measure again" : "Measure";
    element("measure").disabled = false;
  }
}

function showMeasured(line, measured) {
  const { p50_ms, p90_ms, p99_ms, load_ms, peak_rss_bytes } = measured;
  [p50_ms, p90_ms, p99_ms, load_ms].forEach((ms, i) => {
    line.cells[4 + i].textContent = milliseconds(ms);
  });
  line.cells[8].textContent = peak_rss_bytes === null ? "not measured" : bytes(peak_rss_bytes);
  line.dataset.p50 = p50_ms;
  drawMeters(line.parentElement.rows);
  element("latency-conditions").textContent = conditions(measured);
}

function conditions({ threads, n_warmup, short_run }) {
  const width = threads === 1 ? "1 thread" : `${threads} threads`;
  const short = short_run ? " Short runs: published figures take 1024 runs and 60 s." : "";
  return `${width}, ${n_warmup} runs of warm-up. Load is the time to a new process's first result, memory what it takes in all.${short}`;
}

/** Bars compare rows of the same bundle. */
function drawMeters(lines) {
  const slowest = {};
  const known = [...lines].filter(({ dataset }) => dataset.p50 !== undefined);
  for (const { cells, dataset } of known) {
    const name = cells[0].textContent;
    slowest[name] = Math.max(slowest[name] ?? 0, Number(dataset.p50));
  }
  for (const { cells, dataset } of known) {
    const meter = make("span", "", "meter");
    meter.style.width = `${(100 * Number(dataset.p50)) / slowest[cells[0].textContent]}%`;
    cells[9].replaceChildren(meter);
  }
}
