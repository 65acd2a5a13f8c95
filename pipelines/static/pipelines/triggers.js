// A trigger shows the fields of its kind alone.
(function () {
  "use strict";
  const kinds = {
    0: ["model"],
    1: ["model", "only_fields", "debounce", "subject_expression"],
    2: ["model", "subject_expression"],
    3: ["event", "silence", "debounce", "subject_expression"],
    4: ["cron", "tz", "misfire", "overlap", "for_each"],
    5: ["subject_expression"],
    6: [],
    7: ["segment", "every", "overlap"],
  };
  const special = new Set(Object.values(kinds).flat());

  function show(select) {
    const wanted = kinds[select.value] || [];
    for (const field of select.closest("[data-row]").querySelectorAll("[data-field]")) {
      if (special.has(field.dataset.field)) field.hidden = !wanted.includes(field.dataset.field);
    }
  }

  // The line beside "entering again" is for the choices that need a word more.
  const REENTRY = 'select[name$="reentry_policy"]';
  function showMore(choice) {
    const line = document.getElementsByName(choice.name.replace(/policy$/, "more"))[0];
    if (line) line.hidden = !["after", "key", "key_for_ever"].includes(choice.value);
  }

  const isKind = (node) => node.matches && node.matches('[data-row="trigger"] select[name$="-kind"]');

  // Which of the team's own types matters for pipelines about records alone.
  function showRecordType() {
    const model = document.getElementById("id_subject_type");
    const type = document.querySelector("select#id_subject_record");
    const data = window.pipelineEditor.data;
    if (!model || !type || !data) return;
    const row = type.closest(".form-row, .field-row, [class*=field-subject_record]");
    const unused = data.subjectTypes[model.value] !== "contacts.record" && !type.value;
    if (row) row.hidden = unused && !row.querySelector(".errorlist, .text-red-600, .text-red-500");
  }

  document.addEventListener("change", (event) => {
    if (isKind(event.target)) show(event.target);
    if (event.target.matches(REENTRY)) showMore(event.target);
    if (event.target.id === "id_subject_type") showRecordType();
  });
  document.addEventListener("DOMContentLoaded", () => {
    const all = () => {
      document.querySelectorAll('[data-row="trigger"] select[name$="-kind"]').forEach(show);
      document.querySelectorAll(REENTRY).forEach(showMore);
    };
    all();
    showRecordType();
    for (const list of document.querySelectorAll("[data-rows]")) new MutationObserver(all).observe(list, { childList: true });
  });
})();
