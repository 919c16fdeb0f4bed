// Building the page: elements by DOM calls only. Strings become text nodes, never markup.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** An HTML element. `attributes` named `onclick` and the like are event listeners. */
export const element = (tag, attributes = {}, ...children) =>
  fill(document.createElement(tag), attributes, children);

/** An SVG element, by the same rules. */
export const svg = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

/** Writes `text` into a `.problem` paragraph and shows it; empty text hides it. */
export function say(paragraph, text) {
  paragraph.textContent = text;
  paragraph.hidden = !text;
}

let noticeTimer;

/** A short message at the foot of the page, read out by screen readers. */
export function notify(text) {
  const notice = byId("notice");
  notice.textContent = text;
  notice.classList.add("shown");
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => notice.classList.remove("shown"), 4000);
}

/** Asks before something that cannot be undone. Resolves to whether the person went ahead. */
export function confirm(title, text, action) {
  const dialog = byId("confirm");
  byId("confirm-title").textContent = title;
  byId("confirm-text").textContent = text;
  byId("confirm-accept").textContent = action;
  dialog.returnValue = "";
  byId("confirm-cancel").onclick = () => dialog.close("");
  byId("confirm-accept").onclick = () => dialog.close("yes");
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}
