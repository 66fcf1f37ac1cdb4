/* html-manager typesets the labels of widgets through the interface of MathJax 2 (`MathJax.Hub.Queue`).
   MathJax 3 replaces the global while it loads, so the call is added once the deferred scripts have run.
   The pages' MathJax looks only into elements of certain classes, so a label is given one. */
document.addEventListener("DOMContentLoaded", () => {
  const mathjax = window.MathJax;
  if (!mathjax || mathjax.Hub) return;
  mathjax.Hub = {
    Queue(job) {
      if (job && job[0] === "Typeset" && mathjax.startup) {
        job[2].classList.add("mathjax_process");
        mathjax.startup.promise.then(() => mathjax.typesetPromise([job[2]]));
      }
    },
  };
});
