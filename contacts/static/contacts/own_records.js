// A new record shows the fields of its type as soon as the type is chosen.
(function () {
  "use strict";
  document.addEventListener("DOMContentLoaded", () => {
    const type = document.querySelector("#record_form select[name=type]");
    if (!type || !location.pathname.endsWith("/add/")) return;
    const shown = new URLSearchParams(location.search).get("type") || "";
    const go = () => { if (type.value && type.value !== shown) location.search = `?type=${encodeURIComponent(type.value)}`; };
    type.addEventListener("change", go);
    // The search box of the admin tells its choices through jQuery alone.
    if (window.django && window.django.jQuery) window.django.jQuery(type).on("select2:select", go);
  });
})();
