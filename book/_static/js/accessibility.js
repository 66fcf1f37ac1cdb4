/* Names that a screen reader or a spoken command needs, where the theme and the widgets leave them out. */
document.addEventListener("DOMContentLoaded", () => {
  // the name of a button has to begin with the words that are visible on it
  document.querySelectorAll(".search-button-field").forEach((button) => button.removeAttribute("aria-label"));
  document.querySelectorAll(".theme-switch").forEach((icon) => {
    icon.removeAttribute("title");
    icon.setAttribute("aria-hidden", "true");
  });

  // a slider's handle takes the slider's label; widgets are drawn some time after the page has loaded
  const nameHandles = () =>
    document.querySelectorAll(".noUi-handle:not([aria-label])").forEach((handle) => {
      const label = handle.closest(".widget-slider")?.querySelector(".widget-label");
      handle.setAttribute("aria-label", label?.textContent.trim() || "slider");
    });
  nameHandles();
  if (document.querySelector('script[type="application/vnd.jupyter.widget-view+json"]')) {
    new MutationObserver(nameHandles).observe(document.body, { childList: true, subtree: true });
  }
});
