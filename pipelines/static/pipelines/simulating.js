// The page that tries a pipeline out: fields over the JSON of a story, and a button that says when it plays.
// Everything works without this.
(function () {
  "use strict";
  const editor = window.pipelineEditor;
  const form = document.getElementById("story");
  const data = document.getElementById("story-editor-data");
  if (editor && data) {
    editor.data = JSON.parse(data.textContent);
    editor.subjectFields = () => editor.data.subjects[editor.data.subject] || [];
    document.querySelectorAll("[data-condition]").forEach((raw) => editor.conditionBuilder(raw));
    const sample = document.getElementById("id_sample");
    if (sample) overSample(sample);
  }

  // Lines of field and value, with the fields of what the pipeline is about on offer.
  function overSample(field) {
    editor.over(field, {
      empty: {},
      readable: (value) => value && typeof value === "object" && !Array.isArray(value),
      draw: (value, write) => editor.pairs(value, write, false, editor.writable()),
    });
  }

  form?.addEventListener("submit", () => {
    const button = form.querySelector("button[type=submit]");
    button.textContent = "Playing…";
    button.disabled = true;
  });
  window.addEventListener("pageshow", () => {
    const button = form?.querySelector("button[type=submit]");
    if (button) {
      button.textContent = "Play";
      button.disabled = false;
    }
  });
})();
