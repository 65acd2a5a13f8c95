// Options are asked where the type is a choice, and nowhere else.
(function () {
  "use strict";
  document.addEventListener("DOMContentLoaded", () => {
    const type = document.querySelector("#fielddefinition_form select[name=type]");
    const options = document.querySelector("#fielddefinition_form textarea[name=options]");
    if (!type || !options) return;
    const row = options.closest(".field-options") || options.parentElement;
    const show = () => {
      row.hidden = type.value !== "select";
      row.style.display = row.hidden ? "none" : "";
    };
    type.addEventListener("change", show);
    show();
  });
})();
