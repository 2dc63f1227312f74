// Pointer work on the canvases: hover, choose a finding, draw a box, move and zoom. Without a pointer: the form.

const CLICK_SLACK = 4; // CSS pixels a press may travel and still be a click

/**
 * Wire the viewer's canvases.
 *
 * `on` takes hover(point or null), choose(finding or null), box(box), and boxing(active) when drawing starts or ends.
 */
export class Gestures {
  constructor(viewer, on) {
    this.viewer = viewer;
    this.on = on;
    this.boxing = false;
    this.press = null;
    for (const pane of viewer.panes) {
      pane.addEventListener("pointerdown", (event) => this.down(pane, event));
      pane.addEventListener("pointermove", (event) => this.move(pane, event));
      pane.addEventListener("pointerup", (event) => this.up(pane, event));
      pane.addEventListener("pointercancel", () => this.cancel());
      pane.addEventListener("pointerleave", () => this.hover(null));
      pane.addEventListener("wheel", (event) => this.wheel(pane, event), { passive: false });
    }
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.boxing) this.cancel();
    });
  }

  /** Switch drawing on or off. */
  setBoxing(active) {
    this.boxing = active && this.viewer.width > 0;
    for (const pane of this.viewer.panes) pane.classList.toggle("boxing", this.boxing);
    this.on.boxing(this.boxing);
  }

  down(pane, event) {
    if (event.button !== 0 || !this.viewer.width) return;
    const start = this.viewer.at(pane, event);
    const { pointerId: id, clientX: x, clientY: y } = event;
    this.press = { start, id, x, y, moved: false, before: this.viewer.box };
    pane.setPointerCapture(event.pointerId);
  }

  move(pane, event) {
    const point = this.viewer.at(pane, event);
    this.hover(point);
    const press = this.press;
    if (!press || press.id !== event.pointerId) return;
    const dx = event.clientX - press.x;
    const dy = event.clientY - press.y;
    if (!press.moved && Math.hypot(dx, dy) < CLICK_SLACK) return;
    press.moved = true;
    if (this.boxing) {
      this.viewer.box = boxBetween(press.start, point, this.viewer);
      this.viewer.draw();
    } else if (this.viewer.camera.zoom > 1) {
      this.viewer.pan(pane, dx, dy);
      Object.assign(press, { x: event.clientX, y: event.clientY });
    }
  }

  up(pane, event) {
    const press = this.press;
    this.press = null;
    if (!press || press.id !== event.pointerId) return;
    if (!this.boxing) {
      if (!press.moved) this.on.choose(this.viewer.findingAt(press.start));
      return;
    }
    if (!press.moved) return;
    const box = boxBetween(press.start, this.viewer.at(pane, event), this.viewer);
    this.setBoxing(false);
    this.on.box(box);
  }

  cancel() {
    if (this.press && this.boxing) this.viewer.box = this.press.before;
    this.press = null;
    if (this.boxing) this.setBoxing(false);
    this.viewer.draw();
  }

  hover(point) {
    this.viewer.pointer = point;
    this.on.hover(point);
    if (this.viewer.options.mode === "side") this.viewer.draw();
  }

  wheel(pane, event) {
    // Without the key the wheel scrolls the page as everywhere else; a pinch on a trackpad comes with ctrlKey set.
    if (!(event.ctrlKey || event.metaKey) || !this.viewer.width) return;
    event.preventDefault();
    this.viewer.zoom(Math.exp(-event.deltaY / 240), this.viewer.at(pane, event));
  }
}

/** The half-open whole-pixel box between two points, inside the picture and at least one pixel wide and high. */
export function boxBetween(a, b, { width, height }) {
  const [left, right] = span(a.x, b.x, width);
  const [top, bottom] = span(a.y, b.y, height);
  return [left, top, right, bottom];
}

function span(a, b, size) {
  const low = Math.min(Math.max(Math.floor(Math.min(a, b)), 0), size - 1);
  const high = Math.max(Math.min(Math.ceil(Math.max(a, b)), size), low + 1);
  return [low, high];
}
