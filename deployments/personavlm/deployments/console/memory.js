// One memory or turn in a dialog: its text, its versions with their intervals, and its deletion.

import { byId, confirm, element, notify } from "./dom.js";
import { capital, kindOf, moment, range } from "./format.js";
import { thumbnails } from "./pictures.js";

const MOST_TURNS = 200; // of one episode

/**
 * Wires the dialog. Returns `open(entry)` for an entry `{id, kind, time, text, images}`.
 * `lookUp(id)` gives the entry of a turn that the timeline has loaded; `removed(id)` runs after a deletion.
 */
export function memoryDialog(api, { lookUp, removed }) {
  const dialog = byId("memory");
  let shown = null;

  byId("memory-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  byId("memory-delete").addEventListener("click", async () => {
    const { id, text } = shown;
    if (!(await confirm("Delete this memory?", `“${shorten(text)}” will no longer be used in answers.`, "Delete"))) return;
    try {
      await api.remove(id);
    } catch (error) {
      return notify(error.message);
    }
    dialog.close();
    notify("Memory deleted.");
    removed(id);
  });

  return async function open(entry) {
    shown = entry;
    byId("memory-title").textContent = kindOf(entry.kind).one;
    byId("memory-actions").hidden = entry.kind === "turn";
    const body = byId("memory-body");
    body.replaceChildren(...(entry.kind === "turn" ? turn(api, entry) : [element("p", { class: "muted" }, "Loading…")]));
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    try {
      if (entry.kind === "turn") {
        const { assistant_text: reply } = await api.turn(entry.id);
        if (shown === entry && reply) body.append(...answered(reply));
        return;
      }
      const versions = await api.history(entry.id);
      const [turns, related] = await Promise.all([turnsBehind(api, versions, lookUp), threadOf(api, versions.at(-1))]);
      const find = (id) => turns.get(id) ?? lookUp(id);
      if (shown === entry) body.replaceChildren(...memory(api, versions, find, open), thread(related, entry.id, open));
    } catch (error) {
      body.replaceChildren(element("p", { class: "problem", role: "alert" }, error.message));
    }
  };
}

/**
 * Entries of the evidence turns that the timeline has not loaded, by id. A version was caused by the turn
 * at `revised_at`; an episode spans its turns.
 */
async function turnsBehind(api, versions, lookUp) {
  const unknown = versions.filter(({ evidence }) => evidence.some((id) => !lookUp(id)));
  const windows = unknown.map(({ event_time, revised_at, end_time }) =>
    end_time ? { start: event_time, end: end_time } : { start: revised_at, end: revised_at },
  );
  const pages = await Promise.all(windows.map((window) => api.timeline({ ...window, limit: MOST_TURNS })));
  return new Map(pages.flat().map((entry) => [entry.id, entry]));
}

/** The thread of an episode that holds. */
const threadOf = (api, { kind, id, valid_to: ended, deleted }) =>
  kind === "episodic" && !ended && !deleted ? api.thread(id) : [];

const shorten = (text) => (text.length > 120 ? `${text.slice(0, 117)}…` : text);

function turn(api, { time, text, images }) {
  return [
    element("p", { class: "memory-text" }, text || "An image without words."),
    thumbnails(api, images, true) ?? "",
    element("p", { class: "muted" }, time ? moment(time) : ""),
  ];
}

function answered(reply) {
  return [element("p", { class: "muted" }, "Reply:"), element("p", { class: "memory-text" }, reply)];
}

function memory(api, versions, lookUp, open) {
  const newest = versions.at(-1);
  const history = element("ol", { class: "versions" });
  for (const version of versions.toReversed()) history.append(versionItem(version, lookUp, open));
  const about = [newest.category, newest.key, newest.keywords?.join(", ")].filter(Boolean).map(capital);
  return [
    element("p", { class: "memory-text" }, newest.text),
    thumbnails(api, newest.images, true) ?? "",
    about.length ? element("p", { class: "muted" }, about.join(" · ")) : "",
    newest.superseded_by ? successor(newest.superseded_by, lookUp, open) : "",
    element("h3", {}, versions.length === 1 ? "History" : `History: ${versions.length} versions`),
    history,
  ];
}

function successor(id, lookUp, open) {
  const entry = lookUp(id) ?? { id, kind: "semantic", text: "the memory that took its place" };
  return element(
    "p",
    {},
    "Since replaced by ",
    element("button", { type: "button", class: "link", onclick: () => open(entry) }, entry.text),
  );
}

function versionItem(version, lookUp, open) {
  const { event_time: begin, end_time: finish, valid_to: until, deleted } = version;
  const held = finish ? range(begin, finish) : `Held ${until ? range(begin, until) : `since ${moment(begin)}`}`;
  return element(
    "li",
    {},
    element("p", { class: "meta" }, deleted ? `Deleted ${moment(version.revised_at)}` : held),
    element("p", { class: "version-text" }, version.text),
    version.reason ? element("p", { class: "muted" }, `Why: ${version.reason}`) : null,
    evidence(version.evidence, lookUp, open),
    element("p", { class: "hint" }, `Version ${version.version}, stored ${moment(version.recorded_at)}`),
  );
}

function evidence(ids, lookUp, open) {
  if (!ids.length) return null;
  const list = element("ul", { class: "evidence" });
  for (const id of ids) {
    const entry = lookUp(id);
    const source = entry
      ? element("button", { type: "button", class: "link", onclick: () => open(entry) }, entry.text || "An image")
      : `Turn ${id}`;
    list.append(element("li", {}, source));
  }
  return element("div", {}, element("p", { class: "muted" }, "From what you said:"), list);
}

/** The episodes of a thread but for the one shown, each with what it shares with older ones. */
function thread(related, id, open) {
  if (related.length < 2) return "";
  const list = element("ol", { class: "evidence" });
  for (const { episode, links } of related.filter(({ episode }) => episode.id !== id)) {
    const entry = { id: episode.id, kind: "episodic", time: episode.event_time, text: episode.text };
    const shared = [...new Set(links.flatMap((link) => link.shared))].join(", ");
    list.append(
      element(
        "li",
        {},
        element("button", { type: "button", class: "link", onclick: () => open(entry) }, entry.text),
        element("p", { class: "hint" }, [moment(entry.time), shared && `shares ${shared}`].filter(Boolean).join(" · ")),
      ),
    );
  }
  return element("section", { class: "thread" }, element("h3", {}, "The same thread"), list);
}
