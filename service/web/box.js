// The box a user points with: four number fields, two buttons, and the same box on the canvas.

import { Problem } from "./api.js";
import { byId } from "./dom.js";

const SIDES = ["left", "top", "right", "bottom"];

export class BoxFields {
  /** `on` takes draw(active): drawing with the pointer wanted or not; apply(): segment with the box as it is now. */
  constructor(viewer, on) {
    this.viewer = viewer;
    this.inputs = SIDES.map((side) => byId(`box-${side}`));
    this.drawing = byId("box-draw");
    this.clearing = byId("box-clear");
    this.inputs.forEach((input) => input.addEventListener("input", () => this.typed()));
    this.drawing.addEventListener("click", () => on.draw(this.drawing.getAttribute("aria-pressed") !== "true"));
    byId("box-apply").addEventListener("click", () => on.apply());
    this.clearing.addEventListener("click", () => {
      this.clear();
      this.drawing.focus();
      on.apply();
    });
  }

  /** Boxes become possible once the picture's size is known. */
  enable(width, height) {
    this.setDisabled(false);
    this.inputs.forEach((input, at) => input.setAttribute("max", at % 2 ? height : width));
  }

  /** No picture, no box. */
  disable() {
    this.clear();
    this.setDisabled(true);
  }

  setDisabled(disabled) {
    byId("box-fields").disabled = disabled;
    this.drawing.disabled = disabled;
  }

  clear() {
    this.write(null);
  }

  write(box) {
    this.inputs.forEach((input, at) => (input.value = box ? box[at] : ""));
    this.show(box);
  }

  /** The box as whole numbers, null when all fields are empty. Raises Problem when only some can be read. */
  read() {
    if (this.inputs.every((input) => input.value === "" && !input.validity.badInput)) return null;
    const box = this.inputs.map((input) => (input.value === "" ? NaN : Number(input.value)));
    if (box.every(Number.isInteger)) return box;
    throw new Problem({
      title: "The box is not complete",
      found: SIDES.map((side, at) => `${side} ${this.inputs[at].value || "empty"}`).join(", "),
      wanted: "four whole numbers of pixels",
      remedy: "Fill in all four fields, or clear the box.",
      code: "bad_parameter",
    });
  }

  typed() {
    const box = this.inputs.map((input) => (input.value === "" ? NaN : Number(input.value)));
    const [left, top, right, bottom] = box;
    this.show(box.every(Number.isInteger) && left < right && top < bottom ? box : null);
  }

  show(box) {
    this.viewer.box = box;
    this.clearing.disabled = this.inputs.every((input) => input.value === "");
    this.viewer.draw();
  }

  showDrawing(active) {
    this.drawing.setAttribute("aria-pressed", String(active));
    this.drawing.textContent = active ? "Now drag on the picture" : "Draw a box";
  }
}
