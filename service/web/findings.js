// The findings table, linked both ways with the picture: a row lights its outline, a click in the picture its row.

import { css, el, number, words } from "./dom.js";

const SPACING = {
  pixel_spacing: "Millimetres come from the file’s pixel spacing.",
  imager: "Millimetres are those on the detector: no magnification is known.",
  imager_magnified: "Millimetres come from the detector, corrected for magnification.",
  us_region: "Millimetres come from the ultrasound region calibration in the file.",
  nifti: "Millimetres come from the NIfTI header.",
  nrrd: "Millimetres come from the NRRD header.",
  user: "Millimetres come from the spacing that was given with the request.",
};
const NO_SCALE = "No scale is known for this picture, so sizes are in pixels, not in millimetres.";
const IN_SPACE =
  "“Longest in 3-D”: the greatest extent through all slices. Long × short and area are those of the largest slice.";
const EDGE = "“At the edge”: the finding reaches the picture’s border, so part of it may lie outside.";

/** One sentence on where millimetres come from, or that there are none. */
export function scaleSentence({ spacing_source: source }) {
  return SPACING[source] ?? NO_SCALE;
}

/** Long x short axis and area of a finding as text, in mm when known, else in pixels; of a volume its longest and mL. */
export function sizeOf(finding) {
  const [left, top, right, bottom] = finding.box;
  const axes = [
    ["long_axis_mm", "short_axis_mm", "mm", 1],
    ["long_axis_px", "short_axis_px", "px", 0],
  ].find(([long]) => known(finding[long]));
  const extent = axes
    ? `${number(finding[axes[0]], axes[3])} × ${number(finding[axes[1]], axes[3])} ${axes[2]}`
    : `${right - left} × ${bottom - top} px`;
  const area = known(finding.area_mm2) ? `${number(finding.area_mm2, 1)} mm²` : `${number(finding.area_px)} px`;
  const longest = known(finding.longest_mm) ? `${number(finding.longest_mm, 1)} mm` : null;
  return { extent, area, longest, volume: known(finding.volume_ml) ? `${number(finding.volume_ml, 2)} mL` : null };
}

function known(value) {
  return value !== null && value !== undefined;
}

/** The table of one answer; `on.hover(id or null)` and `on.choose(id or null)` tell the page what is pointed at. */
export class FindingsTable {
  constructor(findings, image, colors, on) {
    this.on = on;
    this.chosen = null;
    this.rows = new Map();
    const volumes = findings.some(({ volume_ml: volume }) => known(volume));
    const heading = (head, at) => el("th", { scope: "col", class: at ? "figure" : null }, head);
    const heads = ["Finding", "Long × short", "Area", ...(volumes ? ["Longest in 3-D", "Volume"] : []), "Score"];
    this.node = el("div", {},
      el("div", { class: "scroll" },
        el("table", { class: "findings" },
          el("caption", { class: "away" }, "Findings; choose one to outline it in the picture"),
          el("thead", {}, el("tr", {}, ...heads.map(heading))),
          el("tbody", {}, ...findings.map((finding) => this.row(finding, volumes, colors.get(finding.label)))))),
      el("p", { class: "quiet" }, scaleSentence(image)),
      volumes ? el("p", { class: "quiet" }, IN_SPACE) : null,
      findings.some(({ touches_border: cut }) => cut) ? el("p", { class: "quiet" }, EDGE) : null);
  }

  row(finding, volumes, color) {
    const { extent, area, longest, volume } = sizeOf(finding);
    const swatch = el("span", { class: "swatch" });
    if (color) swatch.style.background = css(color);
    const button = el("button", {
      type: "button",
      class: "finding-name",
      "aria-pressed": "false",
      onfocus: () => this.on.hover(finding.id),
      onblur: () => this.on.hover(null),
    }, swatch, `${finding.id} ${words(finding.label)}`);
    const edge = finding.touches_border ? el("span", { class: "row-note" }, "at the edge") : null;
    const row = el("tr", {
      "data-finding": finding.id,
      onclick: () => this.choose(this.chosen === finding.id ? null : finding.id),
      onpointerenter: () => this.on.hover(finding.id),
      onpointerleave: () => this.on.hover(null),
    },
    el("th", { scope: "row" }, button, edge),
    el("td", { class: "figure" }, extent),
    el("td", { class: "figure" }, area),
    ...(volumes ? [longest, volume] : []).map((size) => el("td", { class: "figure" }, size ?? "–")),
    el("td", { class: "figure" }, known(finding.score) ? number(finding.score, 2) : "–"));
    this.rows.set(finding.id, { row, button });
    return row;
  }

  /** Mark the row of this id as chosen, or none. */
  choose(id, reveal = false) {
    this.chosen = id;
    for (const [key, { row, button }] of this.rows) {
      row.classList.toggle("chosen", key === id);
      button.setAttribute("aria-pressed", String(key === id));
    }
    if (reveal && id !== null) this.rows.get(id)?.row.scrollIntoView({ block: "nearest" });
    this.on.choose(id);
  }

  /** Light the row under the pointer in the picture. */
  light(id) {
    for (const [key, { row }] of this.rows) row.classList.toggle("lit", key === id);
  }
}
