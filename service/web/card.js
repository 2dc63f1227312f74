// A pipeline's card: the small part of Markdown that cards use, built node by node. HTML in it stays visible text.

import { el } from "./dom.js";

const BLOCKS = [
  { test: /^\s*$/, take: (lines) => (lines.shift(), null) },
  { test: /^(```|~~~)/, take: takeCode },
  { test: /^#{1,6}\s/, take: takeHeading },
  { test: /^\s*([-*_])(\s*\1){2,}\s*$/, take: (lines) => (lines.shift(), el("hr")) },
  { test: /^\s*[-*+]\s+/, take: (lines) => takeList(lines, "ul", /^\s*[-*+]\s+/) },
  { test: /^\s*\d+[.)]\s+/, take: (lines) => takeList(lines, "ol", /^\s*\d+[.)]\s+/) },
  { test: /^\s*>/, take: takeQuote },
];

/** Nodes for Markdown: headings, paragraphs, lists, tables, quotes, code, emphasis. Links stay text with address. */
export function renderMarkdown(text) {
  const lines = text.replaceAll("\r\n", "\n").split("\n");
  const nodes = [];
  while (lines.length) {
    const block = BLOCKS.find(({ test }) => test.test(lines[0]));
    const node = block ? block.take(lines) : isTable(lines) ? takeTable(lines) : takeParagraph(lines);
    if (node) nodes.push(node);
  }
  return nodes;
}

function takeHeading(lines) {
  const [, marks, text] = /^(#{1,6})\s+(.*?)\s*#*$/.exec(lines.shift()) ?? [null, "#", ""];
  // The page owns h1 and h2; a card's headings start below them.
  return el(`h${Math.min(marks.length + 2, 6)}`, {}, ...inline(text));
}

function takeCode(lines) {
  const fence = lines.shift().slice(0, 3);
  const body = [];
  while (lines.length && !lines[0].startsWith(fence)) body.push(lines.shift());
  lines.shift();
  return el("pre", { tabindex: "0" }, body.join("\n"));
}

function takeList(lines, tag, mark) {
  const items = [];
  while (lines.length && (mark.test(lines[0]) || (/^\s+\S/.test(lines[0]) && items.length))) {
    const line = lines.shift();
    if (mark.test(line)) items.push(line.replace(mark, ""));
    else items[items.length - 1] += ` ${line.trim()}`;
  }
  return el(tag, {}, ...items.map((item) => el("li", {}, ...inline(item))));
}

function takeQuote(lines) {
  const body = [];
  while (lines.length && /^\s*>/.test(lines[0])) body.push(lines.shift().replace(/^\s*>\s?/, ""));
  return el("blockquote", {}, ...renderMarkdown(body.join("\n")));
}

function isTable(lines) {
  return lines.length > 1 && lines[0].includes("|") && /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/.test(lines[1]);
}

function takeTable(lines) {
  const head = cells(lines.shift());
  const right = cells(lines.shift()).map((rule) => rule.endsWith(":"));
  const rows = [];
  while (lines.length && lines[0].includes("|")) rows.push(cells(lines.shift()));
  const cell = (tag) => (text, at) =>
    el(tag, { class: right[at] ? "figure" : null, scope: tag === "th" ? "col" : null }, ...inline(text));
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table" },
    el("table", {},
      el("thead", {}, el("tr", {}, ...head.map(cell("th")))),
      el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map(cell("td")))))));
}

function cells(line) {
  return line.trim().replace(/^\||\|$/g, "").split("|").map((text) => text.trim());
}

function takeParagraph(lines) {
  const body = [lines.shift()];
  while (lines.length && !BLOCKS.some(({ test }) => test.test(lines[0])) && !isTable(lines)) body.push(lines.shift());
  return el("p", {}, ...inline(body.map((line) => line.trim()).join(" ")));
}

/** `code`, **strong**, *emphasis* and [text](address) inside a line. */
function inline(text) {
  const nodes = [];
  const mark = /`([^`]+)`|\*\*(.+?)\*\*|__(.+?)__|\*([^*\s](?:[^*]*[^*\s])?)\*|\[([^\]]+)\]\(([^)\s]+)\)/g;
  let from = 0;
  for (const match of text.matchAll(mark)) {
    if (match.index > from) nodes.push(document.createTextNode(text.slice(from, match.index)));
    const [all, code, strong, strongToo, emphasis, label, address] = match;
    if (code) nodes.push(el("code", {}, code));
    else if (strong ?? strongToo) nodes.push(el("strong", {}, ...inline(strong ?? strongToo)));
    else if (emphasis) nodes.push(el("em", {}, ...inline(emphasis)));
    else nodes.push(document.createTextNode(label === address ? address : `${label} (${address})`));
    from = match.index + all.length;
  }
  if (from < text.length) nodes.push(document.createTextNode(text.slice(from)));
  return nodes;
}
