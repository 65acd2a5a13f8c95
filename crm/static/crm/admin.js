// A search box that stands in place of a drop-down is named like the field it stands for, whenever it comes.
(function () {
  "use strict";
  function nameBoxes() {
    for (const select of document.querySelectorAll("select.select2-hidden-accessible:not([data-named])")) {
      const box = select.nextElementSibling;
      if (!box || !box.matches(".select2-container")) continue;
      const name = select.labels.length ? select.labels[0].textContent.replace("*", "").trim() : select.name;
      for (const part of box.querySelectorAll("[role=combobox], [role=textbox]")) {
        part.removeAttribute("aria-labelledby");
        part.setAttribute("aria-label", name);
      }
      select.dataset.named = "true";
    }
  }
  document.addEventListener("DOMContentLoaded", () => {
    nameBoxes();
    new MutationObserver(nameBoxes).observe(document.body, { childList: true, subtree: true });
  });
})();
