// The user's memories on a timeline: by month and day, filtered by kind, searched by words and dates.

import { byId, element, say } from "./dom.js";
import { capital, count, date, day, kindOf, KINDS, month, time } from "./format.js";
import { thumbnails } from "./pictures.js";

const PAGE = 100;
const FILTERS = { all: "All", ...Object.fromEntries(Object.entries(KINDS).map(([kind, { label }]) => [kind, label])) };

export class Timeline {
  #entries = new Map(); // of the timeline, by id, newest first
  #memories = new Map(); // entries of all memories, by id, with category and end
  #newest = "";
  #kind = "all";
  #words = "";
  #exhausted = false;
  #shown = "";

  constructor(api, open) {
    this.api = api;
    this.open = open;
    this.#offerKinds();
    byId("search").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#search();
    });
    byId("search-clear").addEventListener("click", () => this.#clear());
    byId("earlier").addEventListener("click", () => this.#earlier());
  }

  lookUp = (id) => this.#memories.get(id) ?? this.#entries.get(id);

  /** Reads the newest entries again; what is on the page changes only where they differ. */
  async refresh() {
    await this.#attempt(async () => {
      const newest = await this.api.timeline({ ...this.#dates(), limit: PAGE });
      const seen = JSON.stringify(newest);
      if (seen !== this.#newest) await this.#take(newest);
      this.#newest = seen;
      await this.#show();
    });
  }

  async #take(newest) {
    const memories = await this.api.memories();
    this.#memories = new Map(memories.map((memory) => [memory.id, fromMemory(memory)]));
    const earlier = newest.length < PAGE ? [] : this.#earlierThan(newest.at(-1).time);
    if (!earlier.length) this.#exhausted = newest.length < PAGE;
    this.#entries = new Map([...newest, ...earlier].map((entry) => [entry.id, entry]));
  }

  /** What "Show earlier" brought and is still there. */
  #earlierThan(time) {
    const before = ({ time: at }) => Date.parse(at) < Date.parse(time);
    const present = ({ id, kind }) => kind === "turn" || this.#memories.has(id);
    return [...this.#entries.values()].filter((entry) => before(entry) && present(entry));
  }

  async #attempt(action) {
    try {
      await action();
      say(byId("memories-problem"), "");
    } catch (error) {
      say(byId("memories-problem"), error.message);
    }
  }

  #offerKinds() {
    for (const [kind, label] of Object.entries(FILTERS)) {
      const choose = () => {
        this.#kind = kind;
        this.#attempt(() => this.#show());
      };
      const input = element("input", { type: "radio", name: "kind", value: kind, onchange: choose });
      input.checked = kind === this.#kind;
      byId("kinds").append(element("label", { class: "chip", "data-kind": kind }, input, element("span", {}, label)));
    }
  }

  #dates() {
    const [from, to] = [byId("search-from").value, byId("search-to").value];
    return {
      start: from && new Date(`${from}T00:00:00`).toISOString(),
      end: to && new Date(`${to}T23:59:59.999`).toISOString(),
    };
  }

  #search() {
    this.#words = byId("search-words").value.trim();
    const { start, end } = this.#dates();
    byId("search-clear").hidden = !(this.#words || start || end);
    this.#entries.clear(); // other dates, other entries
    this.#newest = "";
    return this.refresh();
  }

  #clear() {
    byId("search").reset();
    byId("search-words").focus();
    this.#search();
  }

  async #earlier() {
    await this.#attempt(async () => {
      const oldest = [...this.#entries.values()].at(-1);
      const page = await this.api.timeline({ ...this.#dates(), end: oldest.time, limit: PAGE });
      const before = this.#entries.size;
      for (const entry of page) this.#entries.set(entry.id, entry);
      // Entries of one instant may fill the page: nothing new then means that the end was reached.
      this.#exhausted = page.length < PAGE || this.#entries.size === before;
      await this.#show();
    });
  }

  async #show() {
    const entries = await this.#chosen();
    byId("kind-hint").textContent = this.#kind === "all" ? "" : KINDS[this.#kind].hint;
    byId("earlier").hidden = this.#exhausted || !this.#listsTimeline();
    const shown = JSON.stringify(entries);
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#render(entries);
  }

  #listsTimeline() {
    return !this.#words && (this.#kind === "all" || this.#kind === "turn");
  }

  /** The entries to show: hits of a search, all memories of one kind, or the loaded timeline. */
  async #chosen() {
    const all = this.#words
      ? hits(await this.api.search(this.#words, ...Object.values(this.#dates())))
      : this.#listsTimeline()
        ? [...this.#entries.values()].map((entry) => this.#memories.get(entry.id) ?? entry)
        : within([...this.#memories.values()], this.#dates());
    const chosen = this.#kind === "all" ? all : all.filter((entry) => entry.kind === this.#kind);
    return chosen.sort((a, b) => Date.parse(b.time) - Date.parse(a.time));
  }

  #render(entries) {
    const focused = document.activeElement?.dataset?.entry;
    const more = this.#listsTimeline() && !this.#exhausted ? " loaded" : "";
    byId("memories-count").textContent = this.#words
      ? `${count(entries.length, "result")} for “${this.#words}”`
      : `${count(entries.length, "entry", "entries")}${more}`;
    byId("timeline").replaceChildren(...(entries.length ? this.#months(entries) : [this.#nothing()]));
    if (focused) byId("timeline").querySelector(`[data-entry="${CSS.escape(focused)}"]`)?.focus();
  }

  #nothing() {
    const text = this.#words ? "Nothing was found. Try other words or a wider window." : "Nothing here yet.";
    return element("p", { class: "empty muted" }, text);
  }

  #months(entries) {
    const nodes = [];
    let [lastMonth, lastDay, list] = ["", "", null];
    for (const entry of entries) {
      const [inMonth, onDay] = [month(entry.time), day(entry.time)];
      if (inMonth !== lastMonth) nodes.push(element("h3", { class: "month" }, inMonth));
      if (inMonth !== lastMonth || onDay !== lastDay) {
        list = element("ol", { class: "entries" });
        nodes.push(element("h4", { class: "day" }, onDay), list);
      }
      [lastMonth, lastDay] = [inMonth, onDay];
      list.append(element("li", {}, this.#card(entry)));
    }
    return nodes;
  }

  #card(entry) {
    const notes = [
      kindOf(entry.kind).one,
      entry.note,
      time(entry.time),
      entry.outside && "outside the window",
      entry.linked && "same thread as a result",
      entry.until && `until ${date(entry.until)}`,
    ];
    return element(
      "button",
      {
        type: "button",
        class: entry.until ? "entry ended" : "entry",
        "data-kind": entry.kind,
        "data-entry": entry.id,
        onclick: () => this.open(entry),
      },
      element("span", { class: "meta" }, notes.filter(Boolean).join(" · ")),
      entry.text ? element("span", { class: "entry-text" }, entry.text) : null,
      thumbnails(this.api, entry.images),
    );
  }
}

function fromMemory(memory) {
  const { id, kind, text, images, event_time, valid_to: until, category, key } = memory;
  return { id, kind, text, images, time: event_time, until, note: capital(category ?? key ?? "") };
}

const fromTurn = ({ id, user_text: text, images, event_time }) => ({ id, kind: "turn", text, images, time: event_time });

const within = (entries, { start, end }) =>
  entries.filter(({ time }) => {
    const at = new Date(time);
    return (!start || at >= new Date(start)) && (!end || at <= new Date(end));
  });

/** Hits of every kind as entries; a memory found both by words and by image counts once. */
function hits({ semantic, episodic, procedural, visual, turns }) {
  const entries = new Map();
  for (const { item, outside_window: outside, link } of [...semantic, ...episodic, ...procedural, ...visual, ...turns]) {
    entries.set(item.id, { ...(item.kind === "turn" ? fromTurn(item) : fromMemory(item)), outside, linked: Boolean(link) });
  }
  return [...entries.values()];
}
