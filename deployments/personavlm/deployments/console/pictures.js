// Images of turns: loaded with the key once they come near the visible part of the page.

import { element } from "./dom.js";

const waiting = new WeakMap();

const observer = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      observer.unobserve(target);
      load(target);
    }
  },
  { rootMargin: "300px" },
);

async function load(image) {
  const { api, sha256 } = waiting.get(image);
  try {
    image.src = await api.image(sha256);
  } catch {
    image.replaceWith(element("span", { class: "thumb missing" }, "Image not available"));
  }
}

/** Thumbnails of `images` (`{sha256, caption, width, height}`), or null where there are none. */
export function thumbnails(api, images, large = false) {
  if (!images?.length) return null;
  const row = element("span", { class: "thumbs" });
  for (const { sha256, caption } of images) {
    const image = element("img", { class: large ? "thumb large" : "thumb", alt: caption || "Image of this turn" });
    waiting.set(image, { api, sha256 });
    observer.observe(image);
    row.append(image);
  }
  return row;
}
