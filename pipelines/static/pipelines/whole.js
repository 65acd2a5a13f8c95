// Variables, exit rules, goals and settings of the whole pipeline, drawn over the JSON of the form's own fields.
(function () {
  "use strict";
  const editor = window.pipelineEditor;
  const { el } = editor;

  function setUp(field, schema) {
    const box = el("div", { class: "pl-whole" });
    const json = el("details", { class: "pl-more" }, el("summary", { text: "As JSON" }));
    let internal = false;
    field.before(box, json);
    json.append(field);
    const write = (next) => {
      const empty = next === undefined || (Array.isArray(next) ? !next.length : !Object.keys(next).length);
      internal = true;
      editor.write(field, empty ? undefined : next);
      internal = false;
    };
    function draw() {
      const list = schema.type === "array";
      const value = editor.readJson(field, list ? [] : {});
      const readable = value !== undefined && (list ? Array.isArray(value) : value && typeof value === "object" && !Array.isArray(value));
      box.hidden = !readable;
      if (!readable) { json.open = true; return; }
      if (list) box.replaceChildren(editor.schemaCards(schema, value, write));
      else {
        const grid = el("div", { class: "pl-grid" });
        editor.drawParameters(grid, schema, value, write);
        box.replaceChildren(grid);
      }
    }
    field.addEventListener("change", () => { if (!internal) draw(); });
    draw();
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
