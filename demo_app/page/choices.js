// Bundle, engine and precision: three selects, each offering what the one before allows.

import { say } from "./text.js";

export class Choices {
  #form;
  #facts;
  #bundles;

  /**
   * `task` is "picture" or "speech"; `changed` is called after every later choice; the
   * bundle of the name `preferred` comes chosen, if it is on offer.
   */
  constructor(form, facts, task, changed, preferred) {
    this.#form = form;
    this.#facts = facts;
    this.#bundles = facts.bundles.filter((bundle) => bundle.task === task);
    fill(
      form.elements.bundle,
      this.#bundles.map(({ name }) => ({ value: name })),
      preferred,
    );
    this.#offerEngines();
    form.elements.bundle.addEventListener("change", () => this.#offerEngines());
    form.elements.engine.addEventListener("change", () => this.#offerPrecisions());
    for (const name of ["bundle", "engine", "precision"]) {
      form.elements[name].addEventListener("change", changed);
    }
    form.addEventListener("submit", (event) => event.preventDefault());
  }

  /** The chosen bundle's facts; undefined where none is on offer. */
  get bundle() {
    return this.#bundles.find(({ name }) => name === this.#form.elements.bundle.value);
  }

  get values() {
    const { bundle, engine, precision } = this.#form.elements;
    return { bundle: bundle.value, engine: engine.value, precision: precision.value };
  }

  #offerEngines() {
    const formats = new Set(this.bundle?.models.map(({ format }) => format));
    const fitting = this.#facts.engines.filter(({ format }) => formats.has(format));
    fill(
      this.#form.elements.engine,
      fitting.map(({ name, missing }) => ({ value: name, missing })),
    );
    this.#offerPrecisions();
  }

  #offerPrecisions() {
    const engine = this.#facts.engines.find(
      ({ name }) => name === this.#form.elements.engine.value,
    );
    const models = this.bundle?.models.filter(({ format }) => format === engine?.format);
    fill(
      this.#form.elements.precision,
      (models ?? []).map(({ precision }) => ({ value: precision })),
      "int8",
    );
  }
}

/** Offer `options` (each a value, and why it is missing if it is), keeping the present choice where it is still on offer. */
function fill(select, options, preferred) {
  const kept = select.value || preferred;
  select.replaceChildren(
    ...options.map(({ value, missing = null }) => {
      const option = new Option(missing === null ? value : `${value} (not available)`, value);
      option.disabled = missing !== null;
      option.title = missing ?? "";
      return option;
    }),
  );
  const usable = [...select.options].filter(({ disabled }) => !disabled).map(({ value }) => value);
  const wanted = [kept, preferred].find((value) => usable.includes(value));
  select.value = wanted ?? usable[0] ?? "";
}

/** Let `zone` take one dropped file. */
export function takeDrops(zone, take) {
  const hover = (over) => zone.classList.toggle("over", over);
  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    hover(true);
  });
  zone.addEventListener("dragleave", () => hover(false));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    hover(false);
    const [file] = event.dataTransfer.files;
    if (file) take(file);
  });
}

/** Let a button open the file dialogue behind it. */
export function takeChosen(button, input, take) {
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    const [file] = input.files;
    if (file) take(file);
    input.value = ""; // choosing the same file again counts as a choice
  });
}

/** Tell whether a file may be sent; says why not. */
export function fits(file, limits, messageId) {
  if (file.size <= limits.body_bytes) return true;
  const most = Math.floor(limits.body_bytes / 1024 ** 2);
  const found = (file.size / 1024 ** 2).toFixed(1);
  say(messageId, `${file.name}: ${found} MiB, expected at most ${most} MiB. Choose a smaller file.`);
  return false;
}
