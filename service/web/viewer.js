// Draws the picture, its mask, outlines, crops and the user's box on two canvases that share one camera.

import { css } from "./dom.js";
import { covers, edgeOf, fillOf, pieceOf, shapeOf } from "./outline.js";

const MAX_ZOOM = 32;
const PADDING = 14; // CSS pixels between the fitted picture and the pane's edge
const BOX_INK = "#8fb8e8";

export class Viewer {
  /** `panes` are the canvases: the first shows the picture, the second the mask. */
  constructor(...panes) {
    this.panes = panes;
    this.options = { mode: "overlay", opacity: 0.35, contour: true, regions: false };
    this.camera = { zoom: 1, x: 0, y: 0 };
    this.clear();
    const watcher = new ResizeObserver(() => this.draw());
    panes.forEach((pane) => watcher.observe(pane));
  }

  /** Forget picture and result. */
  clear() {
    this.picture = null;
    this.burnt = false;
    this.width = 0;
    this.height = 0;
    this.box = null;
    this.pointer = null;
    this.clearResult();
  }

  /** Forget the result, keep the picture. */
  clearResult() {
    if (this.burnt) this.picture = null; // it shows the mask of the result that goes
    this.burnt = false;
    this.mask = null;
    this.labels = [];
    this.findings = [];
    this.looks = [];
    this.active = null;
    this.activeLooks = null;
    this.draw();
  }

  /** `image` is anything drawable; `burnt` says that the mask is already part of it. */
  setPicture(image, width, height, burnt = false) {
    this.picture = image;
    this.burnt = burnt;
    if (width !== this.width || height !== this.height) {
      this.width = width;
      this.height = height;
      this.fit();
    }
    this.draw();
  }

  /** Show an answer: decoded mask, the pipeline's labels [{id, name, color}], findings, regions of all stages. */
  setResult(mask, labels, findings, looks) {
    this.mask = mask;
    const fits = this.width === mask.width && this.height === mask.height;
    this.width = mask.width;
    this.height = mask.height;
    if (!fits) this.fit();
    this.labels = labels.flatMap((label) => {
      const shape = shapeOf(mask.labels, mask.width, mask.height, label.id);
      return shape ? [{ ...label, shape, edge: edgeOf(shape), fill: fillOf(shape, label.color) }] : [];
    });
    this.findings = findings.map((finding) => {
      const label = this.labels.find(({ name }) => name === finding.label);
      const shape = label ? pieceOf(label.shape, finding) : null;
      return { ...finding, color: label?.color ?? [255, 255, 255], shape, edge: shape ? edgeOf(shape) : null };
    });
    this.looks = looks;
    this.draw();
  }

  set(options) {
    Object.assign(this.options, options);
    this.draw();
  }

  /** Emphasise the finding of this id, or none. */
  highlight(id) {
    if (this.active === id) return;
    this.active = id;
    this.draw();
  }

  fit() {
    this.camera = { zoom: 1, x: this.width / 2, y: this.height / 2 };
    this.draw();
  }

  /** Zoom by `factor`, keeping the source point `about` where it is on the screen. */
  zoom(factor, about = this.camera) {
    const before = this.camera.zoom;
    const zoom = Math.min(MAX_ZOOM, Math.max(1, before * factor));
    const keep = before / zoom;
    if (zoom === 1) {
      this.fit();
      return;
    }
    const { x, y } = this.camera;
    this.camera = { zoom, ...this.inside(about.x + (x - about.x) * keep, about.y + (y - about.y) * keep) };
    this.draw();
  }

  /** Move the picture by screen pixels of this pane. */
  pan(pane, dx, dy) {
    const scale = this.scale(pane);
    Object.assign(this.camera, this.inside(this.camera.x - dx / scale, this.camera.y - dy / scale));
    this.draw();
  }

  inside(x, y) {
    return { x: Math.min(this.width, Math.max(0, x)), y: Math.min(this.height, Math.max(0, y)) };
  }

  /** CSS pixels per source pixel. */
  scale(pane) {
    if (!this.width) return 1;
    const [roomX, roomY] = [pane.clientWidth - 2 * PADDING, pane.clientHeight - 2 * PADDING];
    const fit = Math.min(roomX / this.width, roomY / this.height);
    return Math.max(fit, 1e-3) * this.camera.zoom;
  }

  /** Source coordinates of a pointer event; not rounded, may lie outside the picture. */
  at(pane, event) {
    const bounds = pane.getBoundingClientRect();
    const scale = this.scale(pane);
    return {
      x: (event.clientX - bounds.left - pane.clientWidth / 2) / scale + this.camera.x,
      y: (event.clientY - bounds.top - pane.clientHeight / 2) / scale + this.camera.y,
    };
  }

  /** The finding under a source point: by its pixels, else by the smallest box around the point. */
  findingAt({ x, y }) {
    const column = Math.floor(x);
    const row = Math.floor(y);
    const exact = this.findings.find(({ shape }) => shape && covers(shape, column, row));
    if (exact) return exact;
    return this.findings
      .filter(({ box: [left, top, right, bottom] }) => x >= left && x < right && y >= top && y < bottom)
      .sort((a, b) => a.area_px - b.area_px)[0] ?? null;
  }

  /** Name of the label at a source point, "background" inside the picture, null outside. */
  labelAt({ x, y }) {
    if (!this.mask || x < 0 || y < 0 || x >= this.width || y >= this.height) return null;
    const id = this.mask.labels[Math.floor(y) * this.width + Math.floor(x)];
    return this.labels.find((label) => label.id === id)?.name ?? "background";
  }

  /** Redraw with the next frame. */
  draw() {
    if (this.pending) return;
    this.pending = requestAnimationFrame(() => {
      this.pending = null;
      this.panes.forEach((pane, index) => this.paint(pane, index === 1));
    });
  }

  paint(pane, maskOnly) {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(pane.clientWidth * ratio);
    const height = Math.round(pane.clientHeight * ratio);
    if (!width || !height) return;
    if (pane.width !== width || pane.height !== height) Object.assign(pane, { width, height });
    const context = pane.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    if (!this.width) return;
    const scale = this.scale(pane) * ratio;
    context.setTransform(scale, 0, 0, scale, width / 2 - this.camera.x * scale, height / 2 - this.camera.y * scale);
    const unit = ratio / scale; // one CSS pixel, in source pixels
    if (maskOnly) this.paintMask(context, 1, true);
    else this.paintPicture(context, scale);
    if (this.options.contour && !maskOnly) this.paintContours(context, unit);
    if (this.options.regions || this.activeLooks) this.paintLooks(context, unit);
    this.paintFindings(context, unit);
    this.paintBox(context, unit);
    this.paintPointer(context, unit);
  }

  paintPicture(context, scale) {
    context.fillStyle = "#000";
    context.fillRect(0, 0, this.width, this.height);
    if (this.picture) {
      context.imageSmoothingEnabled = scale < 6;
      context.imageSmoothingQuality = "high";
      context.drawImage(this.picture, 0, 0, this.width, this.height);
    }
    if (this.options.mode === "overlay" && !this.burnt) this.paintMask(context, this.options.opacity, false);
  }

  paintMask(context, alpha, ground) {
    if (ground) {
      context.fillStyle = "#000";
      context.fillRect(0, 0, this.width, this.height);
    }
    context.globalAlpha = alpha;
    context.imageSmoothingEnabled = false;
    for (const { fill, shape } of this.labels) context.drawImage(fill, shape.left, shape.top);
    context.globalAlpha = 1;
  }

  paintContours(context, unit) {
    for (const { edge, color } of this.labels) stroke(context, edge, css(color), 1.6 * unit, unit);
  }

  paintLooks(context, unit) {
    const shown = this.activeLooks ?? this.looks;
    context.setLineDash([6 * unit, 4 * unit]);
    for (const { box: [left, top, right, bottom] } of shown) {
      const path = new Path2D();
      path.rect(left, top, right - left, bottom - top);
      stroke(context, path, "#d6dde4", 1.25 * unit, unit);
    }
    context.setLineDash([]);
  }

  paintFindings(context, unit) {
    for (const finding of this.findings) {
      const active = finding.id === this.active;
      if (active && finding.edge) {
        stroke(context, finding.edge, "#fff", 5 * unit, unit);
        stroke(context, finding.edge, css(finding.color), 2.4 * unit, 0);
      }
      if (active || this.findings.length > 1) paintTag(context, finding, active, unit, this);
    }
  }

  paintBox(context, unit) {
    if (!this.box) return;
    const [left, top, right, bottom] = this.box;
    const path = new Path2D();
    path.rect(left, top, right - left, bottom - top);
    stroke(context, path, BOX_INK, 1.8 * unit, unit);
    context.fillStyle = BOX_INK;
    const half = 3 * unit;
    for (const [x, y] of [[left, top], [right, top], [right, bottom], [left, bottom]]) {
      context.fillRect(x - half, y - half, 2 * half, 2 * half);
    }
  }

  paintPointer(context, unit) {
    if (!this.pointer || this.options.mode !== "side") return;
    const { x, y } = this.pointer;
    const path = new Path2D();
    path.moveTo(x - 9 * unit, y);
    path.lineTo(x + 9 * unit, y);
    path.moveTo(x, y - 9 * unit);
    path.lineTo(x, y + 9 * unit);
    stroke(context, path, "#fff", 1 * unit, unit);
  }
}

/** A line of `width` with a dark rim, so that it reads on bright and on dark ground. */
function stroke(context, path, ink, width, rim) {
  context.lineJoin = "round";
  context.lineCap = context.getLineDash().length ? "butt" : "square";
  if (rim) {
    context.strokeStyle = "rgb(0 0 0 / 0.55)";
    context.lineWidth = width + 1.6 * rim;
    context.stroke(path);
  }
  context.strokeStyle = ink;
  context.lineWidth = width;
  context.stroke(path);
}

function paintTag(context, { id, box: [, top, right], color }, active, unit, { width }) {
  const radius = 9 * unit;
  const x = Math.min(right + radius * 0.6, width - radius);
  const y = Math.max(top - radius * 0.4, radius);
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = active ? "#fff" : "rgb(10 12 14 / 0.85)";
  context.fill();
  context.lineWidth = 1.5 * unit;
  context.strokeStyle = css(color);
  context.stroke();
  context.fillStyle = active ? "#111" : "#fff";
  context.font = `600 ${11 * unit}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(String(id), x, y + 0.5 * unit);
}
