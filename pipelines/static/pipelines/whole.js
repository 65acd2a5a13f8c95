// Variables, exit rules, goals and settings of the whole pipeline, drawn over the JSON of the form's own fields.
(function () {
  "use strict";
  const editor = window.pipelineEditor;
  const { el } = editor;

  function setUp(field, schema) {
    const list = schema.type === "array";
    const filled = (next) => next !== undefined && (list ? next.length : Object.keys(next).length);
    const json = editor.over(field, {
      empty: list ? [] : {},
      readable: (value) => (list ? Array.isArray(value) : value && typeof value === "object" && !Array.isArray(value)),
      draw: (value, write) => {
        const tell = (next) => write(filled(next) ? next : undefined);
        if (list) return editor.schemaCards(schema, value, tell);
        const grid = el("div", { class: "pl-grid" });
        editor.drawParameters(grid, schema, value, tell);
        return grid;
      },
    });
    const holder = field.closest("[class*=field-], .form-row") || field.parentElement;
    if (holder.querySelector(".errorlist, [id$=_error]")) json.open = true;
  }

  document.addEventListener("DOMContentLoaded", () => {
    if (!editor.data || !editor.data.whole) return;
    for (const [name, schema] of Object.entries(editor.data.whole)) {
      const field = document.querySelector(`textarea#id_${name}`);
      if (field) setUp(field, schema);
    }
  });
})();
