"""What a script can tell about a page's accessibility: names, contrast, width, ids."""

from __future__ import annotations

from playwright.sync_api import Page

CONTROLS = {
    "button",
    "checkbox",
    "combobox",
    "link",
    "radio",
    "searchbox",
    "switch",
    "textbox",
    "image",
    "img",
}

# Text whose contrast with what lies behind it is below WCAG AA, as "ratio: text".
LOW_CONTRAST = """() => {
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (rgb) => {
    const linear = (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = rgb.slice(0, 3).map((c) => linear(c / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const low = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text; (text = walker.nextNode()); ) {
    const parent = text.parentElement;
    const unseen = !parent.checkVisibility() || parent.closest(".notice, .visually-hidden");
    if (unseen || !text.data.trim()) continue;
    const style = getComputedStyle(parent);
    const colour = parse(parent.namespaceURI.endsWith("svg") ? style.fill : style.color);
    const [a, b] = [luminance(colour), luminance(behind(parent))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) low.push(`${ratio.toFixed(2)}: ${text.data.trim()}`);
  }
  return low;
}"""


def unnamed_controls(page: Page) -> list[str]:
    """Roles of controls and images to which the browser gives no accessible name."""
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")
    return [
        node["role"]["value"]
        for node in tree["nodes"]
        if not node.get("ignored")
        and node["role"]["value"] in CONTROLS
        and not node.get("name", {}).get("value", "").strip()
    ]


def check_accessible(page: Page) -> None:
    """Every control has a name, text meets WCAG AA, nothing scrolls sideways, ids are unique."""
    assert unnamed_controls(page) == []
    assert page.evaluate(LOW_CONTRAST) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    ids: list[str] = page.evaluate("[...document.querySelectorAll('[id]')].map((node) => node.id)")
    assert len(ids) == len(set(ids))
