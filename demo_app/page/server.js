// Every word exchanged with the server.

const SILENT = "The server does not answer. Is tiedge serve still running?";

/** Answer of a request as an object; throws an Error whose message can be shown. */
async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error(SILENT);
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    throw new Error(answer.error ?? `The server answered with status ${response.status}.`);
  }
  return answer;
}

export const facts = () => ask("facts");

/** Filter a picture; `question` holds bundle, engine, precision, depth, and what
 * the bundle takes of sigma, noise, strength and look. */
export function filterPicture(file, question, signal) {
  return ask(`picture?${new URLSearchParams(question)}`, {
    method: "POST",
    body: file,
    headers: { "Content-Type": "application/octet-stream" },
    signal,
  });
}

/** Measure one row of the latency table. */
export function measure(row) {
  return ask("latency", {
    method: "POST",
    body: JSON.stringify(row),
    headers: { "Content-Type": "application/json" },
  });
}

const BUFFERED_BYTES = 256 * 1024;

/** A transcription in progress: sound goes out, events come in through `onEvent`. */
export class Transcription {
  #socket;
  #greeted;

  /** `onEvent` gets the server's events; `done` settles when no more will come. */
  constructor(greeting, onEvent) {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.#socket = new WebSocket(`${scheme}://${location.host}/transcribe`);
    this.#socket.binaryType = "arraybuffer";
    this.#greeted = new Promise((resolve) => {
      this.#socket.onopen = () => {
        this.#socket.send(JSON.stringify(greeting));
        resolve();
      };
      this.#socket.addEventListener("close", resolve);
    });
    this.done = this.#listen(onEvent);
  }

  #listen(onEvent) {
    return new Promise((resolve, reject) => {
      let finished = false;
      this.#socket.onmessage = ({ data }) => {
        const event = JSON.parse(data);
        if (event.kind === "error") reject(new Error(event.message));
        else if (event.kind !== "ready") onEvent(event);
        finished ||= event.kind === "final";
      };
      this.#socket.onclose = ({ wasClean }) =>
        finished && wasClean ? resolve() : reject(new Error(SILENT));
    });
  }

  /** Send samples in ±1, waiting while the server is behind. */
  async send(samples) {
    await this.#greeted;
    while (this.#isOpen() && this.#socket.bufferedAmount > BUFFERED_BYTES) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    if (this.#isOpen()) this.#socket.send(samples);
  }

  /** Say that no more sound will come. */
  async end() {
    await this.#greeted;
    if (this.#isOpen()) this.#socket.send("end");
  }

  #isOpen() {
    return this.#socket.readyState === WebSocket.OPEN;
  }
}
