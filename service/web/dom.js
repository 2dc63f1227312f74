// Small helpers over the DOM. Everything shown goes through textContent, so nothing from a file can become HTML.

/** The element with this id. */
export function byId(id) {
  const node = document.getElementById(id);
  if (!node) throw new Error(`The page has no element #${id}.`);
  return node;
}

/**
 * A new element. `props` sets attributes (false and null leave one out) and listeners (`onclick: f`);
 * children are nodes or plain text.
 */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) {
      node.setAttribute(name, value === true ? "" : value);
    }
  }
  node.append(...children.filter((child) => child !== null && child !== undefined).map(asNode));
  return node;
}

function asNode(child) {
  return child instanceof Node ? child : document.createTextNode(String(child));
}

/** A number with a fixed count of decimals and thin spaces between thousands. */
export function number(value, decimals = 0) {
  const [whole, rest] = Number(value).toFixed(decimals).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+(?!\d))/g, "\u2009");
  return rest ? `${grouped}.${rest}` : grouped;
}

/** snake_case names as words: "fibroglandular_tissue" becomes "fibroglandular tissue". */
export function words(name) {
  return String(name).replaceAll("_", " ");
}

/** An [r, g, b] triple as a CSS colour. */
export function css([red, green, blue], alpha = 1) {
  return `rgb(${red} ${green} ${blue} / ${alpha})`;
}
