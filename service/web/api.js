// The HTTP contract as seen by the page: one function per route, and Problem for everything that goes wrong.

/** What the service answers instead of a result (RFC 9457), or the same shape for a failed connection. */
export class Problem extends Error {
  constructor({ title, detail, code, found, wanted, remedy, status, retryAfter }) {
    super(detail || title || "The service answered with an error.");
    Object.assign(this, { title, detail, code, found, wanted, remedy, status, retryAfter });
  }
}

const UNREACHABLE = {
  title: "The service did not answer",
  found: "no connection to the service behind this page",
  wanted: "a running service",
  remedy: "Check that `breast-cascade serve` is still running, then try again.",
  code: "unreachable",
};

const KEPT = "breast-cascade-key";

/** Send this key with every request of this tab from now on. */
export const useKey = (key) => sessionStorage.setItem(KEPT, key);

const headers = () => {
  const key = sessionStorage.getItem(KEPT);
  return key ? { Authorization: `Bearer ${key}` } : {};
};

async function call(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { cache: "no-store", headers: headers(), ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(UNREACHABLE);
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

async function problemOf(response) {
  let body = {};
  try {
    body = await response.json();
  } catch {
    // Not JSON: a proxy in between answered. Status and reason are all there is.
  }
  const { title, detail, code, found, wanted, remedy } = body ?? {};
  return new Problem({
    title: title || `The service answered ${response.status} ${response.statusText}`.trim(),
    detail, code, found, wanted, remedy,
    status: response.status,
    retryAfter: response.headers.get("Retry-After"),
  });
}

const json = async (path) => (await call(path)).json();

/** Pipelines as [{name, version, default, modality, evidence, labels, stages}]. */
export const pipelines = async () => (await json("/pipelines")).pipelines;

/** Manifest of one pipeline with its `card` (Markdown). */
export function pipeline(name, version) {
  return json(`/pipelines/${encodeURIComponent(name)}?version=${encodeURIComponent(version)}`);
}

/** Bundled phantoms as [{name, pipeline, title}]. */
export const samples = async () => (await json("/samples")).samples;

const sampleUrl = (name) => `/samples/${encodeURIComponent(name)}`;

/** Let an <img> show a bundled phantom; a browser sends no key for a picture's address. */
export async function showSample(image, name) {
  image.src = sessionStorage.getItem(KEPT) ? URL.createObjectURL(await sampleFile(name)) : sampleUrl(name);
}

/** A bundled phantom as a File, so that it takes the same way as a chosen picture. */
export async function sampleFile(name) {
  const blob = await (await call(sampleUrl(name))).blob();
  return new File([blob], name, { type: blob.type });
}

export const version = () => json("/version");

/** Parameters of one request as the form carries them; what is null is left to the pipeline. */
export function parameters({ pipeline, version, box, threshold, spacing, enhance, roi }, format) {
  const fields = { pipeline, version, box: box?.join(","), threshold, spacing, enhance, roi, format };
  return Object.entries(fields).filter(([, value]) => value !== null && value !== undefined);
}

/** POST /segment; resolves with the Response. Raises Problem. */
export function segment(file, ask, format, signal) {
  const form = new FormData();
  form.append("file", file, file.name);
  for (const [name, value] of parameters(ask, format)) form.append(name, value);
  return call("/segment", { method: "POST", body: form, signal });
}

/** The same request as a line for a POSIX shell. */
export function curlLine(file, ask) {
  const query = new URLSearchParams(parameters(ask, null)).toString().replaceAll("%2C", ",");
  const type = file.type || "application/octet-stream";
  // The raw body is used rather than a form: curl reads `;` and `,` in a form's file names as its own.
  const parts = [
    `curl --data-binary ${quoted(`@${file.name}`)}`,
    `-H ${quoted(`Content-Type: ${type}`)}`,
    // The shell puts the key in, so that it is not copied around with the line.
    ...(sessionStorage.getItem(KEPT) ? ['-H "Authorization: Bearer $BREAST_CASCADE_KEY"'] : []),
    quoted(`${location.origin}/segment?${query}`),
  ];
  return parts.join(" \\\n  ");
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
