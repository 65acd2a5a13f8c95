// The steps of a pipeline: rows that open, move, come and go. The form's own fields stay the truth.
(function () {
  "use strict";
  const editor = window.pipelineEditor;
  const { el, select } = editor;

  editor.subjectFields = function () {
    const chosen = document.getElementById("id_subject_type") || document.getElementById("id_model");
    const label = chosen ? editor.data.subjectTypes[chosen.value] : editor.data.subject;
    return editor.data.subjects[label || editor.data.subject] || [];
  };

  const inRow = (row, name) => row.querySelector(`[name$="-${name}"]`);
  const isRemoved = (row) => { const box = inRow(row, "DELETE"); return Boolean(box && box.checked); };
  const rowsOf = (list) => [...list.children].filter((row) => row.matches("[data-row]"));

  function setUpStep(row, list) {
    const action = inRow(row, "action_type");
    const raw = inRow(row, "data");
    const show = (name, on) => { row.querySelectorAll(`[data-show="${name}"]`).forEach((node) => { node.hidden = !on; }); };
    const remembered = {};
    let internal = false;
    let last = action.value;

    function drawKind() {
      const kind = editor.data.kinds[action.value];
      row.querySelector("[data-description]").textContent = kind ? kind.description : "";
      row.querySelector("[data-icon]").textContent = kind ? kind.icon : "bolt";
      const message = inRow(row, "message");
      show("message", Boolean(message.value) || Boolean(kind && kind.speaks) || message.closest(".pl-field.pl-has-errors"));
      show("inside", editor.isBlock(action.value));
      editor.sayLongest(row.querySelector(".pl-when-wrong"), action.value);
      row.querySelector('.pl-field-condition label').textContent = action.value === "condition" ? "Condition" : "Only if";
      const data = editor.readJson(raw, {});
      const box = row.querySelector("[data-parameters]");
      box.replaceChildren();
      if (data === undefined) raw.closest("details").open = true;
      else if (kind) editor.drawParameters(box, kind.schema, data, (next) => {
        internal = true;
        editor.write(raw, Object.keys(next).length ? next : undefined);
        internal = false;
        drawInside();
        drawOutcomes();
      });
      drawInside();
      drawOutcomes();
      drawTitle();
    }

    // The lists of steps inside a block; a branch that was renamed keeps its steps.
    let branchNames = [];
    function drawInside() {
      const field = inRow(row, "inside");
      const box = row.querySelector("[data-inside]");
      if (!field || !box) return;
      box.hidden = !editor.isBlock(action.value);
      const data = editor.readJson(raw, {});
      let inside = editor.readJson(field, {});
      if (box.hidden || data === undefined || inside === undefined) return;
      const branches = Array.isArray(data.branches) ? data.branches : [];
      const names = branches.map((branch) => branch && branch.name);
      if (names.length === branchNames.length && names.join("\n") !== branchNames.join("\n")) {
        const moved = Object.fromEntries(names.map((name, index) => [name, inside[name] || (names.includes(branchNames[index]) ? undefined : inside[branchNames[index]])]).filter(([, steps]) => steps));
        inside = moved;
        field.value = JSON.stringify(inside);
      } else if (box.childElementCount && names.join("\n") === branchNames.join("\n")) return;
      branchNames = names;
      editor.drawInside(box, action.value, branches, inside, (next) => { field.value = JSON.stringify(next); }, inRow(row, "key").value || "step");
    }

    function drawOutcomes() {
      const edges = editor.readJson(inRow(row, "edges"), {});
      const box = row.querySelector("[data-outcomes]");
      box.replaceChildren();
      if (edges === undefined || typeof edges !== "object") return;
      // Where a step usually leads stands in a field of its own.
      const usual = inRow(row, "next_key").value.trim();
      row.classList.toggle("pl-has-ways", Boolean(usual) || Object.keys(edges).length > 0);
      editor.drawWays(box, {
        code: action.value, data: editor.readJson(raw, {}), ways: { ...(usual ? { next: usual } : {}), ...edges },
        hasTimeout: Boolean(inRow(row, "timeout").value.trim()), targets, ending: "The end of the run",
        trouble: row.querySelector("[data-trouble]"),
        changed: (outcome, target) => {
          if (outcome === "next") return editor.write(inRow(row, "next_key"), target || undefined);
          const next = { ...editor.readJson(inRow(row, "edges"), {}) };
          if (target) next[outcome] = target;
          else delete next[outcome];
          internal = true;
          editor.write(inRow(row, "edges"), Object.keys(next).length ? next : undefined);
          internal = false;
        },
      });
    }

    const targets = () => rowsOf(list).filter((each) => each !== row && !isRemoved(each)).map((each) => {
      const key = inRow(each, "key").value;
      return [key, `${each.querySelector("[data-position]").textContent}. ${each.querySelector("[data-title]").textContent}`];
    }).filter(([key]) => key);

    function drawTitle() {
      const kind = editor.data.kinds[action.value];
      const name = inRow(row, "name").value;
      row.querySelector("[data-title]").textContent = name || (kind ? kind.label : action.value || "New step");
      row.querySelector("[data-key]").textContent = inRow(row, "key").value;
    }

    function drawDelay() {
      const text = inRow(row, "delay_text");
      const old = text.parentElement.querySelector(":scope > .pl-duration, :scope > .pl-delay-rule");
      if (old) old.remove();
      const simple = /^(\d+(\.\d+)?[smhdw])?$/.test(text.value.trim());
      text.hidden = simple;
      const help = row.querySelector(".pl-field-delay_text .pl-help");
      if (help) help.hidden = simple;
      if (simple) {
        const control = editor.durationControl(text.value, (value) => { text.value = value; sayDelay(); });
        control.firstChild.setAttribute("aria-label", "Wait before this step");
        const rule = el("button", { type: "button", class: "pl-small", text: "More…", title: "A date, weekdays, hours" });
        rule.addEventListener("click", () => { control.remove(); drawRule(text.value.trim() || undefined).querySelector("input").focus(); });
        control.append(rule);
        text.before(control);
      } else if (text.value.trim().startsWith("{") && !text.value.trim().startsWith("{{")) {
        const rule = editor.readJson(text, undefined);
        if (rule) drawRule(rule);
      }
      sayDelay();
    }
    // A rule has fields of its own; as JSON it stands below them.
    function drawRule(rule) {
      const text = inRow(row, "delay_text");
      const fields = editor.delayRule(rule, (next) => {
        const keys = Object.keys(next || {});
        text.value = !next ? "" : keys.length === 1 && next.for !== undefined ? String(next.for) : JSON.stringify(next);
        sayDelay();
      });
      text.hidden = false;
      text.before(fields);
      text.closest(".pl-field").classList.add("pl-wide");
      return fields;
    }
    function sayDelay() {
      const text = inRow(row, "delay_text").value.trim();
      const match = /^(\d+(?:\.\d+)?)([smhdw])$/.exec(text);
      const unit = { s: "second", m: "minute", h: "hour", d: "day", w: "week" };
      const rule = text.startsWith("{") && !text.startsWith("{{") ? editor.readJson(inRow(row, "delay_text"), undefined) : undefined;
      if (rule) row.querySelector("[data-when]").textContent = editor.delayWords(rule);
      else row.querySelector("[data-when]").textContent = !text || text === "0" ? "at once" : match ? `after ${match[1]} ${unit[match[2]]}${match[1] === "1" ? "" : "s"}` : `after ${text.slice(0, 40)}`;
    }

    action.addEventListener("change", () => {
      remembered[last] = raw.value;
      last = action.value;
      if (remembered[last] !== undefined) raw.value = remembered[last];
      else {
        const old = editor.readJson(raw, {}) || {};
        const known = (editor.data.kinds[last] || { schema: {} }).schema.properties || {};
        const kept = Object.fromEntries(Object.entries(old).filter(([name]) => name in known));
        raw.value = Object.keys(kept).length ? JSON.stringify(kept, null, 2) : "";
      }
      drawKind();
    });
    inRow(row, "name").addEventListener("input", drawTitle);
    inRow(row, "key").addEventListener("input", drawTitle);
    raw.addEventListener("change", () => { if (!internal) drawKind(); });
    inRow(row, "edges").addEventListener("change", () => { if (!internal) drawOutcomes(); });
    row.querySelector("details").addEventListener("toggle", (event) => { if (event.target.open && event.target === row.querySelector("details")) drawOutcomes(); });
    editor.over(inRow(row, "retry"), {
      readable: (value) => value === undefined || (value && typeof value === "object"),
      draw: (value, write) => editor.retryRules(value, write, action.value),
    });
    action.addEventListener("change", () => inRow(row, "retry").dispatchEvent(new Event("change")));
    editor.over(inRow(row, "timeout"), {
      readable: (value) => value === undefined || ["number", "string"].includes(typeof value),
      draw: (value, write) => editor.widgets.duration(value, (next) => { write(next); drawOutcomes(); }),
    });
    inRow(row, "timeout").addEventListener("change", drawOutcomes);
    editor.over(inRow(row, "assign"), {
      readable: (value) => value === undefined || (value && typeof value === "object" && !Array.isArray(value)),
      draw: (value, write) => editor.pairs(value, write),
    });
    editor.conditionBuilder(inRow(row, "condition"));
    inRow(row, "message").after(editor.variableMenu(inRow(row, "message")));
    inRow(row, "delay_text").addEventListener("change", drawDelay);
    drawDelay();
    drawKind();
    editor.placeNotes(row);
  }

  function renumber(list) {
    let number = 0;
    for (const row of rowsOf(list)) {
      if (isRemoved(row)) continue;
      number += 1;
      const position = row.querySelector("[data-position]");
      if (position) position.textContent = number;
      const field = inRow(row, "number");
      if (field) field.value = number;
    }
    const empty = document.querySelector(`[data-empty="${list.dataset.rows}"]`);
    if (empty) empty.hidden = number > 0;
  }

  function freeKey(list) {
    const taken = new Set([...editor.data.takenKeys, ...rowsOf(list).map((row) => inRow(row, "key").value)]);
    let number = rowsOf(list).length;
    while (taken.has(`step_${number}`)) number += 1;
    return `step_${number}`;
  }

  function freshRow(section) {
    const total = section.querySelector(`[name="${section.dataset.prefix}-TOTAL_FORMS"]`);
    const shell = document.createElement("div");
    shell.append(section.querySelector("template").content.cloneNode(true));
    for (const node of shell.querySelectorAll("*"))
      for (const name of ["id", "name", "for"])
        if (node.hasAttribute(name)) node.setAttribute(name, node.getAttribute(name).replace("__prefix__", total.value));
    total.value = Number(total.value) + 1;
    return shell.firstElementChild;
  }

  function openAlone(row, list) {
    for (const other of rowsOf(list)) other.querySelector("details").open = other === row || other.classList.contains("pl-has-errors");
    renumber(list);
  }

  function copy(row, list, section) {
    const made = freshRow(section);
    row.after(made);
    editor.copyRow(row, made, inRow);
    setUpStep(made, list);
    openAlone(made, list);
    say(list, `Copied as step ${made.querySelector("[data-position]").textContent}.`);
    inRow(made, "name").focus();
  }

  function remove(row, list) {
    const box = inRow(row, "DELETE");
    if (!box) return;
    box.checked = !box.checked;
    row.classList.toggle("pl-is-removed", box.checked);
    const button = row.querySelector("[data-remove]");
    button.replaceChildren(editor.icon(box.checked ? "undo" : "delete"));
    button.title = box.checked ? "Keep it after all" : "Remove";
    button.setAttribute("aria-label", button.title);
    renumber(list);
    say(list, box.checked ? "Will be removed when you save." : "Kept.");
  }

  function say(list, text) {
    const live = list.parentElement.querySelector("[data-live]");
    if (live) live.textContent = text;
  }

  function moved(row, list) {
    renumber(list);
    say(list, `${row.querySelector("[data-title]").textContent} is now step ${row.querySelector("[data-position]").textContent}.`);
    inRow(row, "number").dispatchEvent(new Event("change", { bubbles: true }));
  }

  // Dragging by pointer, so that fingers and mice do the same; arrow keys on the handle move too.
  function setUpDragging(list) {
    let row = null;
    list.addEventListener("click", (event) => { if (event.target.closest("[data-handle],[data-remove]")) event.preventDefault(); });
    list.addEventListener("pointerdown", (event) => {
      const handle = event.target.closest("[data-handle]");
      if (!handle || event.button !== 0) return;
      event.preventDefault();
      handle.focus();
      row = handle.closest("[data-row]");
      row.classList.add("pl-is-dragged");
      handle.setPointerCapture(event.pointerId);
    });
    list.addEventListener("pointermove", (event) => {
      if (!row) return;
      for (const other of rowsOf(list)) {
        if (other === row) continue;
        const box = other.getBoundingClientRect();
        if (event.clientY < box.top || event.clientY > box.bottom) continue;
        const after = row.compareDocumentPosition(other) & Node.DOCUMENT_POSITION_FOLLOWING;
        if (after && event.clientY > box.top + box.height / 2) other.after(row);
        if (!after && event.clientY < box.top + box.height / 2) other.before(row);
      }
      if (event.clientY < 60) window.scrollBy(0, -12);
      if (event.clientY > window.innerHeight - 90) window.scrollBy(0, 12);
    });
    const drop = () => {
      if (!row) return;
      row.classList.remove("pl-is-dragged");
      moved(row, list);
      row = null;
    };
    list.addEventListener("pointerup", drop);
    list.addEventListener("pointercancel", drop);
    list.addEventListener("keydown", (event) => {
      const handle = event.target.closest("[data-handle]");
      if (!handle || !["ArrowUp", "ArrowDown"].includes(event.key)) return;
      event.preventDefault();
      const mine = handle.closest("[data-row]");
      const other = event.key === "ArrowUp" ? mine.previousElementSibling : mine.nextElementSibling;
      if (!other) return;
      if (event.key === "ArrowUp") other.before(mine);
      else other.after(mine);
      handle.focus();
      moved(mine, list);
    });
  }

  // Of a trigger only what its kind uses; numbers are those of the form's choices.
  const OF_KIND = { model: ["0", "1", "2"], event: ["3"], cron: ["4"], tz: ["4"] };
  function setUpTrigger(row) {
    row.querySelectorAll('[name$="-where"]').forEach((raw) => editor.conditionBuilder(raw));
    const kind = inRow(row, "kind");
    if (!kind) return;
    const draw = () => {
      for (const [name, kinds] of Object.entries(OF_KIND)) {
        const field = row.querySelector(`.pl-field-${name}`);
        if (field) field.hidden = !kinds.includes(kind.value) && !field.matches(".pl-has-errors");
      }
    };
    kind.addEventListener("change", draw);
    draw();
  }

  function setUpList(section) {
    const list = section.querySelector("[data-rows]");
    const isSteps = list.dataset.rows === "step";
    const setUp = (row) => {
      if (isSteps) setUpStep(row, list);
      else setUpTrigger(row);
    };
    rowsOf(list).forEach(setUp);
    list.addEventListener("click", (event) => {
      const button = event.target.closest("[data-remove]");
      if (button) remove(button.closest("[data-row]"), list);
      const copied = event.target.closest("[data-copy]");
      if (copied) copy(copied.closest("[data-row]"), list, section);
    });
    if (isSteps) {
      setUpDragging(list);
      renumber(list);
    }
    const add = section.querySelector(`[data-add="${list.dataset.rows}"]`);
    if (add) add.addEventListener("click", () => {
      const row = freshRow(section);
      list.append(row);
      if (isSteps) inRow(row, "key").value = freeKey(list);
      setUp(row);
      if (isSteps) openAlone(row, list);
      row.querySelector("select,input:not([type=hidden])").focus();
    });
  }

  // A link to a step opens it.
  function openTarget() {
    const row = location.hash.startsWith("#step-") && document.getElementById(location.hash.slice(1));
    if (row) {
      row.querySelector("details").open = true;
      row.scrollIntoView({ block: "center" });
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    const data = document.getElementById("pipeline-editor-data");
    if (!data) return;
    editor.data = JSON.parse(data.textContent);
    for (const name of ["events", "segments"]) {
      const known = editor.datalist(editor.data[name] || []);
      known.id = `pl-${name}`;
      document.body.append(known);
    }
    document.querySelectorAll("[data-prefix]").forEach((section) => {
      if (section.dataset.editable === "true") setUpList(section);
    });
    document.querySelectorAll("[data-condition]").forEach((raw) => editor.conditionBuilder(raw));
    const form = document.querySelector("form[id$=_form]");
    if (form) form.addEventListener("submit", (event) => {
      const wrong = [...form.querySelectorAll("[data-parameters] textarea, [data-inside] textarea")].find((node) => !node.checkValidity());
      if (!wrong) return;
      event.preventDefault();
      for (let node = wrong.parentElement; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
      wrong.reportValidity();
    }, true);
    window.addEventListener("hashchange", openTarget);
    openTarget();
  });
})();
