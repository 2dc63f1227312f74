// What a pipeline leaves to whoever asks: how the picture is enhanced for its networks, and which region they look at.

import { byId, el, words } from "./dom.js";

const METHODS = { none: "None", clahe: "CLAHE", adaptive_clahe: "Adaptive CLAHE" };
const TRAINED = "As trained";

export class Choices {
  /** `changed()` is called when somebody chooses. */
  constructor(changed) {
    this.enhance = byId("enhance");
    this.roi = byId("roi");
    this.enhance.addEventListener("change", changed);
    this.roi.addEventListener("change", changed);
    this.offer(null);
  }

  /** Offer what a manifest leaves open, its own way chosen; nothing for null. */
  offer(manifest) {
    const methods = manifest?.enhance ?? [];
    this.enhance.replaceChildren(...["", ...methods].map(radio));
    byId("enhance-line").hidden = methods.length === 0;
    const stages = (manifest?.stages ?? []).filter(({ regions }) => Object.keys(regions ?? {}).length);
    const names = [...new Set(stages.flatMap(({ regions }) => Object.keys(regions)))];
    const full = new Set(stages.flatMap(({ regions }) => Object.keys(regions).filter((name) => !regions[name].length)));
    this.roi.replaceChildren(...names.map((name) => new Option(full.has(name) ? "whole picture" : words(name), name)));
    this.roi.value = stages[0]?.region ?? "";
    this.own = this.roi.value;
    byId("roi-line").hidden = names.length === 0;
  }

  /** The choices as parameters of a request, null where the pipeline has its way; a box takes a region's place. */
  ask(box) {
    const enhance = this.enhance.querySelector("input:checked")?.value || null;
    const roi = box || this.roi.value === this.own ? null : this.roi.value;
    return { enhance, roi };
  }
}

function radio(method) {
  const input = el("input", { type: "radio", name: "enhance", value: method, checked: method === "" });
  return el("label", {}, input, el("span", {}, method ? METHODS[method] ?? words(method) : TRAINED));
}
