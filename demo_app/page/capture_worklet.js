// Runs on the audio thread: gathers the first channel into blocks and posts them.

const BLOCK_SAMPLES = 2048;

class Capture extends AudioWorkletProcessor {
  #block = new Float32Array(BLOCK_SAMPLES);
  #n = 0;

  constructor() {
    super();
    this.port.onmessage = () => this.#post();
  }

  process([input]) {
    const samples = input[0];
    if (samples === undefined) return true;
    for (const sample of samples) {
      this.#block[this.#n] = sample;
      this.#n += 1;
      if (this.#n === BLOCK_SAMPLES) this.#post();
    }
    return true;
  }

  #post() {
    this.port.postMessage(this.#block.slice(0, this.#n));
    this.#n = 0;
  }
}

registerProcessor("capture", Capture);
