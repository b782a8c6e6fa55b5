// The picture filter: a photo, its noise, its restoration, and what that took.

import { Choices, fits, takeChosen, takeDrops } from "./choices.js";
import { drawSample } from "./sample.js";
import { filterPicture } from "./server.js";
import { decibels, element, make, milliseconds, say } from "./text.js";

const BUSY_AFTER_MS = 150; // faster answers show no sign of being busy
const SETTINGS = ["depth", "sigma", "strength", "look"];

let facts;
let choices;
let file = null;
let running = null;

export function startPicture(serverFacts) {
  facts = serverFacts;
  const form = element("picture-controls");
  choices = new Choices(form, facts, "picture", offerBundle);
  form.addEventListener("change", (event) => {
    if (SETTINGS.includes(event.target.name) || event.target.id === "noise") run();
  });
  element("sigma").addEventListener("input", showSigma);
  element("strength").addEventListener("input", showStrength);
  takeDrops(element("picture-stage"), open);
  takeChosen(element("choose-picture"), element("picture-file"), open);
  element("sample-picture").addEventListener("click", async () => open(await drawSample()));
  element("compare-slider").addEventListener("input", moveCut);
  for (const id of ["choose-picture", "sample-picture"]) {
    element(id).disabled = choices.bundle === undefined;
  }
  offerBundle();
}

function offerBundle() {
  const { bundle } = choices;
  if (bundle === undefined) {
    element("picture-summary").textContent = "";
    say("picture-message", "No picture bundle is served. Start tiedge serve with --bundle FOLDER.");
    return;
  }
  element("picture-summary").textContent = bundle.summary;
  offerDepths(bundle.depths);
  offerNoise(bundle.picture.sigma);
  offerStrength(bundle.picture.strength);
  offerLooks(bundle.picture.looks);
  run();
}

function offerNoise(levels) {
  element("sigma-field").hidden = element("noise-field").hidden = levels === null;
  if (levels === null) return;
  element("sigma").min = levels.minimum;
  element("sigma").max = levels.maximum;
  showSigma();
}

function offerStrength(levels) {
  element("strength-field").hidden = levels === null;
  if (levels === null) return;
  const input = element("strength");
  Object.assign(input, { min: levels.minimum, max: levels.maximum, value: levels.maximum });
  showStrength();
}

function offerLooks(looks) {
  element("look-field").hidden = looks.length === 0;
  element("look").replaceChildren(...looks.map((look) => make("option", look)));
}

function offerDepths(depths) {
  const kept = Number(chosenDepth());
  const chosen = depths.includes(kept) ? kept : Math.max(...depths);
  element("depths").replaceChildren(
    ...depths.map((depth) => {
      const label = make("label");
      const input = make("input");
      Object.assign(input, { type: "radio", name: "depth", value: depth });
      input.checked = depth === chosen;
      label.append(input, make("span", String(depth)));
      return label;
    }),
  );
  element("depth-field").hidden = depths.length === 0;
}

const takesNoise = () => choices.bundle.picture.sigma !== null;
const addsNoise = () => takesNoise() && element("noise").checked;
const chosenDepth = () => document.querySelector('input[name="depth"]:checked')?.value;

function showSigma() {
  element("sigma-value").textContent = element("sigma").value;
}

function showStrength() {
  element("strength-value").textContent = Number(element("strength").value).toFixed(2);
}

function moveCut() {
  element("compare").style.setProperty("--cut", `${element("compare-slider").value}%`);
}

function open(chosen) {
  say("picture-message");
  if (!fits(chosen, facts.limits, "picture-message")) return;
  run(chosen);
}

/** Filter `candidate`; it becomes the picture on show only if it is one. */
async function run(candidate = file) {
  if (candidate === null) return;
  running?.abort();
  running = new AbortController();
  const { signal } = running;
  const busy = setTimeout(() => (element("picture-busy").hidden = false), BUSY_AFTER_MS);
  element("picture-stage").setAttribute("aria-busy", "true");
  try {
    const answer = await filterPicture(candidate, question(), signal);
    file = candidate;
    say("picture-message");
    await show(answer);
  } catch (error) {
    if (error.name === "AbortError") return;
    say("picture-message", withName(error.message, candidate.name));
  } finally {
    clearTimeout(busy);
    if (!signal.aborted) {
      element("picture-busy").hidden = true;
      element("picture-stage").removeAttribute("aria-busy");
    }
  }
}

function question() {
  const depth = chosenDepth();
  const { picture } = choices.bundle;
  return {
    ...choices.values,
    ...(takesNoise() ? { sigma: element("sigma").value, noise: addsNoise() } : {}),
    ...(picture.strength === null ? {} : { strength: element("strength").value }),
    ...(picture.looks.length === 0 ? {} : { look: element("look").value }),
    ...(depth === undefined ? {} : { depth }),
  };
}

const withName = (message, name) => message.replace(/^upload:/, `${name}:`);

async function show(answer) {
  const after = `data:image/png;base64,${answer.after_png}`;
  element("before-image").src = `data:image/png;base64,${answer.before_png}`;
  element("after-image").src = after;
  element("save-picture").href = after;
  await Promise.all([element("before-image").decode(), element("after-image").decode()]);
  element("compare").style.setProperty("--ratio", answer.width_px / answer.height_px);
  element("before-tag").textContent = addsNoise() ? "Before, with noise" : "Before";
  element("picture-welcome").hidden = true;
  element("compare").hidden = false;
  element("save-picture").hidden = false;
  showFigures(answer);
}

function showFigures(answer) {
  element("picture-ms").textContent = milliseconds(answer.compute_ms);
  element("picture-size").textContent = `${answer.width_px} × ${answer.height_px}`;
  element("noisy-psnr").textContent = measured(answer.noise, answer.noisy_psnr_db);
  element("restored-psnr").textContent = measured(answer.noise, answer.psnr_db);
  if (answer.psnr_db !== null && answer.noisy_psnr_db !== null) {
    const gain = answer.psnr_db - answer.noisy_psnr_db;
    const sign = gain < 0 ? "−" : "+";
    element("restored-psnr").append(" ", make("small", sign + Math.abs(gain).toFixed(2), gain < 0 ? "some" : ""));
  }
  element("picture-conditions").textContent =
    `${answer.bundle}, ${answer.precision}, depth ${answer.depth} on ${answer.engine} ` +
    `${answer.engine_version}, ${threads(answer.threads)}; loading took ` +
    `${milliseconds(answer.load_ms)} once.`;
}

const measured = (noise, db) => (noise ? decibels(db) : "not measured");
const threads = (n) => (n === 1 ? "1 thread" : `${n} threads`);
