/* What is wider than its column scrolls within it: it can then be reached by keyboard, has a name, and a shadow as long as more lies at the right. */
document.addEventListener("DOMContentLoaded", () => {
  const names = { PRE: "Code or output", TABLE: "Table" };
  const watched = ".bd-article :is(div.math, .pst-scrollable-table-container, .cell_output, figure, div.highlight pre, div[role='region'])";
  const nameOf = (element) => (element.matches(".math") ? "Equation" : names[element.tagName] ?? "Table or output");

  function look(element) {
    const wider = element.scrollWidth > element.clientWidth + 1;
    element.classList.toggle("more", wider && element.scrollLeft + element.clientWidth < element.scrollWidth - 1);
    if (wider === element.classList.contains("scrolls")) return;
    element.classList.toggle("scrolls", wider);
    if (element.matches("[role='region']:not([data-scrolls])")) return; // it has a name of its own
    const marks = element.tagName === "FIGURE" ? { tabindex: "0" } : { tabindex: "0", role: "group", "aria-label": `${nameOf(element)}, scrolls sideways` };
    element.toggleAttribute("data-scrolls", wider);
    for (const [key, value] of Object.entries(marks)) wider ? element.setAttribute(key, value) : element.removeAttribute(key);
  }

  // plots, which shrink to a phone's width otherwise, until nothing on them can be read
  document.querySelectorAll(".bd-article figure > img:not(.pixels)").forEach((picture) => {
    const mark = () => picture.classList.toggle("wide", picture.naturalWidth >= 600 && picture.naturalWidth > 1.1 * picture.naturalHeight);
    picture.complete ? mark() : picture.addEventListener("load", () => { mark(); all(); });
  });

  const elements = [...document.querySelectorAll(watched)];
  const all = () => elements.forEach(look);
  for (const element of elements) element.addEventListener("scroll", () => look(element), { passive: true });
  new ResizeObserver(all).observe(document.body);
  window.MathJax?.startup?.promise?.then(all);
  window.addEventListener("load", () => { all(); window.MathJax?.startup?.promise?.then(all); });
});
