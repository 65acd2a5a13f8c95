// What a webhook fills of a new contact, as rows of a field and a value over the JSON of the form's own field.
(function () {
  "use strict";
  const editor = window.pipelineEditor;

  document.addEventListener("DOMContentLoaded", () => {
    const data = document.getElementById("hook-editor-data");
    const field = document.querySelector("textarea#id_fields_of_new");
    if (!data || !field) return;
    const offered = JSON.parse(data.textContent);
    editor.data = {};
    editor.over(field, {
      empty: {},
      readable: (value) => value && typeof value === "object" && !Array.isArray(value)
        && Object.values(value).every((each) => each === null || typeof each !== "object"),
      draw: (value, write) => editor.pairs(value, write, false, offered, "{{ trigger.first_name }}"),
    });
  });
})();
