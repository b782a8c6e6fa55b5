// Numbers and messages as people read them.

export const element = (id) => document.getElementById(id);

/** A new element with text in it. */
export function make(tag, text = "", className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

/** Show a message, or none. */
export function say(id, message = "") {
  element(id).textContent = message;
  element(id).hidden = message === "";
}

export function milliseconds(ms) {
  if (ms >= 10_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms.toFixed(ms < 10 ? 2 : ms < 100 ? 1 : 0)} ms`;
}

export const decibels = (db) => (db === null ? "exact" : `${db.toFixed(2)} dB`);
export const seconds = (s) => `${s.toFixed(1)} s`;
export const whole = (n) => n.toLocaleString("en");

export function bytes(n) {
  if (n < 1024) return `${n} B`;
  if (n < 1024 ** 2) return `${(n / 1024).toFixed(1)} KiB`;
  if (n < 1024 ** 3) return `${(n / 1024 ** 2).toFixed(1)} MiB`;
  return `${(n / 1024 ** 3).toFixed(1)} GiB`;
}
