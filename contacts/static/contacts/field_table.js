// A table of fields: rows are added, moved and removed by buttons and keys; rows and JSON say the same.
(function () {
  "use strict";
  const FLAGS = ["required", "personal"];
  const part = (row, name) => row.querySelector(`[data-part="${name}"]`);
  const keyOf = (text) => text.normalize("NFKD").replace(/[\u0300-\u036f]/g, "").toLowerCase().replace(/ß/g, "ss").replace(/[^a-z0-9]+/g, "_").replace(/^[^a-z]+|_+$/g, "").slice(0, 40);

  function enliven(table) {
    const list = table.querySelector("[data-rows]");
    const json = table.querySelector("[data-json]");
    const shown = table.querySelector("[data-shown]");
    const problems = table.querySelector("[data-json-problems]");
    const told = table.querySelector("[data-told]");
    const rows = () => [...list.querySelectorAll("[data-row]")];
    const nameOf = (row) => part(row, "label").value || part(row, "key").value || "The new field";
    let made = 0;

    function read(row) {
      const found = { key: part(row, "key").value.trim() };
      const label = part(row, "label").value.trim();
      if (label) found.label = label;
      found.type = part(row, "type").value;
      for (const flag of FLAGS) if (part(row, flag).checked) found[flag] = true;
      if (found.type === "select") found.options = part(row, "options").value.split("\n").map((line) => line.trim()).filter(Boolean);
      return found;
    }

    // From the rows into the JSON; what the rows say decides from here on.
    function writeJson() {
      const fields = rows().map(read).filter((field) => field.key || field.label || (field.options || []).length);
      json.value = JSON.stringify(fields, null, 2);
      shown.value = JSON.stringify(fields);
      problems.replaceChildren();
    }

    function fresh(field) {
      const row = table.querySelector("[data-blank]").content.firstElementChild.cloneNode(true);
      const mark = `new${(made += 1)}`;
      row.querySelector('[name$="-row"]').value = mark;
      for (const each of row.querySelectorAll("[data-part]")) each.name = `${table.dataset.fieldTable}-${mark}-${each.dataset.part}`;
      if (field) fill(row, field);
      return row;
    }

    function fill(row, field) {
      for (const name of ["label", "key"]) part(row, name).value = typeof field[name] === "string" ? field[name] : "";
      part(row, "type").value = field.type;
      part(row, "options").value = Array.isArray(field.options) ? field.options.join("\n") : "";
      for (const flag of FLAGS) part(row, flag).checked = field[flag] === true;
      if (field.key) row.dataset.keyTyped = "";
    }

    function tidy() {
      const all = rows();
      all.forEach((row, index) => {
        row.querySelector("[data-number]").textContent = index + 1;
        row.querySelector("[data-options]").hidden = part(row, "type").value !== "select";
        row.querySelector('[data-do="up"]').disabled = index === 0;
        row.querySelector('[data-do="down"]').disabled = index === all.length - 1;
        for (const button of row.querySelectorAll("[data-do]")) button.setAttribute("aria-label", `${button.title}: ${nameOf(row)}`);
      });
    }

    function changed() {
      tidy();
      writeJson();
    }

    function move(row, by) {
      const other = by < 0 ? row.previousElementSibling : row.nextElementSibling;
      if (!other) return;
      const held = document.activeElement;
      if (by < 0) other.before(row);
      else other.after(row);
      changed();
      (held.disabled ? part(row, "label") : held).focus();
      told.textContent = `${nameOf(row)} is ${rows().indexOf(row) + 1} of ${rows().length}.`;
    }

    const acts = {
      add() {
        const row = fresh();
        list.append(row);
        changed();
        part(row, "label").focus();
      },
      up: (row) => move(row, -1),
      down: (row) => move(row, 1),
      remove(row) {
        const next = row.nextElementSibling || row.previousElementSibling;
        told.textContent = `${nameOf(row)} is removed.`;
        row.remove();
        changed();
        (next ? part(next, "label") : table.querySelector('[data-do="add"]')).focus();
      },
    };

    // From the JSON into the rows, when it can be read.
    function readJson() {
      let fields = null;
      let why = "";
      try {
        fields = JSON.parse(json.value || "[]");
        if (!Array.isArray(fields) || fields.some((each) => !each || typeof each !== "object")) {
          fields = null;
          why = "The fields are a list of objects.";
        }
      } catch (error) {
        why = `This is not JSON: ${error.message}.`;
      }
      table.toggleAttribute("data-unreadable", fields === null);
      list.inert = table.querySelector('[data-do="add"]').inert = fields === null;
      problems.replaceChildren();
      if (fields === null) {
        const line = document.createElement("li");
        line.textContent = why;
        problems.append(line);
        return;
      }
      list.replaceChildren(...fields.map(fresh));
      tidy();
    }

    table.addEventListener("click", (event) => {
      const button = event.target.closest("[data-do]");
      if (button) acts[button.dataset.do](button.closest("[data-row]"));
    });
    list.addEventListener("keydown", (event) => {
      if (!event.altKey || !["ArrowUp", "ArrowDown"].includes(event.key) || event.target.matches("select")) return;
      event.preventDefault();
      move(event.target.closest("[data-row]"), event.key === "ArrowUp" ? -1 : 1);
    });
    list.addEventListener("input", (event) => {
      const row = event.target.closest("[data-row]");
      if (event.target === part(row, "key")) row.dataset.keyTyped = "";
      if (event.target === part(row, "label") && !("keyTyped" in row.dataset)) part(row, "key").value = keyOf(event.target.value);
      changed();
    });
    json.addEventListener("change", readJson);

    for (const row of rows()) if (part(row, "key").value) row.dataset.keyTyped = "";
    if (table.hasAttribute("data-unreadable")) list.inert = table.querySelector('[data-do="add"]').inert = true;
    tidy();
  }

  document.addEventListener("DOMContentLoaded", () => document.querySelectorAll("[data-field-table]").forEach(enliven));
})();
