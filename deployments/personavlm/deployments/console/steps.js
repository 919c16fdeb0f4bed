// The steps behind one answer: what was thought, searched for and found.

import { element } from "./dom.js";
import { capital, count, date, kindOf, range } from "./format.js";

/**
 * A disclosure of `trace` (the `personavlm` object of a completion).
 * `open(id, kind)` shows one found memory.
 */
export function steps(trace, open) {
  const evidence = new Map((trace.evidence ?? []).map((item) => [item.id, item]));
  const found = new Set(trace.steps.flatMap((step) => step.found));
  const summary = `${count(trace.steps.length, "step")}, ${found.size ? count(found.size, "memory", "memories") : "no memories"} found`;
  const list = element("ol", { class: "step-list" });
  for (const step of trace.steps) list.append(item(step, evidence, open));
  const omitted = trace.omitted_turns
    ? element("p", { class: "hint" }, `${count(trace.omitted_turns, "earlier turn")} of this conversation did not fit and could only be searched.`)
    : null;
  return element("details", { class: "steps" }, element("summary", {}, summary), list, omitted);
}

function item(step, evidence, open) {
  const retrieval = step.action === "retrieve";
  const facts = element("dl", { class: "facts" });
  const fact = (name, value) => facts.append(element("dt", {}, name), element("dd", {}, value));
  if (step.thinking) fact("Thought", step.thinking);
  if (retrieval) {
    fact("Keywords", step.keywords || "none");
    fact("Window", range(step.window?.start, step.window?.end));
    fact("Found", step.found.length ? findings(step, evidence, open) : "nothing");
    if (step.widened?.length) {
      const kinds = step.widened.map((kind) => kindOf(kind).label.toLowerCase()).join(", ");
      fact("Widened", `Too little in the window, so it looked outside it as well: ${kinds}`);
    }
  }
  if (step.repaired) fact("Repaired", capital(String(step.repaired)));
  return element(
    "li",
    {},
    element("p", { class: "step-name" }, retrieval ? "Searched memory" : "Answered"),
    facts,
    element("p", { class: "hint" }, timing(step)),
  );
}

function timing(step) {
  const spent = [`model ${Math.round(step.engine_ms)} ms`];
  if (step.action === "retrieve") spent.push(`search ${Math.round(step.search_ms)} ms`);
  return spent.join(" · ");
}

function findings(step, evidence, open) {
  const outside = new Set(step.outside_window);
  const list = element("ul", { class: "findings" });
  for (const id of step.found) {
    const { kind = "", time, text = id } = evidence.get(id) ?? {};
    const meta = [kindOf(kind).one, time && date(time), outside.has(id) && "outside the window"];
    list.append(
      element(
        "li",
        {},
        element(
          "button",
          { type: "button", class: "finding", "data-kind": kind, onclick: () => open({ id, kind, time, text }) },
          element("span", { class: "meta" }, meta.filter(Boolean).join(" · ")),
          element("span", { class: "finding-text" }, text),
        ),
      ),
    );
  }
  return list;
}
