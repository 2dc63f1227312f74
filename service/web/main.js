// The page: holds what was chosen and what was answered, and lets the other modules draw it.

import { askForKey, wireKey } from "./access.js";
import * as api from "./api.js";
import { BoxFields } from "./box.js";
import { renderMarkdown } from "./card.js";
import { Choices } from "./choices.js";
import { byId, css, el, number, words } from "./dom.js";
import { FindingsTable } from "./findings.js";
import { Gestures } from "./gestures.js";
import { decodePicture, derivedName, save } from "./picture.js";
import * as report from "./report.js";
import { decodeMask } from "./rle.js";
import { PipelinePicker, wireDrop, wireViewTools } from "./controls.js";
import { Viewer } from "./viewer.js";

/** The picture at hand, its decoding, the request under way and the findings table of the answer shown. */
const state = { file: null, decoding: null, running: null, table: null };

const OVERLAY_SHOWN = "the service’s own overlay is shown; the opacity slider does not act on it";
const MASK_SHOWN = "only its mask is shown";
const STRETCHED = "This browser decoded the picture in another size than the service; it is stretched to fit.";

const viewer = new Viewer(byId("picture-canvas"), byId("mask-canvas"));
const gestures = new Gestures(viewer, { hover, choose, box: boxDrawn, boxing });
const boxFields = new BoxFields(viewer, { draw: (active) => gestures.setBoxing(active), apply: run });
const again = () => state.file && run();
const picker = new PipelinePicker({ changed: pipelineChanged, settings: again });
const choices = new Choices(again);

start();

async function start() {
  wireViewTools(viewer);
  wireDrop(open);
  wireKey(load);
  byId("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  await load();
}

async function load() {
  byId("problem").replaceChildren();
  try {
    picker.fill(await api.pipelines());
    await pipelineChanged(false);
    showSamples(await api.samples());
    const { version } = await api.version();
    byId("version").textContent = version ? `Breast Cascade ${version}` : "";
  } catch (error) {
    showProblem(error);
  }
}

function showSamples(samples) {
  byId("samples").replaceChildren(...samples.map(({ name, pipeline, title }) => {
    const image = el("img", { alt: "", width: "72", height: "54", loading: "lazy" });
    api.showSample(image, name).catch(showProblem);
    return el("li", {}, el("button", { type: "button", class: "sample", onclick: () => openSample(name, pipeline) },
      image, el("span", {}, title ?? name)));
  }));
  byId("samples-block").hidden = samples.length === 0;
}

async function openSample(name, pipeline) {
  try {
    const file = await api.sampleFile(name);
    if (picker.choose(pipeline)) await pipelineChanged(false);
    await open(file);
  } catch (error) {
    showProblem(error);
  }
}

async function pipelineChanged(anew = true) {
  const chosen = picker.chosen;
  choices.offer(null); // what the last pipeline offered is no choice of this one
  if (!chosen) return;
  if (anew) again();
  const details = await api.pipeline(chosen.name, chosen.version).catch((error) => showProblem(error));
  if (!details || picker.chosen !== chosen) return;
  picker.describe(details);
  choices.offer(details);
  byId("card").replaceChildren(...renderMarkdown(details.card ?? ""));
  byId("card-block").hidden = !details.card;
}

/** Take a new picture and segment it at once. */
async function open(file) {
  state.running?.abort();
  state.file = file;
  gestures.setBoxing(false);
  boxFields.disable();
  viewer.clear();
  clearAnswer();
  byId("result").scrollTop = 0;
  byId("picture-facts").textContent = file.name;
  byId("run").disabled = false;
  if (!window.matchMedia("(min-width: 760px)").matches) byId("stage").scrollIntoView();
  state.decoding = decodePicture(file);
  const shown = state.decoding.then(({ bitmap }) => {
    if (bitmap && state.file === file) showPicture(bitmap, bitmap.width, bitmap.height);
  });
  await Promise.all([shown, run()]);
}

function showPicture(image, width, height, burnt = false) {
  viewer.setPicture(image, width, height, burnt);
  byId("picture-facts").textContent = `${state.file.name}, ${number(width)} × ${number(height)} px`;
  byId("welcome").hidden = true;
  boxFields.enable(width, height);
}

/** Ask the service about the picture at hand with what the form says now. */
async function run() {
  const { file } = state;
  if (!file || !picker.chosen) return;
  state.running?.abort();
  const running = new AbortController();
  state.running = running;
  byId("problem").replaceChildren();
  busy(`Segmenting ${file.name} …`);
  try {
    const box = boxFields.read();
    const ask = { ...picker.ask(), ...choices.ask(box), box };
    const { labels } = picker.chosen;
    const text = await (await api.segment(file, ask, "json", running.signal)).text();
    const answer = JSON.parse(text);
    const { reason } = await state.decoding;
    const drawn = reason ? await serverPicture(file, ask, answer, running.signal) : null;
    if (running.signal.aborted) return;
    showAnswer({ answer, text, ask, labels, drawn, reason });
  } catch (error) {
    if (error.name !== "AbortError" && !running.signal.aborted) showProblem(error);
  } finally {
    if (state.running === running) busy(null);
  }
}

/** The service's own drawing, for files that this browser cannot show; null where that fails too. */
async function serverPicture(file, ask, answer, signal) {
  if (answer.image.depth !== 1) return null;
  try {
    return await createImageBitmap(await (await api.segment(file, ask, "overlay", signal)).blob());
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return null;
  }
}

function showAnswer({ answer, text, ask, labels, drawn, reason }) {
  clearAnswer();
  const colors = new Map(labels.map(({ name, color }) => [name, color]));
  showDrawing(answer, labels, drawn, reason);
  state.table = answer.findings.length
    ? new FindingsTable(answer.findings, answer.image, colors, { hover: emphasise, choose: emphasise })
    : null;
  byId("report").replaceChildren(...[
    report.statusBlock(answer),
    report.flagsBlock(answer.flags),
    state.table ? el("section", { class: "block" }, el("h2", {}, "Findings"), state.table.node) : null,
    report.scoresBlock(answer.classification),
    report.measurementsBlock(answer.measurements),
    report.stagesBlock(answer.stages, answer.timings_ms, showLooks),
  ].filter(Boolean));
  byId("origin").replaceChildren(...report.originNodes(answer));
  byId("origin-block").hidden = false;
  showDownloads(text, ask);
  byId("progress").textContent = `${report.statusWords(answer)[1]} in ${state.file.name}.`;
}

/** Picture, mask and legend of an answer; says plainly what could not be drawn. */
function showDrawing(answer, labels, drawn, reason) {
  const { width, height, depth } = answer.image;
  const notes = [];
  if (depth === 1) {
    if (drawn) showPicture(drawn, width, height, true);
    else if (reason) showPicture(null, width, height);
    if (reason) notes.push(`${reason}, so ${drawn ? OVERLAY_SHOWN : MASK_SHOWN}. Results and downloads are complete.`);
    if (viewer.width !== width || viewer.height !== height) notes.push(STRETCHED);
    const looks = answer.stages.flatMap((stage) => stage.regions);
    viewer.setResult(decodeMask(answer.mask, labels), labels, answer.findings, looks);
    showLegend(viewer.labels);
  } else {
    notes.push(`This is a volume of ${depth} slices; the page draws pictures. Findings and downloads are complete.`);
  }
  const [, headline] = report.statusWords(answer);
  viewer.panes[0].setAttribute("aria-label", `Picture. ${headline}; the report lists what is outlined`);
  viewer.panes[1].setAttribute("aria-label", "Mask on the same grid as the picture");
  byId("picture-note").textContent = notes.join(" ");
  byId("picture-note").hidden = notes.length === 0;
}

function showLegend(labels) {
  byId("legend").replaceChildren(...labels.map(({ name, color }) => {
    const swatch = el("span", { class: "swatch" });
    swatch.style.background = css(color);
    return el("li", {}, swatch, words(name));
  }));
  byId("legend").hidden = labels.length === 0;
}

function showDownloads(text, ask) {
  const { file } = state;
  const offer = (title, suffix, blob) =>
    el("button", { type: "button", onclick: () => download(blob, derivedName(file.name, suffix)) }, title);
  const posted = (format) => async () => (await api.segment(file, ask, format)).blob();
  byId("downloads").replaceChildren(
    offer("Mask PNG", "-mask.png", posted("mask")),
    offer("Overlay PNG", "-overlay.png", posted("overlay")),
    offer("Panel PNG", "-panel.png", posted("panel")),
    offer("JSON", ".json", async () => new Blob([text], { type: "application/json" })),
    offer("COCO", "-coco.json", posted("coco")),
  );
  byId("curl").textContent = api.curlLine(file, ask);
  byId("downloads-block").hidden = false;
}

async function download(blob, name) {
  byId("problem").replaceChildren();
  try {
    save(await blob(), name);
  } catch (error) {
    byId("problem").replaceChildren(report.problemNode(error));
    byId("problem").scrollIntoView({ block: "nearest" });
  }
}

function hover(point) {
  const inside = point && viewer.labelAt(point);
  const pixel = point && point.x >= 0 && point.y >= 0 && point.x < viewer.width && point.y < viewer.height;
  const place = pixel ? `x ${Math.floor(point.x)}  y ${Math.floor(point.y)}` : "";
  byId("readout").textContent = pixel && inside ? `${place}  ${words(inside)}` : place;
  state.table?.light(point ? viewer.findingAt(point)?.id ?? null : null);
}

/** A finding was clicked in the picture (or the ground beside all of them). */
function choose(finding) {
  state.table?.choose(finding?.id ?? null, true);
}

/** Outline a finding: the one pointed at in the table, else the chosen one. */
function emphasise(id) {
  viewer.highlight(id ?? state.table?.chosen ?? null);
}

function showLooks(regions) {
  viewer.activeLooks = regions;
  viewer.draw();
}

function boxing(active) {
  boxFields.showDrawing(active);
}

function boxDrawn(box) {
  boxFields.write(box);
  run();
}

function busy(message) {
  byId("work").hidden = !message;
  // What still stands is an earlier answer for the same picture: dimmed until the new one replaces it.
  document.body.classList.toggle("asking", Boolean(message));
  byId("result").setAttribute("aria-busy", String(Boolean(message)));
  if (message) byId("progress").textContent = message;
}

/** No result on the page may belong to another picture or other settings than those shown. */
function clearAnswer() {
  state.table = null;
  viewer.clearResult();
  for (const id of ["problem", "report", "downloads", "origin", "legend"]) byId(id).replaceChildren();
  for (const id of ["downloads-block", "origin-block", "legend", "picture-note"]) byId(id).hidden = true;
  byId("progress").textContent = "";
  byId("waiting").hidden = state.file !== null;
  byId("welcome").hidden = viewer.width > 0;
}

function showProblem(error) {
  if (!(error instanceof api.Problem)) console.warn(error);
  if (error.status === 401) askForKey();
  clearAnswer();
  byId("waiting").hidden = true;
  byId("problem").replaceChildren(report.problemNode(error));
  byId("problem").scrollIntoView({ block: "nearest" });
}
