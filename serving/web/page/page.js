// What the page does: sends files to the API one by one, lists the answers, and lays heat over the chosen X-ray.
"use strict";

const AT_THE_SAME_TIME = 4; // requests
const SECONDS_BETWEEN_CHECKS = 5;
const COLUMNS = [
  "file", "label", "probability", "threshold", "warning", "lung_area", "familiarity", "evidence", "version", "reason",
];

const element = (id) => document.getElementById(id);
const answers = []; // in the order of the files, each with its file; undefined until the answer is there
let waiting = []; // files that were not sent because the token was missing or wrong
let shown = null;
let limits = null;
let token = sessionStorage.getItem("token") || "";

function authorization() {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

function say(id, text) {
  element(id).textContent = text;
  element(id).hidden = !text;
}

function number(value, digits) {
  return value === null || value === undefined ? "" : value.toFixed(digits);
}

// --- the model server

async function checkServer() {
  try {
    const state = await (await fetch("readyz")).json();
    limits = state.limits;
    element("server").textContent = state.ready
      ? `The model server answers with version ${state.version}; an X-ray is called PNEUMONIA from a probability of ` +
        `${number(state.threshold, 3)} on.`
      : `The model server does not answer: ${state.reason}`;
    element("server").classList.toggle("warning", !state.ready);
  } catch {
    element("server").textContent = "This service does not answer. Is it still running?";
    element("server").classList.add("warning");
  }
}

// --- sending

class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

async function explain(file) {
  if (limits && file.size > limits.bytes) {
    throw new Refused(413, `${file.name} is larger than ${limits.bytes >> 20} MiB`);
  }
  const form = new FormData();
  form.append("files", file, file.name);
  let reply;
  try {
    reply = await fetch("v1/explain", { method: "POST", body: form, headers: authorization() });
  } catch {
    throw new Refused(0, "this service does not answer");
  }
  const content = await reply.json().catch(() => ({ error: `HTTP ${reply.status}` }));
  if (!reply.ok) throw new Refused(reply.status, content.error || `HTTP ${reply.status}`);
  return { ...content.answers[0], source: file };
}

async function send(files) {
  const begin = answers.length;
  answers.length += files.length;
  let next = 0;
  let done = 0;
  let unreadable = 0;
  let isFirst = true;
  let failed = null;
  say("problem", "");
  const report = () => {
    const rest = unreadable ? `, ${unreadable} of them could not be read` : "";
    element("progress").textContent = `${done} of ${files.length} files done${rest}`;
  };
  report();
  const worker = async () => {
    while (next < files.length && !failed) {
      const position = next++;
      try {
        answers[begin + position] = await explain(files[position]);
      } catch (error) {
        failed = failed || error;
        return;
      }
      done += 1;
      const { valid, layers } = answers[begin + position];
      unreadable += valid ? 0 : 1;
      report();
      list();
      if (isFirst && layers) {
        isFirst = false;
        show(begin + position);
      }
    }
  };
  await Promise.all(Array.from({ length: AT_THE_SAME_TIME }, worker));
  if (failed) {
    const lost = files.filter((_, position) => !answers[begin + position]);
    if (failed.status === 401) {
      waiting = lost;
      askForToken();
    } else {
      const count = `${lost.length} of ${files.length} X-rays were not answered`;
      say("problem", `${count}: ${failed.message}. Choose them again later.`);
    }
    checkServer();
  }
}

// --- the token

function askForToken() {
  element("access").hidden = false;
  say("problem", token ? "This is not the token of this service." : "This service needs a token.");
  element("token").focus();
}

async function statusOfAccess() {
  const reply = await fetch("v1/allowed", { headers: authorization() }).catch(() => null);
  return reply ? reply.status : 0;
}

async function useToken(text) {
  token = text;
  if ((await statusOfAccess()) !== 200) {
    askForToken();
    return;
  }
  sessionStorage.setItem("token", token);
  element("access").hidden = true;
  say("problem", "");
  const files = waiting;
  waiting = [];
  if (files.length) send(files);
}

// --- the table

function list() {
  const rows = element("rows");
  rows.replaceChildren();
  answers.forEach((answer, position) => {
    if (!answer) return;
    const row = rows.insertRow();
    row.setAttribute("aria-current", String(position === shown));
    const name = document.createElement(answer.layers ? "button" : "span");
    name.textContent = answer.file;
    if (answer.layers) {
      name.type = "button";
      name.addEventListener("click", () => { show(position); element("shown-file").focus(); });
    }
    row.insertCell().append(name);
    const warning = answer.valid ? answer.warning : answer.reason;
    for (const text of [
      answer.label, number(answer.probability, 4), number(answer.threshold, 4), warning, number(answer.lung_area, 2),
      number(answer.familiarity, 2), number(answer.evidence, 1), number(answer.version, 0),
    ]) row.insertCell().textContent = text;
  });
  element("results").hidden = rows.rows.length === 0;
}

function csvCell(value) {
  let text = value === null || value === undefined ? "" : String(value);
  if (/^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text))) text = `'${text}`; // no formula in a spreadsheet
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function toCsv() {
  const known = answers.filter(Boolean);
  return [COLUMNS, ...known.map((answer) => COLUMNS.map((name) => answer[name]))]
    .map((row) => row.map(csvCell).join(",") + "\n")
    .join("");
}

function save(name, address) {
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
}

// --- the chosen X-ray

function show(position) {
  const answer = answers[position];
  shown = position;
  element("viewer").hidden = false;
  element("shown-file").textContent = answer.file;
  element("shown-answer").textContent =
    `${answer.label}: probability of pneumonia ${number(answer.probability, 3)}, threshold ` +
    `${number(answer.threshold, 3)}, evidence ${number(answer.evidence, 1)}, model version ${number(answer.version, 0)}`;
  element("evidence").textContent =
    `Colors: what counts as evidence for ${answer.label}. The hottest place of a weak heatmap is as bright as that of a ` +
    "strong one: compare the evidence. The thin frame is the part that the model saw.";
  say("shown-warning", answer.warning ? `Warning: ${answer.warning}` : "");
  const xray = `data:image/jpeg;base64,${answer.layers.xray_jpeg}`;
  element("plain").src = element("below").src = xray;
  element("plain").alt = `X-ray ${answer.file}`;
  element("below").alt = `X-ray ${answer.file} with heat where evidence for ${answer.label} is`;
  element("heat").src = `data:image/png;base64,${answer.layers.heat_png}`;
  element("lungs").src = answer.layers.lungs_png ? `data:image/png;base64,${answer.layers.lungs_png}` : "";
  const [top, left, bottom, right] = answer.region.map((share) => 100 * share);
  for (const id of ["heat", "lungs", "seen"]) {
    Object.assign(element(id).style, {
      top: `${top}%`, left: `${left}%`, width: `${right - left}%`, height: `${bottom - top}%`,
    });
  }
  applyControls();
  list();
}

function applyControls() {
  element("heat").style.opacity = element("opacity").value / 100;
  const hasLungs = shown !== null && answers[shown] && answers[shown].layers.lungs_png;
  element("lungs").hidden = !(hasLungs && element("outline").checked);
}

async function savePicture() {
  const { source, file } = answers[shown];
  const reply = await fetch("v1/overlay", { method: "POST", body: source, headers: authorization() }).catch(() => null);
  if (!reply || !reply.ok) {
    say("problem", "The picture could not be drawn: try again later.");
    return;
  }
  const address = URL.createObjectURL(await reply.blob());
  save(`${file}-heat.png`, address);
  URL.revokeObjectURL(address);
}

// --- events

function choose(list) {
  const files = Array.from(list);
  if (files.length) send(files);
}

element("files").addEventListener("change", (event) => { choose(event.target.files); event.target.value = ""; });
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    element("drop").classList.toggle("over", name === "dragover");
    if (name === "drop") choose(event.dataTransfer.files);
  });
}
element("opacity").addEventListener("input", applyControls);
element("outline").addEventListener("change", applyControls);
element("download").addEventListener("click", savePicture);
element("csv").addEventListener("click", () => {
  const address = URL.createObjectURL(new Blob([toCsv()], { type: "text/csv" }));
  save("answers.csv", address);
  URL.revokeObjectURL(address);
});
element("clear").addEventListener("click", () => {
  answers.length = 0;
  shown = null;
  element("viewer").hidden = true;
  element("progress").textContent = "";
  list();
});
element("access").addEventListener("submit", (event) => {
  event.preventDefault();
  useToken(element("token").value);
});
checkServer();
statusOfAccess().then((status) => { element("access").hidden = status !== 401; });
setInterval(checkServer, 1000 * SECONDS_BETWEEN_CHECKS);
