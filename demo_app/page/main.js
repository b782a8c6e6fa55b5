// The page: asks what the server has, then starts each section with it.

import { startDevice } from "./device.js";
import { startPicture } from "./picture.js";
import { facts as askFacts } from "./server.js";
import { startSharing } from "./sharing.js";
import { startSpeech } from "./speech.js";
import { element, say } from "./text.js";

try {
  const facts = await askFacts();
  element("version").textContent = facts.version;
  startPicture(facts);
  startSpeech(facts);
  startDevice(facts);
  startSharing(facts);
  document.documentElement.dataset.ready = "yes";
} catch (error) {
  say("page-message", error.message);
}
