// One image for the next message: chosen, pasted or dropped.

import { byId, notify } from "./dom.js";

const TYPES = ["image/png", "image/jpeg", "image/webp"];
const MOST_BYTES = 8 * 1024 * 1024;

/** Wires the controls. Returns `take()`, which hands over `{dataUrl, objectUrl, name}` or null and clears. */
export function attachment() {
  let file = null;

  function show() {
    byId("attachment").hidden = !file;
    byId("attachment-name").textContent = file?.name ?? "";
    byId("attachment-image").src = file ? URL.createObjectURL(file) : "";
  }

  function choose(candidate) {
    if (!candidate) return;
    if (!TYPES.includes(candidate.type)) return notify("Only PNG, JPEG and WebP images can be attached.");
    if (candidate.size > MOST_BYTES) return notify("The image is larger than 8 MB.");
    file = candidate;
    show();
  }

  function clear() {
    file = null;
    byId("image").value = "";
    show();
  }

  byId("image").addEventListener("change", (event) => choose(event.target.files[0]));
  byId("attachment-remove").addEventListener("click", () => {
    clear();
    byId("message").focus();
  });
  byId("message").addEventListener("paste", (event) => choose(event.clipboardData.files[0]));
  byId("composer").addEventListener("dragover", (event) => event.preventDefault());
  byId("composer").addEventListener("drop", (event) => {
    event.preventDefault();
    choose(event.dataTransfer.files[0]);
  });

  return {
    present: () => file !== null,
    async take() {
      if (!file) return null;
      const taken = { name: file.name, objectUrl: URL.createObjectURL(file), dataUrl: await read(file) };
      clear();
      return taken;
    },
  };
}

function read(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result));
    reader.addEventListener("error", () => reject(reader.error));
    reader.readAsDataURL(file);
  });
}
