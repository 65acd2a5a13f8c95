// Small ways to make elements. Only ever sets text, never HTML.
(function () {
  "use strict";
  const editor = (window.pipelineEditor = window.pipelineEditor || {});

  editor.el = function (tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === undefined || value === null || value === false) continue;
      if (name === "on") for (const [event, run] of Object.entries(value)) node.addEventListener(event, run);
      else if (name === "text") node.textContent = value;
      else if (name === "value") node.value = value;
      else node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  };

  editor.icon = (name) => editor.el("span", { class: "material-symbols-outlined", "aria-hidden": "true", text: name });

  editor.select = function (options, value, attributes) {
    const node = editor.el("select", { class: "pl-input", ...attributes });
    for (const [code, label, disabled] of options) node.append(editor.el("option", { value: code, text: label, disabled: Boolean(disabled) && code !== value }));
    if (value && !options.some(([code]) => code === value)) node.append(editor.el("option", { value, text: value }));
    node.value = value || "";
    return node;
  };

  let serial = 0;
  editor.labelled = function (title, control, help) {
    const id = control.id || `pl-control-${(serial += 1)}`;
    const target = control.matches("input,select,textarea") ? control : control.querySelector("input,select,textarea");
    if (target) target.id = id;
    return editor.el(
      "div", { class: "pl-field" },
      editor.el("label", { for: id, text: title }),
      control,
      help ? editor.el("p", { class: "pl-help", text: help }) : null,
    );
  };

  editor.datalist = function (options) {
    const id = `pl-list-${(serial += 1)}`;
    const list = editor.el("datalist", { id });
    for (const [value, label] of options) list.append(editor.el("option", { value, label }));
    return list;
  };

  // Values are shown as they are written; text that would read as JSON stands in quotes.
  editor.shown = function (value) {
    if (value === undefined || value === null) return value === null ? "null" : "";
    if (typeof value !== "string") return JSON.stringify(value);
    return editor.parsed(value) === value ? value : JSON.stringify(value);
  };
  editor.parsed = function (text) {
    const trimmed = text.trim();
    if (trimmed === "" || !/^(true$|false$|null$|-?\d|[[{"])/.test(trimmed)) return text;
    try {
      return JSON.parse(trimmed);
    } catch {
      return text;
    }
  };

  const WORDS = new Set(["text", "textarea", "email", "url"]);
  const isWorkedOut = (value) => typeof value === "string" && /^=|\{\{|\{%/.test(value);
  function typed(type, value, changed, read, attributes) {
    const node = editor.el("input", { class: "pl-input", type, value, "aria-label": "Value", ...attributes });
    node.addEventListener("input", () => changed(node.value === "" ? "" : read(node.value)));
    return node;
  }
  function picked(options, value, changed, read) {
    const all = options.some(([key]) => key === value) ? options : [...options, [value, `${value} (no option)`]];
    const node = editor.select(all, value, { "aria-label": "Value" });
    node.addEventListener("change", () => changed(node.value === "" ? "" : read(node.value)));
    return node;
  }

  // The input for a value of a field whose type is known; null where the value is of another type or worked out later.
  editor.valueInput = function (field, kind, value, changed) {
    const isNew = value === undefined || value === "";
    const of = (type) => isNew || typeof value === type;
    if (!kind || isWorkedOut(value)) return null;
    if (kind === "boolean" && of("boolean"))
      return picked([["", "—"], ["true", "Yes"], ["false", "No"]], isNew ? "" : String(value), changed, (text) => text === "true");
    if (kind === "select" && of("string"))
      return picked([["", "—"], ...field.choices], isNew ? "" : value, changed, (text) => text);
    if (["number", "integer"].includes(kind) && of("number"))
      return typed("number", isNew ? "" : String(value), changed, Number, { step: kind === "integer" ? 1 : "any" });
    if (kind === "date" && of("string") && (isNew || /^\d{4}-\d{2}-\d{2}$/.test(value)))
      return typed("date", isNew ? "" : value, changed, (text) => text);
    return WORDS.has(kind) && of("string") ? typed("text", isNew ? "" : value, changed, (text) => text, { placeholder: "Value" }) : null;
  };

  // Names that texts may use, put in where the cursor stands.
  editor.variableMenu = function (target) {
    const known = [...editor.subjectFields().map((field) => [field.path, field.label]), ...editor.data.variables];
    const menu = editor.select([["", "Insert a variable…"], ...known.map(([path, label]) => [path, `${label} — {{ ${path} }}`])], "", { class: "pl-insert", "aria-label": "Insert a variable" });
    menu.addEventListener("change", () => {
      if (!menu.value) return;
      target.setRangeText(`{{ ${menu.value} }}`, target.selectionStart, target.selectionEnd, "end");
      menu.value = "";
      target.dispatchEvent(new Event("input", { bubbles: true }));
      target.focus();
    });
    return menu;
  };

  editor.write = function (control, value) {
    control.value = value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value, null, 2);
    control.dispatchEvent(new Event("change", { bubbles: true }));
  };
  editor.readJson = function (control, fallback) {
    if (control.value.trim() === "") return fallback;
    try {
      return JSON.parse(control.value);
    } catch {
      return undefined;
    }
  };

  // Where the fields stand that are no parameters of the action.
  const PLACES = { delay: "delay_text", if: "condition", retry: "retry", timeout: "timeout", name: "name", key: "key", message: "message", next: "next_key", set: "assign" };

  function fieldAt(row, path) {
    const [first, ...rest] = path.replace(/^steps\[\d+\]\.?/, "").split(/[.[\]]+/).filter(Boolean);
    if (first === "on" && rest.length) {
      const way = row.querySelector(`select[data-outcome="${CSS.escape(rest[0])}"]`);
      return way && way.closest(".pl-field");
    }
    if (first !== "with") return PLACES[first] ? row.querySelector(`[data-field="${PLACES[first]}"]`) : null;
    let found = null;
    let within = row.querySelector("[data-parameters]");
    for (const part of rest) {
      const next = /^\d+$/.test(part)
        ? within.querySelectorAll(".pl-entry-card")[Number(part)]
        : within.querySelector(`[data-parameter="${CSS.escape(part)}"]`);
      if (!next) break;
      found = within = next;
    }
    return found;
  }

  // What is wrong with a field stands at the field, and what hides it is opened; the rest stays above all fields.
  editor.placeNotes = function (row) {
    row.querySelectorAll("[data-at]").forEach((note) => {
      const field = fieldAt(row, note.dataset.at);
      if (!field) return;
      field.append(note);
      const fold = field.closest("details.pl-more");
      if (fold) fold.open = true;
      field.querySelectorAll("input, select, textarea").forEach((control) => control.setAttribute("aria-invalid", String(note.matches(".pl-error"))));
    });
  };
})();
