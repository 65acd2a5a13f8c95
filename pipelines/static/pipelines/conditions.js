// Rows of field, operator and value over a raw condition. What rows cannot say stays raw text.
(function () {
  "use strict";
  const editor = window.pipelineEditor;
  const { el, select, shown, parsed } = editor;

  const isClause = (part) =>
    part && typeof part === "object" && typeof part.field === "string" && typeof part.operator === "string" &&
    Object.keys(part).every((key) => ["field", "operator", "value"].includes(key));

  // Returns {join, clauses}, or null when the condition is more than one group of plain rows.
  function read(text) {
    if (text.trim() === "") return { join: "all", clauses: [] };
    let condition;
    try {
      condition = JSON.parse(text);
    } catch {
      return null;
    }
    if (isClause(condition)) return { join: "all", clauses: [condition] };
    if (Array.isArray(condition)) return condition.every(isClause) ? { join: "all", clauses: condition } : null;
    if (condition && typeof condition === "object" && Object.keys(condition).length === 1) {
      const join = Object.keys(condition)[0];
      const clauses = condition[join];
      if (["all", "any"].includes(join) && Array.isArray(clauses) && clauses.every(isClause)) return { join, clauses };
    }
    return null;
  }

  function write(state) {
    const clauses = state.clauses.filter((clause) => clause.field.trim() !== "");
    if (clauses.length === 0) return undefined;
    return clauses.length === 1 ? clauses[0] : { [state.join]: clauses };
  }

  function valueOf(text, takes) {
    if (takes === "a list" || takes === "two values") {
      const value = parsed(text);
      return Array.isArray(value) ? value : text.split(",").map((part) => parsed(part.trim())).filter((part) => part !== "");
    }
    return ["a pattern", "a duration", "a date"].includes(takes) ? text : parsed(text);
  }

  const textOf = (value, takes) =>
    Array.isArray(value) && value.every((part) => typeof part !== "object" && !String(part).includes(","))
      ? value.map((part) => shown(part)).join(", ")
      : ["a pattern", "a duration", "a date"].includes(takes) && typeof value === "string" ? value : shown(value);

  const HINTS = { "a list": "one, two, three", "two values": "10, 20", "a duration": "30d", "a date": "2030-01-31", "a pattern": "^a.*z$" };

  // These look for a part of a text, whatever is stored.
  const PARTS = new Set(["contains", "not_contains", "starts_with", "ends_with"]);

  // `fieldsOf` tells which fields there are; without it they are those of the subject.
  editor.conditionBuilder = function (raw, fieldsOf = () => editor.subjectFields()) {
    const box = el("div", { class: "pl-condition" });
    raw.before(box);
    let internal = false;

    function commit(state) {
      internal = true;
      editor.write(raw, write(state));
      internal = false;
    }

    function draw() {
      const state = read(raw.value);
      box.replaceChildren();
      raw.hidden = state !== null && !raw.closest(".pl-field.pl-has-errors");
      if (state === null) {
        box.append(el("p", { class: "pl-muted", text: "Written as text or JSON:" }));
        return;
      }
      if (state.clauses.length > 1) box.append(joiner(state));
      state.clauses.forEach((clause, index) => box.append(row(state, clause, index)));
      const add = el("button", { type: "button", class: "pl-small", text: state.clauses.length ? "Add a line" : "Add a condition" });
      add.addEventListener("click", () => {
        state.clauses.push({ field: "", operator: "equals", value: "" });
        box.insertBefore(row(state, state.clauses.at(-1), state.clauses.length - 1), add);
        add.previousElementSibling.querySelector("input").focus();
      });
      const edit = el("button", { type: "button", class: "pl-small", text: "As text" });
      edit.addEventListener("click", () => { raw.hidden = !raw.hidden; });
      box.append(add, edit);
    }

    function joiner(state) {
      const node = select([["all", "All of these"], ["any", "Any of these"]], state.join, { "aria-label": "How the lines combine" });
      node.classList.add("pl-join");
      node.addEventListener("change", () => { state.join = node.value; commit(state); });
      return node;
    }

    function row(state, clause) {
      const fields = fieldsOf();
      const list = editor.datalist(fields.map((field) => [field.path, field.label]));
      const field = el("input", { class: "pl-input", value: clause.field, list: list.id, placeholder: fields.length && !fields[0].path.includes(".") ? `Field, such as ${fields[0].path}` : "Field, such as contact.email", "aria-label": "Field" });
      const operator = select(editor.data.operators.map((each) => [each.code, each.label]), clause.operator, { "aria-label": "Operator" });
      const valueBox = el("span", { class: "pl-value" });
      const remove = el("button", { type: "button", class: "pl-remove", "aria-label": "Remove this line" }, editor.icon("close"));

      function drawValue() {
        const takes = (editor.data.operators.find((each) => each.code === operator.value) || {}).takes;
        valueBox.replaceChildren();
        if (takes === "nothing") return;
        const about = fieldsOf().find((each) => each.path === field.value) || {};
        const given = (value) => { clause.value = value; commit(state); };
        const own = takes === "a value" || (takes === "a date" && about.input === "date")
          ? editor.valueInput(about, about.input && PARTS.has(operator.value) ? "text" : about.input, clause.value, given)
          : null;
        if (own) {
          valueBox.append(own);
          return;
        }
        const known = about.choices || [];
        const choices = known.length && takes === "a value" ? editor.datalist(known) : null;
        const value = el("input", { class: "pl-input", value: textOf(clause.value, takes), list: choices && choices.id, placeholder: HINTS[takes] || "Value", "aria-label": "Value" });
        value.addEventListener("input", () => { clause.value = valueOf(value.value, takes); commit(state); });
        valueBox.append(value);
        if (choices) valueBox.append(choices);
      }
      function changed() {
        clause.field = field.value;
        clause.operator = operator.value;
        const takes = (editor.data.operators.find((each) => each.code === operator.value) || {}).takes;
        if (takes === "nothing") delete clause.value;
        else if (clause.value === undefined) clause.value = "";
        else if (["a list", "two values"].includes(takes) && !Array.isArray(clause.value)) clause.value = clause.value === "" ? [] : [clause.value];
        commit(state);
        drawValue();
      }
      // Not on "change", which comes when the value already has the focus and must not be drawn again.
      field.addEventListener("input", changed);
      operator.addEventListener("change", changed);
      remove.addEventListener("click", () => { state.clauses.splice(state.clauses.indexOf(clause), 1); commit(state); draw(); });
      drawValue();
      return el("div", { class: "pl-clause" }, field, list, operator, valueBox, remove);
    }

    raw.addEventListener("change", () => { if (!internal) draw(); });
    draw();
  };
})();
