// Masks of the JSON answer: compressed COCO run lengths, column by column, to labels on the picture's grid.

/**
 * Run lengths of one compressed COCO string: background first, then alternating.
 *
 * Each run is a signed number in groups of five bits, lowest first, 32 marking that another group follows, the whole
 * shifted into printable characters by 48; from the fourth run on it is the difference to the run two before.
 */
export function runs(text) {
  const lengths = [];
  let at = 0;
  while (at < text.length) {
    let value = 0;
    let shift = 0;
    let more = true;
    while (more) {
      const group = text.charCodeAt(at++) - 48;
      if (!(group >= 0 && group < 64) || shift > 30) {
        throw new Error("The mask of the answer is no COCO run-length string.");
      }
      value |= (group & 31) << shift;
      shift += 5;
      more = (group & 32) !== 0;
      if (!more && group & 16 && shift < 32) value |= -1 << shift;
    }
    lengths.push(lengths.length > 2 ? value + lengths[lengths.length - 2] : value);
  }
  return lengths;
}

/** Write `id` wherever the runs are foreground into `labels`, a row-major Uint8Array of height x width. */
export function paint(labels, width, height, lengths, id) {
  let at = 0;
  let inside = false;
  for (const length of lengths) {
    if (length < 0 || at + length > width * height) throw new Error("The mask of the answer does not fit its picture.");
    if (inside) {
      let x = Math.floor(at / height);
      let y = at % height;
      for (let left = length; left > 0; left--) {
        labels[y * width + x] = id;
        if (++y === height) {
          y = 0;
          x++;
        }
      }
    }
    at += length;
    inside = !inside;
  }
  if (at !== width * height) throw new Error("The mask of the answer does not fit its picture.");
}

/**
 * The mask block of an answer as {width, height, labels}; `known` is the pipeline's list of {id, name}.
 * A label that the pipeline does not list is refused: there would be no colour to draw it in.
 */
export function decodeMask(mask, known) {
  const [height, width] = mask.size;
  const labels = new Uint8Array(width * height);
  const ids = new Map(known.map((label) => [label.name, label.id]));
  for (const [name, counts] of Object.entries(mask.labels)) {
    if (!ids.has(name)) throw new Error(`The mask of the answer has a label that its pipeline does not list: ${name}.`);
    paint(labels, width, height, runs(counts), ids.get(name));
  }
  return { width, height, labels };
}
