// Speech: sound streamed to the server in small pieces, the transcript as it grows.

import { readRecording } from "./audio_file.js";
import { Choices, fits, takeChosen, takeDrops } from "./choices.js";
import { Microphone } from "./microphone.js";
import { Transcription } from "./server.js";
import { element, milliseconds, say, seconds } from "./text.js";
import { Wave } from "./wave.js";

const PIECE_S = 0.1;

let facts;
let choices;
let wave;
let microphone = null;
let current = null; // the transcription on show
let growing = null; // on show, the line of the utterance that is being said

const HINT = "The transcript appears here while the sound comes in";
const SILENT = "Nothing was heard that could be written down";

const GRAMMAR = `#JSGF V1.0;
grammar lights;
public <switch> = turn <state> {state} the <room> {room} light;
<state> = on | off;
<room> = kitchen | hall;
`;

export function startSpeech(serverFacts) {
  facts = serverFacts;
  wave = new Wave(element("wave"));
  choices = new Choices(element("speech-controls"), facts, "speech", offerBundle, "transcribe");
  takeDrops(element("speech-stage"), transcribeFile);
  takeChosen(element("choose-audio"), element("audio-file"), transcribeFile);
  element("record").addEventListener("click", () => {
    if (microphone === null) {
      record();
    } else {
      state("Finishing", current);
      stop();
    }
  });
  for (const id of ["choose-audio", "record"]) {
    element(id).disabled = choices.bundle === undefined;
  }
  element("own-grammar").value = GRAMMAR;
  element("expected").addEventListener("change", showExpected);
  offerBundle();
}

function offerBundle() {
  element("speech-summary").textContent = choices.bundle?.summary ?? "";
  const select = element("expected");
  const kept = select.value;
  const words = choices.bundle?.vocabulary ?? [];
  select.replaceChildren(
    new Option(words.length ? "Its own words" : "Anything", ""),
    new Option("Words of your own", "words"),
    ...facts.grammars.map((name) => new Option(`Grammar: ${name}`, `grammar ${name}`)),
    new Option("Grammar of your own", "grammar"),
  );
  select.value = kept;
  showExpected();
  if (choices.bundle === undefined) {
    say("speech-message", "No speech bundle is served. Start tiedge serve with --bundle FOLDER.");
  }
}

function showExpected() {
  const { value } = element("expected");
  element("own-words-field").hidden = value !== "words";
  element("own-grammar-field").hidden = value !== "grammar";
}

/** What the greeting says of the words to come. */
function expected() {
  const [kind, name] = element("expected").value.split(" ");
  if (kind === "words") return { words: element("own-words").value.split(",") };
  if (kind === "grammar") return { grammar: name ?? element("own-grammar").value };
  return {};
}

async function record() {
  say("speech-message");
  element("record").disabled = true;
  try {
    microphone = await Microphone.open();
    const rateHz = microphone.sampleRateHz;
    const transcription = begin(rateHz, "Listening");
    let heardSamples = 0;
    microphone.listen((samples) => {
      wave.add(samples);
      heardSamples += samples.length;
      element("audio-seconds").textContent = seconds(heardSamples / rateHz);
      transcription.send(samples);
    });
    showRecording(true);
    transcription.done.catch(() => {}).finally(stop);
  } catch (error) {
    say("speech-message", error.message);
  } finally {
    element("record").disabled = false;
  }
}

async function stop() {
  const closing = microphone;
  microphone = null;
  showRecording(false);
  if (closing === null) return;
  const ended = current;
  await closing.close();
  await ended.end();
}

async function transcribeFile(file) {
  say("speech-message");
  if (!fits(file, facts.limits, "speech-message")) return;
  try {
    await stop();
    const { samples, sampleRateHz } = await readRecording(file);
    const transcription = begin(sampleRateHz, "Transcribing");
    const piece = Math.max(1, Math.round(sampleRateHz * PIECE_S));
    for (let start = 0; start < samples.length && current === transcription; start += piece) {
      const part = samples.slice(start, start + piece);
      wave.add(part);
      await transcription.send(part);
    }
    await transcription.end();
  } catch (error) {
    say("speech-message", error.message);
  }
}

/** Start a transcription and put it on show. */
function begin(sampleRateHz, doing) {
  wave.clear(sampleRateHz);
  growing = null;
  element("transcript").replaceChildren();
  element("transcript").dataset.hint = HINT;
  showFigures({ audio_s: 0, compute_ms: 0 });
  const greeting = { sample_rate_hz: sampleRateHz, ...choices.values, ...expected() };
  const transcription = new Transcription(greeting, (event) => {
    if (current !== transcription) return;
    showUtterance(event);
    showFigures(event);
  });
  current = transcription;
  state(doing, transcription);
  transcription.done
    .then(() => state("Done", transcription))
    .catch((error) => {
      state("Stopped", transcription);
      if (current === transcription) say("speech-message", error.message);
    })
    .finally(() => {
      if (current !== transcription) return;
      growing?.classList.remove("growing");
      element("transcript").dataset.hint = SILENT;
    });
  return transcription;
}

/** An utterance is a line, with what a grammar made of it. */
function showUtterance({ kind, text, intent, rejected }) {
  if (growing === null) {
    growing = document.createElement("p");
    growing.className = "growing";
    element("transcript").append(growing);
  }
  growing.textContent = text;
  if (kind !== "final") return;
  growing.classList.remove("growing");
  if (rejected) {
    growing.className = "rejected";
    growing.textContent = "Not understood: it fits no sentence of the grammar";
  } else if (text === "") {
    growing.remove();
  } else if (intent !== null) {
    const asked = document.createElement("span");
    asked.className = "intent";
    const slots = Object.entries(intent.slots).map(([slot, said]) => `${slot}: ${said}`);
    asked.textContent = [intent.name, ...slots].join(" · ");
    growing.append(" ", asked);
  }
  growing = null;
  const lines = element("transcript").children;
  element("transcript").classList.toggle("long", lines.length > 3);
}

function showFigures(event) {
  element("audio-seconds").textContent = seconds(event.audio_s);
  element("compute-ms").textContent = milliseconds(event.compute_ms);
  element("realtime-factor").textContent =
    event.audio_s > 0 ? (event.compute_ms / 1000 / event.audio_s).toPrecision(2) : "–";
}

function state(text, transcription) {
  if (current === transcription) element("speech-state").textContent = text;
}

function showRecording(on) {
  element("record").setAttribute("aria-pressed", String(on));
  element("record-text").textContent = on ? "Stop" : "Record";
}
