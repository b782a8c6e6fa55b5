// A sample picture, drawn here: smooth areas, edges, fine texture and lettering.

const WIDTH_PX = 768;
const HEIGHT_PX = 512;

/** The sample as a PNG file; the same pixels every time. */
export async function drawSample() {
  const canvas = document.createElement("canvas");
  canvas.width = WIDTH_PX;
  canvas.height = HEIGHT_PX;
  const context = canvas.getContext("2d");
  const random = generator(7);
  drawSky(context);
  drawHills(context, random);
  drawLake(context, random);
  drawHouse(context, random);
  drawTree(context, random, 128, 452, -Math.PI / 2, 88, 13);
  drawGrass(context, random);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  return new File([blob], "sample.png", { type: "image/png" });
}

/** Numbers in 0–1 from a seed (mulberry32). */
function generator(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

function gradient(context, fromY, toY, ...colours) {
  const made = context.createLinearGradient(0, fromY, 0, toY);
  colours.forEach((colour, i) => made.addColorStop(i / (colours.length - 1), colour));
  return made;
}

function drawSky(context) {
  context.fillStyle = gradient(context, 0, 300, "#3b6ea5", "#9cc3dd", "#f3dcc0");
  context.fillRect(0, 0, WIDTH_PX, 320);
  const glow = context.createRadialGradient(560, 190, 8, 560, 190, 150);
  glow.addColorStop(0, "rgb(255 246 214)");
  glow.addColorStop(0.2, "rgb(255 236 190 / 70%)");
  glow.addColorStop(1, "rgb(255 236 190 / 0%)");
  context.fillStyle = glow;
  context.fillRect(380, 20, 380, 320);
}

function drawHills(context, random) {
  const layers = [
    ["#8fa6b8", 236, 44, 0.011],
    ["#5f7d8c", 262, 34, 0.017],
    ["#3f5f5a", 290, 22, 0.026],
  ];
  for (const [colour, base, height, step] of layers) {
    const phase = random() * 6;
    context.fillStyle = colour;
    context.beginPath();
    context.moveTo(0, 330);
    for (let x = 0; x <= WIDTH_PX; x += 1) {
      const rough = Math.sin(x * step * 7.3 + phase) * 0.16 + Math.sin(x * step * 19) * 0.06;
      context.lineTo(x, base - height * (Math.sin(x * step + phase) + rough));
    }
    context.lineTo(WIDTH_PX, 330);
    context.fill();
  }
}

function drawLake(context, random) {
  context.fillStyle = gradient(context, 315, 420, "#d9c9b4", "#6f93a8", "#37566b");
  context.fillRect(0, 315, WIDTH_PX, 110);
  for (let i = 0; i < 320; i += 1) {
    const y = 318 + random() * 100;
    const length = 6 + random() * (y - 300) * 0.5;
    context.fillStyle = random() < 0.5 ? "rgb(255 244 220 / 34%)" : "rgb(24 50 66 / 26%)";
    context.fillRect(random() * WIDTH_PX, y, length, 1 + (y > 370 ? 1 : 0));
  }
  context.fillStyle = gradient(context, 405, HEIGHT_PX, "#5b7a3a", "#38512a");
  context.beginPath();
  context.moveTo(0, 430);
  context.bezierCurveTo(200, 392, 420, 424, WIDTH_PX, 398);
  context.lineTo(WIDTH_PX, HEIGHT_PX);
  context.lineTo(0, HEIGHT_PX);
  context.fill();
}

function drawHouse(context, random) {
  for (let row = 0; row < 9; row += 1) {
    for (let column = -1; column < 9; column += 1) {
      const shade = 128 + Math.floor(random() * 52);
      const x = 470 + column * 20 + (row % 2) * 10;
      context.fillStyle = `rgb(${shade} ${Math.floor(shade * 0.56)} ${Math.floor(shade * 0.44)})`;
      const left = Math.max(x, 470);
      context.fillRect(left, 332 + row * 11, Math.min(x + 19, 640) - left, 10);
    }
  }
  context.fillStyle = "#3a3f4b";
  context.beginPath();
  context.moveTo(455, 334);
  context.lineTo(555, 262);
  context.lineTo(655, 334);
  context.fill();
  context.strokeStyle = "#596070";
  for (let i = 1; i < 7; i += 1) {
    context.strokeRect(555 - i * 13.5, 262 + i * 10, i * 27, 0.6);
  }
  for (const x of [490, 590]) {
    context.fillStyle = "#f7e7b0";
    context.fillRect(x, 350, 32, 34);
    context.strokeStyle = "#f4f1ea";
    context.lineWidth = 3;
    context.strokeRect(x, 350, 32, 34);
    context.strokeRect(x + 16, 350, 0.1, 34);
  }
  context.fillStyle = "#26414f";
  context.fillRect(538, 360, 34, 71);
  context.fillStyle = "#f4f1ea";
  context.font = "600 17px Georgia, serif";
  context.fillText("No. 8", 534, 322);
  context.lineWidth = 1;
}

function drawTree(context, random, x, y, angle, length, width) {
  if (length < 7) {
    const light = 92 + random() * 70;
    context.fillStyle = `rgb(${light * 0.72} ${light} ${light * 0.4})`;
    context.beginPath();
    context.ellipse(x, y, 3.4, 2.1, angle, 0, 7);
    context.fill();
    return;
  }
  const endX = x + Math.cos(angle) * length;
  const endY = y + Math.sin(angle) * length;
  context.strokeStyle = "#43352b";
  context.lineWidth = width;
  context.lineCap = "round";
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(endX, endY);
  context.stroke();
  context.lineWidth = 1;
  for (const turn of [-0.55, 0.05, 0.5]) {
    const next = length * (0.6 + random() * 0.16);
    drawTree(context, random, endX, endY, angle + turn + (random() - 0.5) * 0.3, next, width * 0.62);
  }
}

function drawGrass(context, random) {
  for (let i = 0; i < 2600; i += 1) {
    const x = random() * WIDTH_PX;
    const y = 436 + random() * 80;
    const light = 70 + random() * 90;
    context.strokeStyle = `rgb(${light * 0.72} ${light} ${light * 0.36})`;
    context.beginPath();
    context.moveTo(x, y);
    context.lineTo(x + (random() - 0.5) * 7, y - 4 - random() * 10);
    context.stroke();
  }
  for (let i = 0; i < 60; i += 1) {
    context.fillStyle = ["#e8d44d", "#f2f2ec", "#c8553d"][Math.floor(random() * 3)];
    context.beginPath();
    context.arc(random() * WIDTH_PX, 446 + random() * 60, 1.6 + random() * 1.6, 0, 7);
    context.fill();
  }
}
