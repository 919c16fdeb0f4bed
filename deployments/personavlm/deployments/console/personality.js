// The user's own view of the profile: curve, scores, what they mean, consent and reset.

import { curve, swatch, TRAITS } from "./curve.js";
import { byId, confirm, element, notify, say } from "./dom.js";
import { capital, count, moment } from "./format.js";

const CAUSES = {
  inferred: "Inferred from what you said",
  reset: "Reset to neutral",
  consent: "Consent changed",
};

export class Personality {
  #shown = "";
  #stop = () => {};

  constructor(api) {
    this.api = api;
    byId("consent").addEventListener("change", (event) => this.#consent(event.target.checked));
    byId("reset").addEventListener("click", () => this.#reset());
  }

  /** Reads the profile again; the drawing changes only where it differs. */
  async refresh() {
    await this.#attempt(async () => {
      const profile = await this.api.profile();
      const shown = JSON.stringify(profile);
      if (shown === this.#shown) return;
      this.#shown = shown;
      byId("consent").checked = profile.consent;
      this.#render(profile);
    });
  }

  async #attempt(action) {
    try {
      await action();
      say(byId("personality-problem"), "");
    } catch (error) {
      say(byId("personality-problem"), error.message);
    }
  }

  async #consent(agreed) {
    await this.#attempt(async () => {
      await this.api.setConsent(agreed);
      notify(agreed ? "Answers adapt to your personality." : "Personality is off.");
    });
    this.#shown = "";
    await this.refresh();
  }

  async #reset() {
    const text = "All five traits go back to neutral. What was inferred so far no longer shapes answers.";
    if (!(await confirm("Reset your profile?", text, "Reset"))) return;
    await this.#attempt(async () => {
      await this.api.resetProfile();
      notify("Profile reset.");
    });
    await this.refresh();
  }

  #render({ descriptors, consent, history: versions }) {
    this.#stop();
    const history = versions.filter(({ cause }) => cause !== "start");
    const body = byId("personality-body");
    body.classList.toggle("off", !consent);
    if (!history.length) {
      body.replaceChildren(element("p", { class: "empty muted" }, "Nothing has been inferred yet. The curve begins with your first messages."));
      return;
    }
    body.replaceChildren(consent ? inWords(descriptors) : element("p", { class: "notice-off" }, "Off: answers do not use what is below."));
    const [frame, legend] = [element("div", { class: "curve-frame" }), element("div", {})];
    body.append(frame, legend);
    this.#stop = curve(frame, history, (index) => legend.replaceChildren(...readout(history[index])));
  }
}

/** The words that the assistant is given for the five traits, in the order of `TRAITS`. */
function inWords(descriptors) {
  const items = TRAITS.map((trait, index) => element("li", {}, swatch(trait), descriptors[index]));
  return element("div", {}, element("h3", {}, "At present"), element("ul", { class: "descriptors" }, ...items));
}

/** Date, cause and the five scores of one version: the legend of the curve as well. */
function readout({ event_time, cause, traits, evidence }) {
  const why = CAUSES[cause] ?? capital(cause);
  const from = evidence?.length ? ` (${count(evidence.length, "turn")})` : "";
  const rows = TRAITS.map((trait) => {
    const score = traits[trait];
    return element(
      "tr",
      {},
      element("th", { scope: "row" }, swatch(trait), capital(trait)),
      element("td", { class: "score" }, score.toFixed(1)),
      element("td", { class: "gauge-cell" }, element("meter", { class: "gauge", min: 1, max: 5, value: score, "data-trait": trait, "aria-label": trait })),
    );
  });
  return [
    element("table", { class: "scores" },
      element("caption", {}, `${moment(event_time)} · ${why}${from}`),
      element("tbody", {}, ...rows)),
  ];
}
