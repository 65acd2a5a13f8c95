// A new record shows the fields of its type as soon as the type is chosen; what was typed before comes along.
(function () {
  "use strict";
  const KEY = "own-record-typed";
  // Handed from one page to the next, at once or never.
  const FRESH = 60_000;

  function handedOver() {
    const kept = sessionStorage.getItem(KEY);
    sessionStorage.removeItem(KEY);
    const { at = 0, values = {} } = kept ? JSON.parse(kept) : {};
    return Date.now() - at < FRESH ? values : {};
  }

  document.addEventListener("DOMContentLoaded", () => {
    const form = document.querySelector("#record_form");
    const type = form && form.querySelector("select[name=type]");
    if (!type || !location.pathname.endsWith("/add/")) return;
    const fields = () => [...form.querySelectorAll("input, select, textarea")].filter((field) => /^(own_|values$|team$)/.test(field.name));
    const shown = new URLSearchParams(location.search).get("type") || "";
    // Fields that this type lacks are remembered as well: whoever goes back finds them.
    const typed = handedOver();
    for (const field of fields()) {
      const value = typed[field.name];
      if (!value) continue;
      const known = !field.options || [...field.options].some((option) => option.value === value);
      if (known && field.value !== value) {
        field.value = value;
        field.dispatchEvent(new Event("change", { bubbles: true }));
      }
    }
    const go = () => {
      if (!type.value || type.value === shown) return;
      for (const field of fields()) typed[field.name] = field.value;
      sessionStorage.setItem(KEY, JSON.stringify({ at: Date.now(), values: typed }));
      location.search = `?type=${encodeURIComponent(type.value)}`;
    };
    type.addEventListener("change", go);
    // The search box of the admin tells its choices through jQuery alone.
    if (window.django && window.django.jQuery) window.django.jQuery(type).on("select2:select", go);
  });
})();
