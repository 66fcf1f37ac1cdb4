// Start the slides, and lay them out again when their equations have been typeset.
Reveal.initialize({ hash: true, width: 1120, height: 720, margin: 0.06, center: false, transition: "none", plugins: [RevealNotes] });
window.MathJax.startup.promise.then(() => Reveal.layout());
