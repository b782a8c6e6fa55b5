// A recording of any format that the browser can decode, as one channel of samples.

const USUAL_RATE_HZ = 48000;
const BROWSER_RATES_HZ = [8000, 96000]; // what every browser can decode to

/** Samples (S,) in ±1 and their rate; throws an Error whose message can be shown. */
export async function readRecording(file) {
  const data = await file.arrayBuffer();
  const ownRateHz = wavRate(data);
  if (ownRateHz !== null && ownRateHz < BROWSER_RATES_HZ[0]) {
    throw new Error(
      `${file.name}: ${ownRateHz} Hz, expected at least ${BROWSER_RATES_HZ[0]} Hz. ` +
        "Record again at a higher sample rate.",
    );
  }
  const sampleRateHz = Math.min(ownRateHz ?? USUAL_RATE_HZ, BROWSER_RATES_HZ[1]);
  // A context of the file's own rate leaves resampling to the runtime.
  const context = new OfflineAudioContext(1, 1, sampleRateHz);
  let decoded;
  try {
    decoded = await context.decodeAudioData(data);
  } catch {
    throw new Error(
      `${file.name}: not a recording that can be read. Choose WAV, FLAC, MP3, Ogg or M4A.`,
    );
  }
  if (decoded.length === 0) {
    throw new Error(`${file.name}: the recording is empty. Record again.`);
  }
  return { samples: mixed(decoded), sampleRateHz };
}

/** The mean of all channels. */
function mixed(decoded) {
  const sum = decoded.getChannelData(0).slice();
  for (let channel = 1; channel < decoded.numberOfChannels; channel += 1) {
    decoded.getChannelData(channel).forEach((sample, i) => (sum[i] += sample));
  }
  return sum.map((sample) => sample / decoded.numberOfChannels);
}

/** Sample rate of a WAV file in Hz; null for any other file. */
function wavRate(data) {
  const view = new DataView(data);
  const tag = (at) => String.fromCharCode(...new Uint8Array(data, at, 4));
  if (data.byteLength < 44 || tag(0) !== "RIFF" || tag(8) !== "WAVE") return null;
  for (let at = 12; at + 24 <= data.byteLength; at += 8 + view.getUint32(at + 4, true)) {
    if (tag(at) === "fmt ") return view.getUint32(at + 12, true);
  }
  return null;
}
