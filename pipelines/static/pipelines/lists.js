// Lists inside parameters: cases, variants, events, fields of a form. Each entry is a card that can move and go.
(function () {
  "use strict";
  const editor = window.pipelineEditor;
  const { el, select } = editor;

  const button = (name, label, run) => el("button", { type: "button", class: "pl-remove", "aria-label": label, title: label, on: { click: run } }, editor.icon(name));

  // Cards over a list of objects. `draw(entry, changed)` answers the inside of a card, `titleOf(entry, index)` its name.
  editor.cards = function (value, changed, { draw, titleOf, fresh, addLabel, copyOf }) {
    const entries = Array.isArray(value) ? value.map((each) => (each && typeof each === "object" ? { ...each } : each)) : [];
    const box = el("div", { class: "pl-cards" });
    const live = el("p", { class: "pl-live", "aria-live": "polite" });
    const commit = () => changed(entries.length ? entries.map((each) => each) : undefined);

    function card(entry, index) {
      const title = el("strong", { class: "pl-card-title", text: titleOf(entry, index) });
      const move = (step) => {
        const to = index + step;
        if (to < 0 || to >= entries.length) return;
        entries.splice(to, 0, ...entries.splice(index, 1));
        commit();
        redraw();
        show(to);
        live.textContent = `${titleOf(entry, to)} is now number ${to + 1}.`;
      };
      const head = el("div", { class: "pl-card-head" }, title,
        button("arrow_upward", "Move up", () => move(-1)), button("arrow_downward", "Move down", () => move(1)),
        copyOf ? button("content_copy", "Copy", () => { entries.splice(index + 1, 0, copyOf(entry)); commit(); redraw(); show(index + 1); live.textContent = `Copied as number ${index + 2}.`; }) : null,
        button("delete", "Remove", () => { entries.splice(index, 1); commit(); redraw(); live.textContent = "Removed."; }));
      const inside = draw(entry, (next) => {
        entries[index] = next;
        entry = next;
        title.textContent = titleOf(next, index);
        commit();
      });
      return el("div", { class: "pl-entry-card" }, head, inside);
    }
    function redraw() {
      box.replaceChildren(...entries.map(card), add, live);
    }
    function show(index) {
      box.querySelectorAll(":scope > .pl-entry-card")[index].querySelector("button").focus();
    }
    const add = el("button", { type: "button", class: "pl-small", text: addLabel });
    add.addEventListener("click", () => {
      entries.push(fresh(entries));
      commit();
      redraw();
      const cards = box.querySelectorAll(":scope > .pl-entry-card");
      const first = cards[cards.length - 1].querySelector("input,select");
      if (first) first.focus();
    });
    redraw();
    return box;
  };

  const setter = (entry, changed) => (name, value) => {
    const next = { ...entry() };
    if (value === undefined || value === "") delete next[name];
    else next[name] = value;
    changed(next);
  };

  // Entries described by a schema of their own, such as {name, if}.
  editor.schemaCards = function (schema, value, changed) {
    const items = schema.items || {};
    const word = (schema.title || "entry").replace(/ies$/, "y").replace(/(ch|sh|x)es$/, "$1").replace(/s$/, "").toLowerCase();
    return editor.cards(value, changed, {
      addLabel: `Add: ${word}`,
      titleOf: (entry, index) => (entry && (entry.name || entry.key || entry.event)) || `${word} ${index + 1}`,
      fresh: (entries) => ("name" in (items.properties || {}) && (items.required || []).includes("name") ? { name: freeName(entries, word) } : {}),
      draw: (entry, tell) => {
        const box = el("div", { class: "pl-grid" });
        editor.drawParameters(box, items, entry || {}, tell);
        return box;
      },
    });
  };

  function freeName(entries, word) {
    const stem = word.replace(/[^a-z]+/g, "_") || "entry";
    const taken = new Set(entries.map((each) => each && each.name));
    let number = entries.length + 1;
    while (taken.has(`${stem}_${number}`)) number += 1;
    return `${stem}_${number}`;
  }
  editor.freeName = freeName;

  const TYPES = [["text", "Text"], ["textarea", "Long text"], ["number", "Number"], ["boolean", "Yes or no"], ["date", "Date"], ["datetime", "Date and time"], ["select", "Choose one"], ["multiselect", "Choose several"], ["email", "Email address"], ["url", "Web address"], ["user", "Member of the team"], ["record", "Record"]];
  const BOUNDS = { number: ["Smallest", "Largest"], text: ["Shortest", "Longest"], textarea: ["Shortest", "Longest"], date: ["Earliest", "Latest"], datetime: ["Earliest", "Latest"], multiselect: ["At least", "At most"] };

  // The fields of a form for people.
  editor.formCards = function (value, changed) {
    return editor.cards(value, changed, {
      addLabel: "Add a question",
      titleOf: (entry, index) => entry.label || entry.name || `Question ${index + 1}`,
      fresh: (entries) => ({ name: freeName(entries, "question"), type: "text" }),
      draw: (entry, tell) => {
        const box = el("div", { class: "pl-grid" });
        let now = entry;
        const set = setter(() => now, (next) => { now = next; tell(next); });
        const text = (name, title, help, read = (typed) => typed) => {
          const node = el("input", { class: "pl-input", value: now[name] === undefined ? "" : editor.shown(now[name]) });
          node.addEventListener("input", () => set(name, node.value === "" ? undefined : read(node.value)));
          return editor.labelled(title, node, help);
        };
        function draw() {
          const type = select(TYPES, now.type);
          type.addEventListener("change", () => { set("type", type.value); draw(); });
          const needed = el("input", { type: "checkbox", class: "pl-check" });
          needed.checked = now.required === true;
          needed.addEventListener("change", () => set("required", needed.checked ? true : undefined));
          box.replaceChildren(
            text("label", "Question"), editor.labelled("Kind of answer", type),
            text("name", "Name", "How later steps read it; letters, digits and _."),
            el("label", { class: "pl-check-label" }, needed, " Must be answered"),
          );
          if (now.type === "select" || now.type === "multiselect" || now.type === "record") {
            const shape = now.type === "record" ? "Kinds of records, such as contacts.deal; one on each line." : "One on each line; code = words, where they differ.";
            box.append(optionsArea(now, set, shape));
          }
          if (now.type in BOUNDS) {
            const [low, high] = BOUNDS[now.type];
            box.append(text("min", low, undefined, editor.parsed), text("max", high, undefined, editor.parsed));
          }
          box.append(text("default", "Filled in before", "May use {{ contact.first_name }} and the like.", editor.parsed), text("help", "Help"));
        }
        draw();
        return box;
      },
    });
  };

  function optionsArea(now, set, help) {
    const node = el("textarea", { class: "pl-input", rows: 3 });
    const lines = (Array.isArray(now.options) ? now.options : []).map((each) => (each && typeof each === "object" ? `${each.value} = ${each.label ?? each.value}` : editor.shown(each)));
    node.value = lines.join("\n");
    node.addEventListener("input", () => {
      const options = node.value.split("\n").map((line) => line.trim()).filter(Boolean).map((line) => {
        const [code, ...words] = line.split(" = ");
        return words.length ? { value: editor.parsed(code.trim()), label: words.join(" = ").trim() } : editor.parsed(line);
      });
      set("options", options.length ? options : undefined);
    });
    const field = editor.labelled("Options", node, help);
    field.classList.add("pl-wide");
    return field;
  }

  // A few words with commas between them.
  editor.words = function (value, changed) {
    const node = el("input", { class: "pl-input", value: Array.isArray(value) ? value.join(", ") : editor.shown(value), placeholder: "one, two" });
    node.addEventListener("input", () => {
      const words = node.value.split(",").map((word) => word.trim()).filter(Boolean);
      changed(words.length ? words : undefined);
    });
    return node;
  };

  // Rows of a condition over a value instead of a field of the form.
  editor.conditionValue = function (value, changed, fieldsOf) {
    const raw = el("textarea", { class: "pl-input pl-code", rows: 2, spellcheck: "false", "aria-label": "Condition as text" });
    raw.value = value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value, null, 2);
    const box = el("div", {}, raw);
    const read = () => {
      const text = raw.value.trim();
      if (text === "") return changed(undefined);
      if (!/^[[{]|^(true|false)$/.test(text)) return changed(raw.value);
      try {
        const parsed = JSON.parse(text);
        raw.setCustomValidity("");
        changed(parsed);
      } catch (error) {
        raw.setCustomValidity(`Not valid JSON: ${error.message}`);
      }
    };
    raw.addEventListener("change", read);
    raw.addEventListener("input", read);
    editor.conditionBuilder(raw, fieldsOf);
    return box;
  };
})();
