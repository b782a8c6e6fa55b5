// The microphone, as blocks of samples.

const REFUSALS = {
  NotAllowedError: "The browser was not allowed to use the microphone. Allow it and try again.",
  NotFoundError: "No microphone was found. Connect one, or choose a recording.",
  NotReadableError: "The microphone is used by another program. Close that one and try again.",
};

export class Microphone {
  #stream;
  #context;
  #worklet;

  /** Ask for the microphone; throws an Error whose message can be shown. */
  static async open() {
    if (!navigator.mediaDevices) {
      throw new Error(
        "The browser gives the microphone only to pages from this machine or over HTTPS. " +
          "Open the page as http://127.0.0.1, or choose a recording.",
      );
    }
    const microphone = new Microphone();
    try {
      // What cleans calls up would change what the network hears.
      microphone.#stream = await navigator.mediaDevices.getUserMedia({
        audio: {
          channelCount: 1,
          echoCancellation: false,
          noiseSuppression: false,
          autoGainControl: false,
        },
      });
    } catch (error) {
      throw new Error(REFUSALS[error.name] ?? `The microphone cannot be used: ${error.message}`);
    }
    microphone.#context = new AudioContext();
    await microphone.#context.audioWorklet.addModule("capture_worklet.js");
    return microphone;
  }

  get sampleRateHz() {
    return this.#context.sampleRate;
  }

  /** Call `take` with every block of samples (S,) from now on. */
  listen(take) {
    const source = this.#context.createMediaStreamSource(this.#stream);
    this.#worklet = new AudioWorkletNode(this.#context, "capture", { numberOfOutputs: 0 });
    this.#worklet.port.onmessage = ({ data }) => take(data);
    source.connect(this.#worklet);
  }

  /** Give the microphone back, after the last samples were taken. */
  async close() {
    await new Promise((resolve) => {
      const take = this.#worklet.port.onmessage;
      this.#worklet.port.onmessage = (event) => {
        take(event);
        resolve();
      };
      this.#worklet.port.postMessage("flush");
    });
    for (const track of this.#stream.getTracks()) track.stop();
    await this.#context.close();
  }
}
