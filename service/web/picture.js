// Pictures for the screen: what this browser can decode itself, and what only the service can draw.

/** By its first bytes, never by its name. */
async function isSixteenBitPng(file) {
  const head = new Uint8Array(await file.slice(0, 26).arrayBuffer());
  const png = [0x89, 0x50, 0x4e, 0x47].every((byte, at) => head[at] === byte);
  return png && head[24] === 16;
}

/**
 * The file as a bitmap, upright as the service sees it, or null with a reason where the browser cannot show it.
 *
 * Browsers keep 8 of 16 bits by dropping the rest, which turns 12-bit pictures black: those are left to the service.
 */
export async function decodePicture(file) {
  if (await isSixteenBitPng(file)) {
    return { bitmap: null, reason: "Browsers show only 8 of this file’s 16 bits" };
  }
  try {
    return { bitmap: await createImageBitmap(file, { imageOrientation: "from-image" }), reason: null };
  } catch {
    return { bitmap: null, reason: "This browser cannot show files of this kind" };
  }
}

/** Save a blob under a name, as a click on a download link would. */
export function save(blob, name) {
  const address = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** "a/b.scan.png" with suffix "-mask.png" becomes "b.scan-mask.png", without characters that file systems refuse. */
export function derivedName(name, suffix) {
  const stem = name.replace(/\.[^.]{1,5}$/, "").replace(/[\\/:*?"<>|\u0000-\u001f]/g, "_");
  return `${stem.slice(0, 120) || "picture"}${suffix}`;
}
