// The access key: asked for once the service wants one, sent as a header, kept for this tab alone.

import { useKey } from "./api.js";
import { byId } from "./dom.js";

/** `retry` runs each time somebody has given a key. */
export function wireKey(retry) {
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    useKey(byId("key").value.trim());
    byId("key").value = "";
    byId("key-form").hidden = true;
    retry();
  });
}

/** Show the field for the key. */
export function askForKey() {
  byId("key-form").hidden = false;
  // A link sends no key: it would only lead to a refusal.
  byId("docs-link").hidden = true;
  byId("key").focus();
}
