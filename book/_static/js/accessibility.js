/* Names that a screen reader or a spoken command needs, where the theme and the widgets leave them out. */
document.addEventListener("DOMContentLoaded", () => {
  // the name of a button has to begin with the words that are visible on it
  document.querySelectorAll(".search-button-field").forEach((button) => button.removeAttribute("aria-label"));
  document.querySelectorAll(".theme-switch").forEach((icon) => {
    icon.removeAttribute("title");
    icon.querySelector("title")?.remove(); // where the symbol is already drawn
    icon.setAttribute("aria-hidden", "true");
  });

  // widgets are drawn some time after the page has loaded: a slider's handle takes the slider's label, a button that
  // shows only a symbol takes the symbol's name ("fa-play"), and a picture says what it is
  const nameWidgets = () => {
    document.querySelectorAll(".noUi-handle:not([aria-label])").forEach((handle) => {
      const label = handle.closest(".widget-slider")?.querySelector(".widget-label");
      handle.setAttribute("aria-label", label?.textContent.trim() || "slider");
    });
    document.querySelectorAll(".jupyter-button:not([aria-label])").forEach((button) => {
      const symbol = button.querySelector("[class*='fa-']")?.getAttribute("class").match(/\bfa-([a-z]+)/)?.[1];
      if (symbol && !button.textContent.trim()) button.setAttribute("aria-label", symbol);
    });
    document.querySelectorAll("img.widget-image:not([alt])").forEach((picture) => {
      picture.alt = "The picture for the values that the controls show";
    });
  };
  if (document.querySelector('script[type="application/vnd.jupyter.widget-view+json"]')) {
    new MutationObserver(nameWidgets).observe(document.body, { childList: true, subtree: true });
  }
});
