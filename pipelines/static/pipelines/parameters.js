// The fields of an action, drawn from its JSON Schema, reading and writing the raw JSON of the step.
(function () {
  "use strict";
  const editor = window.pipelineEditor;
  const { el, select, shown, parsed } = editor;
  const UNITS = [["s", "seconds"], ["m", "minutes"], ["h", "hours"], ["d", "days"], ["w", "weeks"]];

  const SECONDS = { w: 604800, d: 86400, h: 3600, m: 60 };
  // Seconds in the largest unit that says them whole.
  function inUnits(seconds) {
    const unit = Object.keys(SECONDS).find((each) => seconds > 0 && seconds % SECONDS[each] === 0);
    return unit ? `${seconds / SECONDS[unit]}${unit}` : `${seconds}s`;
  }

  // A number and a unit over a text such as "3d"; anything else stays text.
  editor.durationControl = function (text, changed) {
    const match = /^(\d+(?:\.\d+)?)([smhdw])$/.exec(text.trim());
    const plain = text.trim() === "" || match;
    const box = el("span", { class: "pl-duration" });
    if (!plain) {
      const free = el("input", { class: "pl-input", value: text });
      free.addEventListener("input", () => changed(free.value));
      box.append(free);
      return box;
    }
    const amount = el("input", { class: "pl-input", type: "number", min: 0, step: "any", value: match ? match[1] : "", placeholder: "0" });
    const unit = select(UNITS, match ? match[2] : "d", { "aria-label": "Unit" });
    const commit = () => changed(amount.value && Number(amount.value) > 0 ? `${amount.value}${unit.value}` : "");
    amount.addEventListener("input", commit);
    unit.addEventListener("change", commit);
    box.append(amount, unit);
    return box;
  };

  function textInput(value, changed, attributes) {
    const node = el("input", { class: "pl-input", value: typeof value === "string" ? value : shown(value), ...attributes });
    node.addEventListener("input", () => changed(node.value === "" ? undefined : node.value));
    return node;
  }
  function area(value, changed, attributes) {
    const node = el("textarea", { class: "pl-input", rows: 5, ...attributes });
    node.value = typeof value === "string" ? value : value === undefined ? "" : JSON.stringify(value, null, 2);
    node.addEventListener("input", () => changed(node.value === "" ? undefined : node.value));
    return node;
  }
  function listed(options, value, changed, attributes) {
    const list = editor.datalist(options);
    return el("span", {}, textInput(value, changed, { list: list.id, ...attributes }), list);
  }
  // One of a few; what was written before and is none of them stays, and says so.
  function chosen(options, value, changed, stranger) {
    const mine = value === undefined || value === "" ? "" : String(value);
    const all = [["", "Default"], ...options];
    if (!all.some(([key]) => key === mine)) all.push([mine, `${mine} (${stranger})`]);
    const node = select(all, mine);
    node.addEventListener("change", () => changed(node.value || undefined));
    return node;
  }
  function jsonArea(value, changed) {
    const node = area(value, () => {}, { class: "pl-input pl-code", rows: 3, spellcheck: "false" });
    node.value = value === undefined ? "" : JSON.stringify(value, null, 2);
    node.addEventListener("input", () => {
      let read;
      try {
        read = node.value.trim() === "" ? undefined : JSON.parse(node.value);
        node.setCustomValidity("");
      } catch (error) {
        node.setCustomValidity(`Not valid JSON: ${error.message}`);
        return;
      }
      changed(read);
    });
    return node;
  }

  // Fields of the records of a kind, by their names alone; without a kind, those of the subject.
  function namedFields(model) {
    const own = editor.data.recordTypes.find((each) => each.model === model);
    const fields = own ? own.fields : model ? editor.data.subjects[model] || [] : editor.subjectFields();
    return fields.map((field) => ({ ...field, name: field.path.split(".").slice(1).join(".") }));
  }
  // Those that a step can write, and that a sample has.
  const FIXED = new Set(["id", "created_at", "updated_at"]);
  function writable(model) {
    return namedFields(model).filter((field) => !field.name.includes(".") && !FIXED.has(field.name));
  }
  // The kinds of records that a step can be about, as far as its pattern allows them.
  function recordModel(schema, value, changed) {
    const all = [...editor.data.models, ["crm.task", "Task"], ...editor.data.recordTypes.map((each) => [each.model, each.label])];
    const options = [["", "Choose…"], ...all.filter(([label]) => new RegExp(schema.pattern || "").test(label))];
    if (value !== undefined && !options.some(([label]) => label === value)) options.push([value, `${value} (no kind of this team)`]);
    const node = select(options, value === undefined ? "" : value);
    node.addEventListener("change", () => changed(node.value || undefined));
    return node;
  }

  // Rows of name and value for an object; `offered` are fields that the names can be.
  function pairs(value, changed, textOnly, offered = [], sample = "Value") {
    const box = el("div", { class: "pl-pairs" });
    const rows = Object.entries(value && typeof value === "object" ? value : {});
    const commit = () => {
      const kept = rows.filter(([name]) => name !== "");
      changed(kept.length ? Object.fromEntries(kept) : undefined);
    };
    function row(pair) {
      const list = editor.datalist(offered.map((field) => [field.name, field.label]));
      const name = el("input", { class: "pl-input", value: pair[0], list: offered.length ? list.id : null, placeholder: offered.length ? "Field" : "Name", "aria-label": "Name" });
      const content = el("span", { class: "pl-value" });
      const remove = el("button", { type: "button", class: "pl-remove", "aria-label": "Remove this line" }, editor.icon("close"));
      const line = el("div", { class: "pl-pair" }, name, content, remove, offered.length ? list : null);
      const given = (next) => { pair[1] = next; commit(); };
      function drawContent() {
        const field = offered.find((each) => each.name === pair[0]);
        const own = field ? editor.valueInput(field, field.input, pair[1], given) : null;
        const free = own || el("input", { class: "pl-input", value: textOnly ? pair[1] : shown(pair[1]), placeholder: sample, "aria-label": "Value" });
        if (!own) free.addEventListener("input", () => given(textOnly ? free.value : parsed(free.value)));
        content.replaceChildren(free);
      }
      name.addEventListener("input", () => { pair[0] = name.value.trim(); commit(); drawContent(); });
      drawContent();
      remove.addEventListener("click", () => { rows.splice(rows.indexOf(pair), 1); line.remove(); commit(); });
      return line;
    }
    const add = el("button", { type: "button", class: "pl-small", text: "Add a line" });
    add.addEventListener("click", () => {
      const pair = ["", ""];
      rows.push(pair);
      add.before(row(pair));
      add.previousElementSibling.querySelector("input").focus();
    });
    box.append(...rows.map(row), add);
    return box;
  }

  // Who has to do with the record, and the members of the team by their addresses.
  function someone() {
    const related = editor.subjectFields().flatMap(({ path }) => /\.(owner|manager)\.id$/.test(path) ? [path.slice(0, -3)] : []);
    const words = (path) => (path.endsWith(".manager") ? "Manager of the owner" : "Owner of the record");
    return [...related.map((path) => [`{{ ${path} }}`, words(path)]), ...editor.data.users.map((email) => [email, email])];
  }

  const WIDGETS = {
    text: (value, changed) => textInput(value, changed),
    template: (value, changed) => textInput(value, changed),
    textarea: (value, changed) => area(value, changed),
    code: (value, changed) => area(value, changed, { class: "pl-input pl-code", rows: 8, spellcheck: "false" }),
    html: (value, changed) => area(value, changed, { class: "pl-input pl-code" }),
    number: (value, changed) => textInput(value, (text) => changed(text === undefined ? undefined : parsed(text)), { inputmode: "decimal" }),
    duration: (value, changed) => editor.durationControl(value === undefined ? "" : typeof value === "number" ? inUnits(value) : String(value), (text) => changed(text === "" ? undefined : text)),
    json: jsonArea,
    condition: (value, changed) => editor.conditionValue(value, changed),
    words: (value, changed) => editor.words(value, changed),
    form: (value, changed) => editor.formCards(value, changed),
    group: (value, changed) => listed(editor.data.groups.map((name) => [name, name]), value, changed, { placeholder: "Everybody" }),
    pipeline: (value, changed) => listed(editor.data.pipelines, value, changed, { placeholder: "Key of a pipeline" }),
    user: (value, changed) => listed(someone(), value, changed, { placeholder: "Owner of the record" }),
    // Several with commas between them take turns; a template stays as it is written.
    people: (value, changed) => {
      const split = (text) => (text && text.includes(",") && !text.includes("{{") ? text.split(",").map((who) => who.trim()).filter(Boolean) : text);
      return listed(someone(), Array.isArray(value) ? value.join(", ") : value, (text) => changed(split(text)), { placeholder: "Owner of the record" });
    },
    message_template: (value, changed) => listed(editor.data.templates, value, changed, { placeholder: "Write it here, or choose a template" }),
    retry: (value, changed) => editor.retryRules(value, changed),
    window: (value, changed) => editor.windowFields(value, changed),
    event: (value, changed) => listed(editor.data.events, value, changed, { placeholder: "email_clicked" }),
    segment: (value, changed) => listed(editor.data.segments, value, changed, { placeholder: "Key of a segment" }),
    topic: (value, changed) => chosen(editor.data.topics, value, changed, "no topic of this team"),
    stage: (value, changed) => textInput(value, changed),
  };

  editor.widgets = WIDGETS;
  editor.jsonArea = jsonArea;
  editor.pairs = pairs;
  editor.writable = writable;

  function boolean(value, changed, title) {
    const node = el("input", { type: "checkbox", class: "pl-check" });
    node.checked = value === true;
    node.addEventListener("change", () => changed(node.checked ? true : undefined));
    return el("label", { class: "pl-check-label" }, node, ` ${title}`);
  }

  const CONDITIONS = new Set(["if", "where", "while", "until", "condition"]);
  const SHAPED = new Set(["form", "words"]);

  // A value that is worked out later, or written in another form, is edited as it stands.
  function isList(value) {
    return value === undefined || Array.isArray(value);
  }
  const describesEntries = (schema) => schema.type === "array" && schema.items && schema.items.properties && schema.items.type === "object" && (!schema["x-widget"] || schema["x-widget"] === "json");

  function control(schema, value, changed, name, model) {
    const widget = schema["x-widget"];
    if (widget === "record_model") return recordModel(schema, value, changed);
    // What is looked for are fields of the records themselves.
    if (name === "where" && !schema.type) return editor.conditionValue(value, changed, () => (model ? namedFields(model).map((field) => ({ ...field, path: field.name })) : []));
    if (CONDITIONS.has(name) && !schema.type) return editor.conditionValue(value, changed);
    if ((SHAPED.has(widget) || describesEntries(schema)) && !isList(value)) return jsonArea(value, changed);
    if (describesEntries(schema) && widget !== "form") return editor.schemaCards(schema, value, changed);
    if (schema.type === "array" && !widget && schema.items && schema.items.type === "string") return editor.words(value, changed);
    if (schema.enum) {
      const node = select([["", "Default"], ...schema.enum.map((each) => [String(each), String(each)])], value === undefined ? "" : String(value));
      node.addEventListener("change", () => changed(schema.enum.find((each) => String(each) === node.value) ?? (node.value || undefined)));
      return node;
    }
    // A list, or a text that becomes an object later, is no rows of names and values.
    if (widget === "fields" && value !== undefined && (value === null || typeof value !== "object" || Array.isArray(value))) return jsonArea(value, changed);
    if (widget === "fields" || (!widget && schema.type === "object"))
      return pairs(value, changed, Boolean(schema.additionalProperties && schema.additionalProperties.type === "string"), widget && name === "values" ? writable(model) : []);
    if (schema.type === "array" && !widget) return jsonArea(value, changed);
    if (schema.type === "boolean") {
      // What is yes without saying so can only be told apart by words.
      const node = select([["", "Yes"], ["no", "No"]], value === false ? "no" : "");
      node.addEventListener("change", () => changed(node.value === "no" ? false : undefined));
      return node;
    }
    if (!widget && !schema.type) return textInput(value, (text) => changed(text === undefined ? undefined : parsed(text)));
    if (["number", "integer"].includes(schema.type)) return WIDGETS.number(value, changed);
    return (WIDGETS[widget] || WIDGETS.text)(value, changed);
  }

  const TEMPLATED = new Set(["template", "textarea", "html"]);
  const WIDE = new Set(["textarea", "code", "html", "json", "fields", "condition", "retry", "window"]);

  editor.drawParameters = function (box, schema, data, changed) {
    box.replaceChildren();
    if (schema["x-widget"] === "fields") {
      const field = editor.labelled(schema.title || "Values", pairs(data, (value) => changed(value || {}), false), schema.description);
      field.classList.add("pl-wide");
      box.append(field);
      return;
    }
    const required = schema.required || [];
    // Another kind of record has other fields; whoever chose it goes on from there.
    function redraw(name) {
      editor.drawParameters(box, schema, data, changed);
      box.querySelector(`[data-parameter=${name}] select`).focus();
    }
    // What few people need waits behind a fold, open when something is in it.
    const rest = el("div", { class: "pl-grid" });
    const fold = el("details", { class: "pl-more pl-wide" }, el("summary", { text: "More options" }), rest);
    for (const [name, property] of Object.entries(schema.properties || {})) {
      const set = (value) => {
        const next = { ...data };
        if (value === undefined) delete next[name];
        else next[name] = value;
        data = next;
        changed(next);
        if (property["x-widget"] === "record_model") redraw(name);
      };
      const title = (property.title || name) + (required.includes(name) ? " *" : "");
      const field = property.type === "boolean" && property.default !== true
        ? el("div", { class: "pl-field" }, boolean(data[name], set, title), property.description ? el("p", { class: "pl-help", text: property.description }) : null)
        : editor.labelled(title, control(property, data[name], set, name, data.model), property.description);
      if (WIDE.has(property["x-widget"]) || property["x-widget"] === "form" || describesEntries(property) || CONDITIONS.has(name)) field.classList.add("pl-wide");
      field.dataset.parameter = name;
      if (TEMPLATED.has(property["x-widget"])) field.append(editor.variableMenu(field.querySelector("input,textarea")));
      if (property["x-advanced"] && data[name] !== undefined) fold.open = true;
      (property["x-advanced"] ? rest : box).append(field);
    }
    if (rest.childElementCount) box.append(fold);
  };
})();
