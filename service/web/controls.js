// The controls that ask nothing of the service by themselves: pipeline and threshold, view tools, drop and paste.

import { byId, words } from "./dom.js";
import { evidenceLevel, evidenceSentence } from "./report.js";

/** Pipeline, threshold and pixel size of the form. */
export class PipelinePicker {
  /** `on` takes changed(): another pipeline; settings(): another threshold or pixel size. */
  constructor(on) {
    this.list = [];
    this.select = byId("pipeline");
    this.own = byId("threshold-own");
    this.threshold = byId("threshold");
    this.select.addEventListener("change", () => on.changed());
    this.threshold.addEventListener("input", () => this.showThreshold());
    this.threshold.addEventListener("change", () => on.settings());
    byId("spacing").addEventListener("change", () => on.settings());
    this.own.addEventListener("change", () => {
      byId("threshold-line").hidden = this.own.checked;
      on.settings();
    });
  }

  fill(list) {
    this.list = list;
    const option = ({ name, version }, at) => new Option(`${capital(words(name))} ${version}`, String(at));
    this.select.replaceChildren(...list.map(option));
    this.select.selectedIndex = Math.max(0, list.findIndex((pipeline) => pipeline.default));
  }

  get chosen() {
    return this.list[this.select.selectedIndex] ?? null;
  }

  /** Take the default version of this name; says whether that changed anything. */
  choose(name) {
    const before = this.select.selectedIndex;
    if (this.chosen?.name === name) return false;
    const versions = this.list.filter((pipeline) => pipeline.name === name);
    const wanted = versions.find((pipeline) => pipeline.default) ?? versions[0];
    if (wanted) this.select.selectedIndex = this.list.indexOf(wanted);
    return this.select.selectedIndex !== before;
  }

  /** Show what the manifest says in words, and start the threshold where the pipeline has its own. */
  describe({ intended_use: use, evidence, stages }) {
    byId("pipeline-use").textContent = use ?? "";
    byId("pipeline-evidence").textContent = evidenceSentence(evidence);
    byId("pipeline-evidence").className = `evidence ${evidenceLevel(evidence)}`;
    const own = (stages ?? []).findLast(({ kind }) => kind === "segment" || kind === "prompt")?.threshold;
    if (this.own.checked && own !== undefined) this.threshold.value = String(own);
    this.showThreshold();
  }

  showThreshold() {
    byId("threshold-value").textContent = Number(this.threshold.value).toFixed(2);
  }

  /** Pipeline, version, threshold and pixel size as parameters of a request. */
  ask() {
    const { name = null, version = null } = this.chosen ?? {};
    const threshold = this.own.checked ? null : this.threshold.value;
    return { pipeline: name, version, threshold, spacing: byId("spacing").value || null };
  }
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** View mode, opacity, contour, crops and zoom. */
export function wireViewTools(viewer) {
  const opacity = byId("opacity");
  const showOpacity = () => {
    byId("opacity-value").textContent = `${opacity.value} %`;
    viewer.set({ opacity: opacity.value / 100 });
  };
  opacity.addEventListener("input", showOpacity);
  showOpacity();

  const showMode = () => {
    const { value: mode } = document.querySelector("input[name=mode]:checked");
    byId("stage").dataset.mode = mode;
    byId("mask-pane").hidden = mode !== "side";
    byId("picture-caption").textContent = mode === "side" ? "Picture" : "Picture with mask";
    opacity.disabled = mode === "side";
    viewer.set({ mode });
  };
  document.querySelectorAll("input[name=mode]").forEach((radio) => radio.addEventListener("change", showMode));
  showMode();

  for (const id of ["contour", "regions"]) {
    const box = byId(id);
    const show = () => viewer.set({ [id]: box.checked });
    box.addEventListener("change", show);
    show();
  }

  const zoom = (change) => () => {
    change();
    viewer.panes.forEach((pane) => pane.classList.toggle("zoomed", viewer.camera.zoom > 1));
  };
  byId("zoom-in").addEventListener("click", zoom(() => viewer.zoom(1.5)));
  byId("zoom-out").addEventListener("click", zoom(() => viewer.zoom(1 / 1.5)));
  byId("zoom-fit").addEventListener("click", zoom(() => viewer.fit()));
}

/** Files from the chooser, dropped anywhere on the page, or pasted, go to `open`; of several the first is taken. */
export function wireDrop(open) {
  const take = (files) => files?.length && open(files[0]);
  const input = byId("file");
  input.addEventListener("change", () => {
    take(input.files);
    input.value = ""; // so that choosing the same file again counts as a change
  });
  let depth = 0;
  const mark = (over) => document.body.classList.toggle("dropping", over);
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragenter", (event) => carriesFiles(event) && mark(++depth > 0));
  document.addEventListener("dragleave", (event) => carriesFiles(event) && mark(--depth > 0));
  document.addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault());
  document.addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    mark((depth = 0) > 0);
    take(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => take(event.clipboardData?.files));
}
