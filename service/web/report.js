// The answer in plain words: status, flags, class scores, what each stage did, where it all comes from, and problems.

import { el, number, words } from "./dom.js";

const EVIDENCE = {
  demonstration: "Demonstration: not validated on patients.",
  validated: "Validated on held-out images, see card.",
};

const LOCALISATION = {
  found: "found its target",
  whole_image: "looked at the whole picture",
  given: "used the box you gave",
  not_found: "found nothing",
};

const KIND = {
  detect: "finds regions",
  segment: "draws outlines",
  prompt: "outlines what it is pointed at",
  classify: "scores classes",
  map: "maps depth",
};

const UNITS = { mm2: "mm²", percent: "%" };

const FOUND = "Outlined in the picture. Outlines are proposals, to be checked by a person.";
const NONE_FOUND = "Every stage ran and none of them marked anything. That is no proof that nothing is there.";
const NOT_EVALUATED =
  "The pipeline could not look for findings in this picture. This is neither a finding nor the absence of one.";

/** The level out of either form the service uses: a word, or a block with `level`. */
export function evidenceLevel(evidence) {
  return typeof evidence === "string" ? evidence : evidence?.level ?? "demonstration";
}

export function evidenceSentence(evidence) {
  return EVIDENCE[evidenceLevel(evidence)] ?? words(evidenceLevel(evidence));
}

const counted = (count, one, many) => `${count === 1 ? "One" : count} ${count === 1 ? one : many}`;

/** Headline and explanation of a status; the three ways of having no finding must never look alike. */
export function statusWords({ status, findings }) {
  if (status === "found") return ["found", counted(findings.length, "finding", "findings"), FOUND];
  if (status === "none_found") return ["none", "Nothing found", NONE_FOUND];
  return ["unknown", "Not evaluated", NOT_EVALUATED];
}

export function statusBlock(answer) {
  const [kind, headline, meaning] = statusWords(answer);
  return el("section", { class: "block status", "data-status": answer.status, "data-kind": kind },
    el("h2", {}, headline),
    el("p", {}, meaning),
    el("p", { class: `evidence ${evidenceLevel(answer.evidence)}` }, evidenceSentence(answer.evidence)));
}

export function flagsBlock(flags) {
  if (!flags.length) return null;
  return el("section", { class: "block" },
    el("h2", {}, "What to know about this answer"),
    el("ul", { class: "flags" }, ...flags.map(({ code, text }) => el("li", {}, text, " ", el("code", {}, code)))));
}

/** Class scores as bars, or why there are none; null where the pipeline does not classify. */
export function scoresBlock(classification) {
  if (!classification) return null;
  const scores = classification.scores ?? null;
  const body = scores
    ? [el("dl", { class: "scores" }, ...Object.entries(scores).flatMap(([name, score]) => bar(name, score))),
       el("p", { class: "quiet" }, "Scores of a network that add up to 1. They are not the probability of a disease.")]
    : [el("p", {}, classification.reason ?? "Nothing was classified.")];
  return el("section", { class: "block" }, el("h2", {}, "Class scores"), ...body);
}

function bar(name, score) {
  const fill = el("span", { class: "bar-fill" });
  fill.style.width = `${Math.max(0, Math.min(1, score)) * 100}%`;
  const track = el("span", { class: "bar-track", "aria-hidden": "true" }, fill);
  return [
    el("dt", {}, words(name)),
    el("dd", {}, track, el("span", { class: "bar-figure" }, number(score, 2))),
  ];
}

/** By-products as figures, each with what it is and is not; null where the pipeline has none. */
export function measurementsBlock(measurements) {
  if (!measurements?.length) return null;
  return el("section", { class: "block", id: "measurements" },
    el("h2", {}, "Measurements"),
    el("dl", { class: "measurements" }, ...measurements.flatMap(measurementNodes)));
}

function measurementNodes({ name, value, unit, text }) {
  // The unit stands behind the value.
  const title = words(unit && name.endsWith(`_${unit}`) ? name.slice(0, -unit.length - 1) : name);
  const figure = value === null ? "not known" : `${number(value, Number.isInteger(value) ? 0 : 2)} ${UNITS[unit] ?? unit}`;
  return [
    el("dt", {}, title),
    el("dd", {}, el("strong", {}, figure.trim()), text ? el("span", { class: "quiet" }, text) : null),
  ];
}

/** Names and values side by side; pairs without a value are left out. */
function pairList(pairs) {
  const present = pairs.filter(([, value]) => value);
  return el("dl", { class: "pairs" }, ...present.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

/** The cascade, stage by stage; pointing at a stage shows its regions through `onLooks(regions or null)`. */
export function stagesBlock(stages, timings, onLooks) {
  return el("section", { class: "block" },
    el("h2", {}, "What each stage did"),
    el("ol", { class: "stages" }, ...stages.map((stage) => stageItem(stage, onLooks))),
    el("p", { class: "quiet" }, `Whole answer in ${number(timings.total)} ms, with reading the file.`));
}

function stageItem(stage, onLooks) {
  const { regions } = stage;
  const show = () => onLooks(regions);
  const hide = () => onLooks(null);
  return el("li", {
    "data-localisation": stage.localisation,
    tabindex: regions.length ? "0" : null,
    onpointerenter: show, onpointerleave: hide, onfocus: show, onblur: hide,
  },
  el("p", { class: "stage-head" },
    el("strong", {}, words(stage.name)),
    el("span", { class: "stage-time" }, stageTime(stage))),
  el("p", { class: "stage-what" }, `${KIND[stage.kind]} · ${LOCALISATION[stage.localisation]}`),
  regions.length ? el("ul", { class: "looks" }, ...regions.map(lookItem)) : null);
}

/** A box that was given takes the place of the stage that would have looked for one. */
function stageTime({ kind, localisation, milliseconds }) {
  if (kind === "detect" && localisation === "given") return "skipped";
  return `${number(milliseconds, milliseconds < 10 ? 1 : 0)} ms`;
}

function lookItem({ box, score, label, widened, touches_border: touches }) {
  const notes = [
    label ? words(label) : null,
    score === null || score === undefined ? null : `score ${number(score, 2)}`,
    widened ? "widened once" : null,
    touches ? "mask still meets the crop’s edge" : null,
  ].filter(Boolean);
  return el("li", {}, el("code", {}, box.join(", ")), notes.length ? ` ${notes.join(" · ")}` : "");
}

/** Provenance as pairs: software, provider, weights with the start of their digests, preprocessing. */
export function originNodes({ pipeline, version, provenance = {}, timings_ms: timings = {}, image }) {
  const { weights = {}, software, provider, preprocessing, ...others } = provenance;
  const pairs = [
    ["Pipeline", `${pipeline} ${version}`],
    ["Software", asText(software)],
    ["Computed by", asText(provider)],
    ["Picture", `${image.width} × ${image.height} px`],
    ["Time", Object.entries(timings).map(([part, ms]) => `${words(part)} ${number(ms, 1)} ms`).join(", ")],
  ];
  const digests = Object.entries(weights).map(([file, digest]) =>
    el("li", {}, file, " ", el("code", { title: digest }, `sha256 ${String(digest).slice(0, 16)}…`)));
  return [
    pairList(pairs),
    el("h3", {}, "Weights"),
    el("ul", { class: "digests" }, ...digests),
    el("h3", {}, "Preprocessing"),
    el("pre", { tabindex: "0" }, JSON.stringify({ preprocessing, ...others }, null, 2)),
  ];
}

function asText(value) {
  return value === undefined || value === null ? "" : typeof value === "string" ? value : JSON.stringify(value);
}

/** A problem as found, wanted and what to do. */
export function problemNode(problem) {
  const pairs = [
    ["Found", problem.found],
    ["Wanted", problem.wanted],
    ["What to do", problem.remedy],
    ["Try again in", problem.retryAfter ? `${problem.retryAfter} s` : null],
  ];
  return el("section", { class: "block problem" },
    el("h2", {}, problem.title ?? "Something went wrong"),
    problem.found || problem.remedy ? pairList(pairs) : el("p", {}, problem.message),
    problem.code ? el("p", { class: "quiet" }, "Code ", el("code", {}, problem.code)) : null);
}
