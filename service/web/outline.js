// From labels on a grid to shapes: which pixels belong to a finding, and the line along their edges.

/** A cut-out of the grid at (left, top): `pixels`, row-major, is 1 inside, `count` times. */
export function shapeOf(labels, width, height, id) {
  let left = width, top = height, right = -1, bottom = -1;
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      if (labels[at] !== id) continue;
      if (x < left) left = x;
      if (x > right) right = x;
      if (y < top) top = y;
      bottom = y;
    }
  }
  if (right < 0) return null;
  const shape = blank(left, top, right + 1, bottom + 1);
  for (let y = 0; y < shape.height; y++) {
    const row = (top + y) * width + left;
    for (let x = 0; x < shape.width; x++) {
      if (labels[row + x] !== id) continue;
      shape.pixels[y * shape.width + x] = 1;
      shape.count++;
    }
  }
  return shape;
}

function blank(left, top, right, bottom) {
  const width = right - left;
  const height = bottom - top;
  return { left, top, width, height, count: 0, pixels: new Uint8Array(width * height) };
}

/** Whether the shape covers the pixel (x, y) of the grid. */
export function covers(shape, x, y) {
  const column = x - shape.left;
  const row = y - shape.top;
  if (column < 0 || row < 0 || column >= shape.width || row >= shape.height) return false;
  return shape.pixels[row * shape.width + column] === 1;
}

/**
 * The connected piece of `whole` that is this finding, found from a pixel of its outline.
 *
 * Diagonal neighbours count first; where that gives more pixels than the finding has, they do not.
 */
export function pieceOf(whole, finding) {
  if (whole.count === finding.area_px) return whole;
  const seed = seedOf(whole, finding);
  if (!seed) return null;
  const wide = flood(whole, finding.box, seed, true);
  return wide.count === finding.area_px ? wide : flood(whole, finding.box, seed, false);
}

function seedOf(whole, { contour, box: [left, top, right, bottom] }) {
  const known = (contour ?? []).map(([x, y]) => [Math.round(x), Math.round(y)]).find(([x, y]) => covers(whole, x, y));
  if (known) return known;
  for (let y = top; y < bottom; y++) for (let x = left; x < right; x++) if (covers(whole, x, y)) return [x, y];
  return null;
}

function flood(whole, [left, top, right, bottom], [seedX, seedY], diagonal) {
  const shape = blank(left, top, right, bottom);
  const waiting = [];
  const visit = (x, y) => {
    if (x < left || y < top || x >= right || y >= bottom || !covers(whole, x, y)) return;
    const at = (y - top) * shape.width + (x - left);
    if (shape.pixels[at]) return;
    shape.pixels[at] = 1;
    shape.count++;
    waiting.push(x, y);
  };
  visit(seedX, seedY);
  while (waiting.length) {
    const y = waiting.pop();
    const x = waiting.pop();
    visit(x - 1, y);
    visit(x + 1, y);
    visit(x, y - 1);
    visit(x, y + 1);
    if (!diagonal) continue;
    visit(x - 1, y - 1);
    visit(x + 1, y - 1);
    visit(x - 1, y + 1);
    visit(x + 1, y + 1);
  }
  return shape;
}

/** The exact edge of a shape along pixel borders, as a Path2D in picture coordinates; straight runs are one line. */
export function edgeOf({ left, top, width, height, pixels }) {
  const path = new Path2D();
  const at = (x, y) => (x < 0 || y < 0 || x >= width || y >= height ? 0 : pixels[y * width + x]);
  for (let y = 0; y <= height; y++) {
    for (let x = 0, start = -1; x <= width; x++) {
      const edge = x < width && at(x, y - 1) !== at(x, y);
      if (edge && start < 0) start = x;
      if (!edge && start >= 0) {
        path.moveTo(left + start, top + y);
        path.lineTo(left + x, top + y);
        start = -1;
      }
    }
  }
  for (let x = 0; x <= width; x++) {
    for (let y = 0, start = -1; y <= height; y++) {
      const edge = y < height && at(x - 1, y) !== at(x, y);
      if (edge && start < 0) start = y;
      if (!edge && start >= 0) {
        path.moveTo(left + x, top + start);
        path.lineTo(left + x, top + y);
        start = -1;
      }
    }
  }
  return path;
}

/** The shape filled with one colour, as a canvas of its own size. */
export function fillOf({ width, height, pixels }, [red, green, blue]) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const words = new Uint32Array(image.data.buffer);
  // Canvas memory is R, G, B, A by byte; every platform browsers run on is little-endian.
  const ink = ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
  for (let at = 0; at < pixels.length; at++) if (pixels[at]) words[at] = ink;
  context.putImageData(image, 0, 0);
  return canvas;
}
