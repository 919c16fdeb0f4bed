// The HTTP API of the service, for one key and one user.

/** What the service refused or could not do, in its own words. `status` 0: it was not reached. */
export class ApiError extends Error {
  constructor(message, status, code = "") {
    super(message);
    this.status = status;
    this.code = code;
  }
}

async function failure(response) {
  let problem;
  try {
    problem = (await response.json()).error;
  } catch {
    problem = undefined; // not the API's own answer, for example that of a proxy
  }
  return new ApiError(
    problem?.message ?? `The service answered ${response.status} ${response.statusText}.`,
    response.status,
    problem?.code ?? "",
  );
}

/** The payloads of an event stream, one per `data:` line; throws where it ends without `[DONE]`. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new ApiError("The connection ended before the answer was complete.", 0);
    const lines = (rest + value).split(/\r?\n/);
    rest = lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data:")) continue;
      const data = line.slice(5).trim();
      if (data === "[DONE]") return;
      yield JSON.parse(data);
    }
  }
}

export class Api {
  #key;
  #images = new Map();

  constructor(key, user) {
    this.#key = key;
    this.user = user;
    this.home = `v1/users/${encodeURIComponent(user)}`;
  }

  async #fetch(path, { method = "GET", body, signal } = {}) {
    const headers = { Authorization: `Bearer ${this.#key}` };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let response;
    try {
      response = await fetch(path, { method, headers, signal, body: body && JSON.stringify(body) });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiError("The service could not be reached.", 0);
    }
    if (!response.ok) throw await failure(response);
    return response;
  }

  async #json(path, options) {
    return (await this.#fetch(path, options)).json();
  }

  models() {
    return this.#json("v1/models");
  }

  /** Chunks of a streamed completion for the newest `content`, with the trace of steps in the last. */
  async *chat(model, content, signal) {
    const body = {
      model,
      user: this.user,
      stream: true,
      messages: [{ role: "user", content }],
      metadata: { trace: "true" },
    };
    const response = await this.#fetch("v1/chat/completions", { method: "POST", body, signal });
    for await (const chunk of events(response.body)) {
      if (chunk.error) throw new ApiError(chunk.error.message, response.status, chunk.error.code);
      yield chunk;
    }
  }

  async timeline({ start, end, limit }) {
    const query = new URLSearchParams({ limit });
    if (start) query.set("start", start);
    if (end) query.set("end", end);
    return (await this.#json(`${this.home}/timeline?${query}`)).data;
  }

  /** All memories, those that ended included, deleted ones not. */
  async memories() {
    return (await this.#json(`${this.home}/memories?include_ended=true`)).data;
  }

  search(words, start, end) {
    const body = { keywords: words, query: words };
    if (start) body.start_time = start;
    if (end) body.end_time = end;
    return this.#json(`${this.home}/memories/search`, { method: "POST", body });
  }

  turn(id) {
    return this.#json(`${this.home}/turns/${id}`);
  }

  async history(id) {
    return (await this.#json(`${this.home}/memories/${encodeURIComponent(id)}/history`)).data;
  }

  /** Episodes of one thread, oldest first, each as `{episode, links}` with its links to older ones. */
  async thread(id) {
    return (await this.#json(`${this.home}/episodes/${encodeURIComponent(id)}/thread`)).data;
  }

  async remove(id) {
    await this.#fetch(`${this.home}/memories/${encodeURIComponent(id)}`, { method: "DELETE" });
  }

  profile() {
    return this.#json(`${this.home}/profile`);
  }

  async resetProfile() {
    await this.#fetch(`${this.home}/profile/reset`, { method: "POST" });
  }

  async setConsent(consent) {
    await this.#fetch(`${this.home}/profile/consent`, { method: "PUT", body: { consent } });
  }

  /** An object URL of a stored image. The key travels in a header, so an `<img src>` alone cannot ask. */
  image(sha256) {
    if (!this.#images.has(sha256)) {
      const loading = this.#fetch(`${this.home}/images/${sha256}`)
        .then((response) => response.blob())
        .then((blob) => URL.createObjectURL(blob));
      this.#images.set(sha256, loading);
    }
    return this.#images.get(sha256);
  }
}
