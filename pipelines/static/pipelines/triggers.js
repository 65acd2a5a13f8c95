// A trigger shows the fields of its kind alone.
(function () {
  "use strict";
  const kinds = {
    0: ["model"],
    1: ["model", "only_fields", "debounce", "subject_expression"],
    2: ["model", "subject_expression"],
    3: ["event", "debounce", "subject_expression"],
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

  const isKind = (node) => node.matches && node.matches('[data-row="trigger"] select[name$="-kind"]');

  document.addEventListener("change", (event) => isKind(event.target) && show(event.target));
  document.addEventListener("DOMContentLoaded", () => {
    const all = () => document.querySelectorAll('[data-row="trigger"] select[name$="-kind"]').forEach(show);
    all();
    for (const list of document.querySelectorAll("[data-rows]")) new MutationObserver(all).observe(list, { childList: true });
  });
})();
