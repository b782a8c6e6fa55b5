// The last seconds of sound, drawn as bars.

const BAR_PX = 4;
const BAR_S = 0.05;

export class Wave {
  #canvas;
  #peaks = [];
  #peak = 0;
  #n = 0;
  #barSamples = 1;

  constructor(canvas) {
    this.#canvas = canvas;
    new ResizeObserver(() => this.#draw()).observe(canvas);
    new MutationObserver(() => this.#draw()).observe(document.documentElement, {
      attributeFilter: ["data-theme"],
    });
  }

  /** Begin anew, with sound of that rate. */
  clear(sampleRateHz) {
    this.#peaks = [];
    this.#n = 0;
    this.#barSamples = Math.max(1, Math.round(sampleRateHz * BAR_S));
    this.#draw();
  }

  add(samples) {
    for (const sample of samples) {
      this.#peak = Math.max(this.#peak, Math.abs(sample));
      this.#n += 1;
      if (this.#n === this.#barSamples) {
        this.#peaks.push(this.#peak);
        this.#peak = 0;
        this.#n = 0;
      }
    }
    this.#draw();
  }

  #draw() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const scale = devicePixelRatio;
    this.#canvas.width = width * scale;
    this.#canvas.height = height * scale;
    const context = this.#canvas.getContext("2d");
    context.scale(scale, scale);
    const style = getComputedStyle(document.documentElement);
    context.fillStyle = style.getPropertyValue("--accent");
    const n = Math.floor(width / BAR_PX);
    this.#peaks = this.#peaks.slice(-n);
    this.#peaks.forEach((peak, i) => {
      const bar = Math.max(2, Math.sqrt(Math.min(peak, 1)) * (height - 20));
      context.fillRect(i * BAR_PX, (height - bar) / 2, BAR_PX - 1.5, bar);
    });
    if (this.#peaks.length === 0) {
      context.fillStyle = style.getPropertyValue("--line");
      context.fillRect(0, height / 2 - 1, width, 2);
    }
  }
}
