// The conversation: sending, the streamed reply, stopping, and errors in words.

import { attachment } from "./attachment.js";
import { byId, element } from "./dom.js";
import { time } from "./format.js";
import { steps } from "./steps.js";

const SUGGESTIONS = ["What do you remember about me?", "What did we talk about last week?", "What are my habits?"];

/** Starts the chat. `answered()` runs after each stored turn, `open(entry)` shows one memory. */
export async function chat(api, { answered, open }) {
  const message = byId("message");
  const image = attachment();
  const offered = offerModels(api);
  let sending = null;

  async function send() {
    const text = message.value.trim();
    if (sending || (!text && !image.present())) return;
    sending = new AbortController();
    busy(true);
    try {
      const picture = await image.take();
      message.value = "";
      fit(message);
      await exchange(api, offered, text, picture, sending.signal, open);
      answered();
    } finally {
      sending = null;
      busy(false);
      if (document.activeElement === document.body) message.focus(); // the pressed button is hidden now
    }
  }

  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  byId("stop").addEventListener("click", () => sending?.abort());
  message.addEventListener("input", () => fit(message));
  message.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  });
  suggest(message);
  await offered;
}

function suggest(message) {
  for (const text of SUGGESTIONS) {
    const choose = () => {
      message.value = text;
      fit(message);
      message.focus();
    };
    byId("suggestions").append(element("button", { type: "button", class: "suggestion", onclick: choose }, text));
  }
}

async function offerModels(api) {
  const { data } = await api.models();
  byId("model").replaceChildren(...data.map(({ id }) => element("option", { value: id }, id)));
  byId("model-choice").hidden = data.length < 2;
}

function busy(on) {
  byId("send").hidden = on;
  byId("stop").hidden = !on;
  byId("log").setAttribute("aria-busy", String(on));
}

function fit(textarea) {
  textarea.style.height = "auto";
  textarea.style.height = `${textarea.scrollHeight + 2}px`;
}

/** One message and its reply, once models are `offered`. Every way in which it can end is shown in its place. */
async function exchange(api, offered, text, picture, signal, open) {
  byId("welcome").hidden = true;
  const content = picture
    ? [...(text ? [{ type: "text", text }] : []), { type: "image_url", image_url: { url: picture.dataUrl } }]
    : text;
  byId("log").append(question(text, picture));
  const reply = new Reply();
  try {
    let trace = null;
    await offered;
    for await (const chunk of api.chat(byId("model").value, content, signal)) {
      reply.add(chunk.choices?.[0]?.delta?.content ?? "");
      trace = chunk.personavlm ?? trace;
    }
    reply.finish(trace && steps(trace, open));
  } catch (error) {
    if (error.name === "AbortError") reply.fail("Stopped.", "hint");
    else reply.fail(error.message, "problem");
  }
}

function question(text, picture) {
  return element(
    "article",
    { class: "turn you", "aria-label": "You" },
    picture && element("img", { class: "thumb large", src: picture.objectUrl, alt: picture.name }),
    text ? element("p", { class: "words" }, text) : null,
  );
}

class Reply {
  constructor() {
    this.words = element("p", { class: "words" });
    this.waiting = element("p", { class: "waiting" }, "Thinking");
    this.article = element("article", { class: "turn reply", "aria-label": "Assistant", "aria-busy": "true" }, this.waiting);
    byId("log").append(this.article);
    this.article.scrollIntoView({ block: "end" });
  }

  add(text) {
    if (!text) return;
    const log = byId("log");
    const following = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
    if (this.waiting.isConnected) this.waiting.replaceWith(this.words);
    this.words.append(text);
    if (following) log.scrollTop = log.scrollHeight;
  }

  finish(disclosure) {
    const stamp = element("p", { class: "hint stamp" }, time(new Date()));
    this.#end(element("div", { class: "under" }, disclosure, stamp));
  }

  fail(text, style) {
    this.#end(element("p", { class: style }, text));
  }

  #end(last) {
    this.waiting.remove();
    this.article.append(last);
    this.article.setAttribute("aria-busy", "false");
    last.scrollIntoView({ block: "nearest" });
  }
}
