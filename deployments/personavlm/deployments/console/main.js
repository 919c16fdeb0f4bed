// Signing in and putting the page together.

import { Api } from "./api.js";
import { chat } from "./chat.js";
import { byId, notify, say } from "./dom.js";
import { memoryDialog } from "./memory.js";
import { Timeline } from "./memories.js";
import { Personality } from "./personality.js";

const SLOT = "personavlm.credentials";
const wide = matchMedia("(min-width: 62rem)");

// The update stage works after the reply; these are the moments (ms) at which its results are looked for.
const LOOK_AGAIN = [0, 1000, 3000, 8000];

/** Key and user of the link `#key=…&user=…`, moved out of the address bar, else those of this tab. */
function credentials() {
  const link = new URLSearchParams(location.hash.slice(1));
  if (link.has("key")) {
    keep({ key: link.get("key"), user: link.get("user") ?? "" });
    history.replaceState(null, "", location.pathname + location.search);
  }
  return JSON.parse(sessionStorage.getItem(SLOT) ?? "null");
}

const keep = (pair) => sessionStorage.setItem(SLOT, JSON.stringify(pair));

function offerSignIn({ key = "", user = "" }, problem) {
  byId("sign-in-key").value = key;
  byId("sign-in-user").value = user;
  say(byId("sign-in-error"), problem);
  byId("app").hidden = true;
  byId("sign-in").hidden = false;
  byId(key ? "sign-in-user" : "sign-in-key").focus();
}

async function signIn(pair) {
  const api = new Api(pair.key, pair.user);
  try {
    await api.profile();
  } catch (error) {
    sessionStorage.removeItem(SLOT);
    return offerSignIn(pair, error.message);
  }
  keep(pair);
  byId("sign-in").hidden = true;
  byId("app").hidden = false;
  byId("who").textContent = pair.user;
  start(api);
}

function start(api) {
  const personality = new Personality(api);
  const open = memoryDialog(api, {
    lookUp: (id) => timeline.lookUp(id),
    removed: async () => {
      await timeline.refresh();
      byId("memories-title").focus();
    },
  });
  const timeline = new Timeline(api, open);
  const refresh = () => Promise.all([timeline.refresh(), personality.refresh()]);

  let looking = [];
  const follow = () => {
    looking.forEach(clearTimeout);
    looking = LOOK_AGAIN.map((delay) => setTimeout(refresh, delay));
  };

  document.addEventListener("visibilitychange", () => document.hidden || refresh());
  chat(api, { answered: follow, open }).catch((error) => notify(error.message));
  refresh();
  navigate();
  byId("message").focus();
}

function navigate() {
  const app = byId("app");
  const buttons = [...document.querySelectorAll("[data-show]")];
  // On a wide page the chat is always there, so the other side shows the memories instead.
  const current = () => (wide.matches && app.dataset.view === "chat" ? "memories" : app.dataset.view);
  const mark = () => buttons.forEach((button) => button.setAttribute("aria-current", String(button.dataset.show === current())));
  for (const button of buttons) {
    button.addEventListener("click", () => {
      app.dataset.view = button.dataset.show;
      mark();
    });
  }
  wide.addEventListener("change", mark);
  mark();
}

byId("sign-in-form").addEventListener("submit", (event) => {
  event.preventDefault();
  signIn({ key: byId("sign-in-key").value.trim(), user: byId("sign-in-user").value.trim() });
});
byId("sign-out").addEventListener("click", () => {
  sessionStorage.removeItem(SLOT);
  location.reload();
});
addEventListener("hashchange", () => {
  if (new URLSearchParams(location.hash.slice(1)).has("key")) {
    credentials();
    location.reload();
  }
});

const kept = credentials();
if (kept?.key && kept.user) signIn(kept);
else offerSignIn(kept ?? {}, "");
