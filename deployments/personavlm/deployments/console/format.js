// Dates, windows and kinds in words. Times are shown in the time zone of the browser.

const format = (options) => new Intl.DateTimeFormat("en-GB", options);
const MONTH = format({ month: "long", year: "numeric" });
const DAY = format({ weekday: "long", day: "numeric", month: "long" });
const DATE = format({ day: "numeric", month: "short", year: "numeric" });
const TIME = format({ hour: "2-digit", minute: "2-digit" });

export const month = (iso) => MONTH.format(new Date(iso));
export const day = (iso) => DAY.format(new Date(iso));
export const date = (iso) => DATE.format(new Date(iso));
export const time = (iso) => TIME.format(new Date(iso));
export const moment = (iso) => `${date(iso)}, ${time(iso)}`;

/** A closed interval that may be open on either side. */
export function range(start, end, open = "any time") {
  if (!start && !end) return open;
  if (!start) return `until ${moment(end)}`;
  if (!end) return `from ${moment(start)}`;
  return date(start) === date(end)
    ? `${date(start)}, ${time(start)} – ${time(end)}`
    : `${moment(start)} – ${moment(end)}`;
}

export const count = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;

export const capital = (word) => word.charAt(0).toUpperCase() + word.slice(1);

export const KINDS = {
  turn: { label: "Turns", one: "Turn", hint: "Turns: what you and the assistant said, word for word." },
  semantic: {
    label: "Semantic",
    one: "Semantic memory",
    hint: "Semantic memory: facts, preferences and things seen in your images.",
  },
  episodic: { label: "Episodic", one: "Episodic memory", hint: "Episodic memory: what each conversation was about." },
  procedural: { label: "Procedural", one: "Procedural memory", hint: "Procedural memory: your goals, habits and routines." },
  core: { label: "Core", one: "Core memory", hint: "Core memory: the basics that every answer starts from." },
};

/** The entry of `KINDS` for a kind of hit; a visual hit is a semantic memory with an image. */
export const kindOf = (kind) => KINDS[kind === "visual" ? "semantic" : kind] ?? { label: kind, one: capital(kind), hint: "" };
