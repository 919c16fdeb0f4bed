// The personality curve: five lines in an inline SVG, one focusable column per version.
//
// Versions stand side by side at equal distances: turns come in bursts with silent weeks between them, and
// on an axis of real time most of the curve would lie within a few pixels.

import { element, svg } from "./dom.js";
import { capital, count, date, moment } from "./format.js";

export const TRAITS = ["openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism"];

const HEIGHT = 230;
const EDGE = { left: 26, right: 14, top: 12, bottom: 26 };

const values = (version) => TRAITS.map((trait) => `${trait} ${version.traits[trait].toFixed(1)}`).join(", ");

/** Where each version lies in a drawing of `width` pixels. */
function scale(history, width) {
  const [inner, last] = [width - EDGE.left - EDGE.right, history.length - 1];
  return {
    x: (index) => EDGE.left + inner * (last ? index / last : 0.5),
    y: (score) => EDGE.top + ((5 - score) / 4) * (HEIGHT - EDGE.top - EDGE.bottom),
  };
}

/**
 * Draws `history` (oldest first, at least one version) into `container`, again whenever its width changes.
 * `select(index)` runs when a version is focused, hovered or chosen by the arrow keys.
 */
export function curve(container, history, select) {
  let selected = history.length - 1;
  let drawing = null;

  function pick(index, focus = false) {
    selected = Math.max(0, Math.min(history.length - 1, index));
    drawing.mark(selected, focus);
    select(selected);
  }

  const resized = new ResizeObserver(() => {
    if (!container.clientWidth) return;
    drawing = draw(container, history, pick);
    pick(selected);
  });
  resized.observe(container);
  return () => resized.disconnect();
}

function draw(container, history, pick) {
  const width = container.clientWidth;
  const at = scale(history, width);
  const picture = svg(
    "svg",
    { class: "curve", width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "group", "aria-labelledby": "curve-title curve-desc" },
    svg("title", { id: "curve-title" }, "Personality over time"),
    svg("desc", { id: "curve-desc" }, describe(history)),
  );
  picture.append(...grid(width, at), ...dates(history, width, at), ...TRAITS.map((trait) => line(trait, history, at)));
  const marker = svg("g", { class: "marker", "aria-hidden": "true" });
  const columns = history.map((version, index) => column(version, index, history.length, at, width, pick));
  picture.append(marker, ...columns);
  container.replaceChildren(picture);
  return {
    mark(index, focus) {
      marker.replaceChildren(...markers(history[index], at.x(index), at));
      columns.forEach((node, other) => node.setAttribute("tabindex", other === index ? "0" : "-1"));
      if (focus) columns[index].focus();
    },
  };
}

const describe = (history) =>
  `${count(history.length, "version")} from ${date(history[0].event_time)} to ${date(history.at(-1).event_time)}, at equal distances. ` +
  `Now: ${values(history.at(-1))}. Left and right arrow keys step through the versions.`;

function grid(width, at) {
  return [1, 2, 3, 4, 5].flatMap((score) => [
    svg("line", { class: score === 3 ? "neutral" : "grid", x1: EDGE.left, x2: width - EDGE.right, y1: at.y(score), y2: at.y(score) }),
    svg("text", { class: "tick", x: EDGE.left - 8, y: at.y(score) + 4, "text-anchor": "end", "aria-hidden": "true" }, String(score)),
  ]);
}

/** Dates under some versions, the first and the last among them, as many as the width holds. */
function dates(history, width, at) {
  const last = history.length - 1;
  const day = (index) => date(history[index].event_time);
  const room = Math.max(1, Math.floor((width - EDGE.left - EDGE.right) / 130));
  const places = Array.from({ length: room + 1 }, (_, step) => Math.round((step / room) * last));
  const shown = places.filter((index, step) => step === 0 || day(index) !== day(places[step - 1]));
  return shown.map((index) => {
    const anchor = last === 0 ? "middle" : index === 0 ? "start" : index === last ? "end" : "middle";
    const place = { x: at.x(index), y: HEIGHT - 6, "text-anchor": anchor, "aria-hidden": "true" };
    return svg("text", { class: "tick", ...place }, day(index));
  });
}

function line(trait, history, at) {
  const points = history.map((version, index) => `${at.x(index).toFixed(1)},${at.y(version.traits[trait]).toFixed(1)}`);
  return svg("polyline", { class: "line", "data-trait": trait, points: points.join(" ") });
}

/** The mark of one trait: each has its own shape, so that colour is not the only difference. */
export function shape(trait, x, y) {
  const path = {
    openness: "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0z",
    conscientiousness: "M-4 -4h8v8h-8z",
    extraversion: "M0 -5.2L5 4h-10z",
    agreeableness: "M0 -5.5L5.5 0L0 5.5L-5.5 0z",
    neuroticism: "M0 5.2L5 -4h-10z",
  }[trait];
  return svg("path", { class: "shape", "data-trait": trait, d: path, transform: `translate(${x} ${y})` });
}

function markers(version, x, at) {
  return [
    svg("line", { class: "cursor", x1: x, x2: x, y1: EDGE.top - 4, y2: HEIGHT - EDGE.bottom }),
    ...TRAITS.map((trait) => shape(trait, x, at.y(version.traits[trait]))),
  ];
}

function column(version, index, total, at, width, pick) {
  const from = index === 0 ? EDGE.left - 10 : (at.x(index - 1) + at.x(index)) / 2;
  const to = index === total - 1 ? width - EDGE.right + 10 : (at.x(index) + at.x(index + 1)) / 2;
  const keys = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: total - 1 };
  return svg("rect", {
    class: "column",
    role: "img",
    x: from,
    y: EDGE.top - 6,
    width: Math.max(1, to - from),
    height: HEIGHT - EDGE.top - EDGE.bottom + 8,
    "aria-label": `${capital(moment(version.event_time))}: ${values(version)}`,
    onfocus: () => pick(index),
    onpointerenter: () => pick(index),
    onkeydown: (event) => {
      if (!(event.key in keys)) return;
      event.preventDefault();
      pick(keys[event.key], true);
    },
  });
}

/** The same mark beside a name in the legend. */
export const swatch = (trait) =>
  element("span", { class: "swatch" }, svg("svg", { width: 14, height: 14, viewBox: "-7 -7 14 14", "aria-hidden": "true" }, shape(trait, 0, 0)));
