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
    for (const [code, label] of options) node.append(editor.el("option", { value: code, text: label }));
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
})();
