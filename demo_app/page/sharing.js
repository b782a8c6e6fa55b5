// Each bundle's sharing report: what is stored once, and how often it is used.

import { bytes, element, make, whole } from "./text.js";

const MOST_MARKS = 32;

export function startSharing({ bundles }) {
  element("reports").replaceChildren(...bundles.map(report));
}

function report(bundle) {
  const card = make("article", "", "report");
  const head = make("div", "", "report-head");
  head.append(make("h3", bundle.name));
  head.append(make("p", `${whole(bundle.unique_parameters)} unique parameters`));
  card.append(head, modelTable(bundle.models));
  for (const model of bundle.models) card.append(weightDetails(model));
  card.append(metricDetails(bundle.models), terms(bundle));
  return card;
}

function framed(label, headings, lines) {
  const frame = make("div", "", "table-frame");
  Object.assign(frame, { tabIndex: 0, role: "region", ariaLabel: label });
  const table = make("table");
  const head = table.createTHead().insertRow();
  for (const { text, number } of headings) {
    const cell = make("th", text, number ? "number" : "");
    cell.scope = "col";
    head.append(cell);
  }
  const body = table.createTBody();
  for (const cells of lines) {
    const line = body.insertRow();
    cells.forEach((cell, i) => {
      const made = make("td", "", headings[i].number ? "number" : "");
      made.append(cell);
      line.append(made);
    });
  }
  frame.append(table);
  return frame;
}

const text = (label) => ({ text: label, number: false });
const number = (label) => ({ text: label, number: true });

function modelTable(models) {
  return framed(
    "Bytes per model file",
    [
      text("File"),
      text("Quantization"),
      number("File size"),
      number("Unique"),
      number("Stored"),
      number("Duplicate"),
    ],
    models.map(({ file, quantization, sharing, ...model }) => [
      file,
      quantization,
      bytes(model.bytes),
      bytes(sharing.unique_bytes),
      bytes(sharing.stored_bytes),
      make("span", bytes(sharing.duplicate_bytes), sharing.duplicate_bytes ? "some" : "zero"),
    ]),
  );
}

function weightDetails({ file, sharing, loop }) {
  const details = make("details");
  const n = sharing.weights.length;
  details.append(
    make("summary", `Weights of ${file}: ${n}${sharedText(sharing, loop)}`),
    make("p", usesLegend(loop), "fine"),
    framed(
      `Weights of ${file}`,
      [text("Weight"), text("Shape"), text("Uses"), number("Unique"), number("Stored")],
      sharing.weights.map((weight) => [
        weight.name,
        weight.shape.join(" × ") || "scalar",
        uses(weight.uses),
        bytes(weight.unique_bytes),
        bytes(weight.stored_bytes),
      ]),
    ),
  );
  return details;
}

/** How weights are used again: by operators of the file, or as the runtime repeats some. */
function sharedText({ weights }, loop) {
  const shared = weights.filter(({ uses }) => uses > 1).length;
  const read = `, used more than once: ${shared}`;
  if (loop === null) return read;
  const repeated = `; its step runs up to ${most(loop)} times with the same weights`;
  return (shared === 0 ? "" : read) + repeated;
}

const most = ({ depths }) => Math.max(...depths);

/** What the column of uses counts, and what it does not. */
function usesLegend(loop) {
  const counted = "Uses: how many operators of the file read the weight.";
  if (loop === null) return counted;
  const { before, step, after } = loop;
  return (
    `${counted} A picture at depth ${most(loop)} runs ${before} once, ${step} ` +
    `${most(loop)} times and ${after} once.`
  );
}

/** The number of uses, and a mark for each. */
function uses(n) {
  const cell = make("span", String(n));
  const marks = make("span", "", "uses");
  marks.ariaHidden = "true";
  for (let i = 0; i < Math.min(n, MOST_MARKS); i += 1) marks.append(make("i"));
  cell.append(marks);
  return cell;
}

function metricDetails(models) {
  const metrics = models.flatMap((model) =>
    model.metrics.map((metric) => ({ file: model.file, ...metric })),
  );
  if (metrics.length === 0) return make("p", "Quality: not measured.", "fine");
  const details = make("details");
  details.open = true;
  details.append(
    make("summary", "Measured quality"),
    framed(
      "Measured quality",
      [
        text("File"),
        text("Engine"),
        text("Figure"),
        number("Value"),
        number("Source module"),
        text("Data"),
        number("n"),
        text("Conditions"),
      ],
      metrics.map(({ file, engine, name, value, reference_value, data, n, conditions }) => [
        file,
        engine,
        name,
        String(Number(value.toPrecision(4))),
        reference_value === null ? "not measured" : String(Number(reference_value.toPrecision(4))),
        data,
        whole(n),
        conditions,
      ]),
    ),
  );
  return details;
}

function terms({ licence, training_data: trainingData }) {
  const list = make("dl", "", "terms");
  const pairs = [
    ["Licence of the code", licence.code],
    ["Licence of the weights", licence.weights],
    ["Licence of the data", licence.data.join("; ")],
    ["Trained on", trainingData.join("; ")],
  ];
  for (const [term, value] of pairs) {
    const pair = make("div");
    pair.append(make("dt", term), make("dd", value || "not stated"));
    list.append(pair);
  }
  return list;
}
