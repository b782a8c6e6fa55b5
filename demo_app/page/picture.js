// The picture filter: a photo, its noise, its restoration, and what that took.

import { Choices, fits, takeChosen, takeDrops } from "./choices.js";
import { drawSample } from "./sample.js";
import { filterPicture } from "./server.js";
import { decibels, element, make, milliseconds, say } from "./text.js";

const BUSY_AFTER_MS = 150; // faster answers show no sign of being busy
const SETTINGS = ["depth", "sigma", "strength", "look"];
const AUTO = "auto"; // a noise level that is judged from the picture

let facts;
let choices;
let file = null;
let running = null;
const wishedDepths = new Map(); // bundle's name to the depth that was chosen for it

export function startPicture(serverFacts) {
  facts = serverFacts;
  const form = element("picture-controls");
  choices = new Choices(form, facts, "picture", offerBundle);
  form.addEventListener("change", (event) => {
    if (SETTINGS.includes(event.target.name)) run();
    if (event.target.name === "depth") wishedDepths.set(choices.bundle.name, event.target.value);
  });
  element("sigma").addEventListener("input", () => {
    element("estimated").checked = false;
    showSigma();
  });
  // Noise is added at a level that is known, so only one of both can be chosen.
  element("noise").addEventListener("change", () => {
    setNoise({ noise: element("noise").checked, estimated: !element("noise").checked });
    run();
  });
  element("estimated").addEventListener("change", () => {
    if (element("estimated").checked) element("noise").checked = false;
    showSigma();
    run();
  });
  element("strength").addEventListener("input", showStrength);
  takeDrops(element("picture-stage"), open);
  takeChosen(element("choose-picture"), element("picture-file"), open);
  element("sample-picture").addEventListener("click", async () =>
    open(await drawSample(), { noise: true, estimated: false }),
  );
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
  offerDepths(bundle);
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

/** The deepest, until another was chosen for this bundle. */
function offerDepths({ name, depths }) {
  const chosen = Number(wishedDepths.get(name) ?? Math.max(...depths));
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
const chosenDepth = () => document.querySelector('input[name="depth"]:checked')?.value;

/** `noise`: some is added; `estimated`: its level is judged from the picture. */
function setNoise({ noise, estimated }) {
  element("noise").checked = noise;
  element("estimated").checked = estimated;
  showSigma();
}

const noiseSettings = () => ({
  noise: element("noise").checked,
  estimated: element("estimated").checked,
});

function showSigma() {
  element("sigma-value").textContent = element("estimated").checked ? "" : element("sigma").value;
}


function showStrength() {
  element("strength-value").textContent = Number(element("strength").value).toFixed(2);
}

function moveCut() {
  element("compare").style.setProperty("--cut", `${element("compare-slider").value}%`);
}

/** Show a photo that has noise of its own, unless other settings are given. */
function open(chosen, settings = { noise: false, estimated: true }) {
  say("picture-message");
  if (!fits(chosen, facts.limits, "picture-message")) return;
  const before = noiseSettings();
  setNoise(settings);
  run(chosen, before);
}

/** Filter `candidate`; it becomes the picture on show only if it is one, and the noise
 * settings are those from `before` it if not. */
async function run(candidate = file, before = noiseSettings()) {
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
    if (candidate !== file) setNoise(before);
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
    ...(takesNoise() ? noiseQuestion() : {}),
    ...(picture.strength === null ? {} : { strength: element("strength").value }),
    ...(picture.looks.length === 0 ? {} : { look: element("look").value }),
    ...(depth === undefined ? {} : { depth }),
  };
}

function noiseQuestion() {
  const { noise, estimated } = noiseSettings();
  return { sigma: estimated ? AUTO : element("sigma").value, noise };
}

const withName = (message, name) => message.replace(/^upload:/, `${name}:`);

async function show(answer) {
  const after = `data:image/png;base64,${answer.after_png}`;
  element("before-image").src = `data:image/png;base64,${answer.before_png}`;
  element("after-image").src = after;
  element("save-picture").href = after;
  await Promise.all([element("before-image").decode(), element("after-image").decode()]);
  element("compare").style.setProperty("--ratio", answer.width_px / answer.height_px);
  element("before-tag").textContent = answer.noise ? "Before, with noise" : "Before";
  element("picture-welcome").hidden = true;
  element("compare").hidden = false;
  element("save-picture").hidden = false;
  showFigures(answer);
}

function showFigures(answer) {
  element("picture-ms").textContent = milliseconds(answer.compute_ms);
  element("picture-size").textContent = sizes(answer);
  if (answer.sigma_is_estimated) element("sigma-value").textContent = answer.sigma.toFixed(1);
  // Quality is known where the picture before the noise is.
  for (const id of ["noisy-psnr", "restored-psnr"]) {
    element(id).parentElement.hidden = !answer.noise;
  }
  element("noisy-psnr").textContent = decibels(answer.noisy_psnr_db);
  element("restored-psnr").textContent = decibels(answer.psnr_db);
  if (answer.psnr_db !== null && answer.noisy_psnr_db !== null) {
    const gain = answer.psnr_db - answer.noisy_psnr_db;
    const sign = gain < 0 ? "−" : "+";
    element("restored-psnr").append(" ", make("small", sign + Math.abs(gain).toFixed(2), gain < 0 ? "some" : ""));
  }
  element("picture-conditions").textContent =
    `${answer.bundle}, ${answer.precision}, depth ${answer.depth} on ${answer.engine} ` +
    `${answer.engine_version}, ${threads(answer.threads)}${level(answer)}; loading took ` +
    `${milliseconds(answer.load_ms)} once.`;
}

/** The picture's size, and the result's where it is another. */
function sizes(answer) {
  const before = `${answer.width_px} × ${answer.height_px}`;
  const { naturalWidth, naturalHeight } = element("after-image");
  const after = `${naturalWidth} × ${naturalHeight}`;
  return after === before ? before : `${before} → ${after}`;
}

function level({ sigma, sigma_is_estimated: isEstimated }) {
  if (sigma === null) return "";
  return isEstimated ? `, σ ${sigma.toFixed(1)}, estimated` : `, σ ${sigma}`;
}

const threads = (n) => (n === 1 ? "1 thread" : `${n} threads`);
