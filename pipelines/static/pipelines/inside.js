// Steps inside a block, edited where they stand: the branches of a parallel, the body of a loop, and blocks in them.
(function () {
  "use strict";
  const editor = window.pipelineEditor;
  const { el, select } = editor;
  const BLOCKS = new Set(["parallel", "loop"]);
  editor.isBlock = (kind) => BLOCKS.has(kind);

  // `inside` is {branch: [steps]}, with "" for the body of a loop. Tells `changed(inside)` after every edit.
  editor.drawInside = function (box, kind, branches, inside, changed, ownKey) {
    const lists = { ...inside };
    const names = kind === "loop" ? [""] : branches.map((branch) => branch && branch.name).filter(Boolean);
    const tell = () => changed(Object.fromEntries(names.filter((name) => (lists[name] || []).length).map((name) => [name, lists[name]])));
    box.replaceChildren(...names.map((name) => el("section", { class: "pl-branch", "data-branch": name },
      el("h4", { class: "pl-branch-title", text: name === "" ? "Steps of each round" : `Steps of “${name}”` }),
      stepList(lists[name] || [], (next) => { lists[name] = next; tell(); }, ownKey, name || "round"))));
    if (names.length === 0) box.append(el("p", { class: "pl-muted", text: "Add a branch, then put steps into it." }));
  };

  function stepList(steps, changed, ownKey, branch) {
    let present = steps;
    return editor.cards(steps, (next) => { present = next || []; changed(present); }, {
      addLabel: "Add a step here",
      titleOf,
      fresh: () => ({ key: freeKey(ownKey, branch), type: "wait" }),
      copyOf: editor.copyOfStep,
      draw: (step, tell) => stepFields(step, tell, () => present),
    });
  }

  function titleOf(step, index) {
    const kind = editor.data.kinds[step.type];
    return `${index + 1}. ${step.name || (kind ? kind.label : step.type || "New step")}`;
  }

  function freeKey(ownKey, branch) {
    const stem = `${ownKey}_${branch}`.toLowerCase().replace(/[^a-z0-9]+/g, "_").replace(/^[^a-z]+/, "").slice(0, 30) || "step";
    const text = [...document.querySelectorAll('[name$="-inside"],[name$="-key"]')].map((node) => node.value).join(" ");
    let number = 1;
    while (new RegExp(`\\b${stem}_${number}\\b`).test(text) || editor.data.takenKeys.includes(`${stem}_${number}`)) number += 1;
    return `${stem}_${number}`;
  }

  // A time span has two fields; a date, weekdays or hours are a rule, written as it stands in the document.
  function delayField(delay, changed) {
    const text = delay === undefined ? "" : typeof delay === "number" ? `${delay}s` : typeof delay === "string" ? delay : JSON.stringify(delay);
    const box = el("div", { class: "pl-field" });
    const asRule = () => {
      if (delay === undefined || typeof delay === "object" || /^(\d+(\.\d+)?[smhdw])?$/.test(text)) {
        box.classList.add("pl-wide");
        const fields = editor.delayRule(delay === undefined ? undefined : typeof delay === "number" ? text : delay, changed);
        box.replaceChildren(el("span", { class: "pl-label", text: "Wait before" }), fields);
        return fields.querySelector("input");
      }
      const rule = el("input", { class: "pl-input", value: text, "aria-label": "Rule of the wait" });
      rule.addEventListener("input", () => {
        const value = rule.value.trim();
        if (!value.startsWith("{")) { rule.setCustomValidity(""); return changed(value || undefined); }
        try {
          changed(JSON.parse(value));
          rule.setCustomValidity("");
        } catch (error) {
          rule.setCustomValidity(`Not valid JSON: ${error.message}`);
        }
      });
      box.replaceChildren(editor.labelled("Wait before", rule, "A span such as 2d, or a rule as JSON: until a date, at an hour, on weekdays."));
      return rule;
    };
    if (!/^(\d+(\.\d+)?[smhdw])?$/.test(text)) { asRule(); return box; }
    const control = editor.durationControl(text, (value) => changed(value || undefined));
    const more = el("button", { type: "button", class: "pl-small", text: "More…", title: "A date, weekdays, hours" });
    more.addEventListener("click", () => asRule().focus());
    control.append(more);
    box.append(editor.labelled("Wait before", control));
    return box;
  }

  function stepFields(given, tell, siblings) {
    let step = given;
    const box = el("div", { class: "pl-inner" });
    const set = (name, value) => {
      const next = { ...step };
      if (value === undefined || value === "" || (typeof value === "object" && value !== null && !Array.isArray(value) && Object.keys(value).length === 0)) delete next[name];
      else next[name] = value;
      delete next.number;
      step = next;
      tell(step);
      if (document.activeElement !== json) json.value = JSON.stringify(step, null, 2);
    };
    const json = el("textarea", { class: "pl-input pl-code", rows: 8, spellcheck: "false", "aria-label": "This step as JSON" });
    json.value = JSON.stringify(step, null, 2);
    json.addEventListener("input", () => {
      try {
        const next = JSON.parse(json.value);
        if (!next || typeof next !== "object" || Array.isArray(next) || typeof next.type !== "string") throw new Error("a step is an object with a type");
        json.setCustomValidity("");
        step = next;
        tell(step);
      } catch (error) {
        json.setCustomValidity(`Not valid JSON: ${error.message}`);
      }
    });
    json.addEventListener("change", () => { if (json.checkValidity()) draw(); });

    function draw() {
      const kind = editor.data.kinds[step.type];
      const type = select(Object.entries(editor.data.kinds).map(([code, each]) => [code, each.off ? `${each.label} (off: ${each.off})` : each.label, each.off]), step.type);
      type.addEventListener("change", () => { set("with", undefined); set("type", type.value); draw(); });
      const name = el("input", { class: "pl-input", value: step.name || "", placeholder: "Name (optional)" });
      name.addEventListener("input", () => set("name", name.value));
      const delay = delayField(step.delay, (value) => set("delay", value));
      const parameters = el("div", { class: "pl-grid pl-parameters" });
      const parts = [
        el("div", { class: "pl-grid" }, editor.labelled("Action", type), editor.labelled("Name", name),
          delay),
        parameters,
      ];
      if (kind) editor.drawParameters(parameters, kind.schema, withoutSteps(step), (next) => { set("with", withSteps(step, next)); drawWays(); if (editor.isBlock(step.type)) drawNested(); });
      else parts.push(el("p", { class: "pl-error", text: `The action ${step.type} is not available here.` }));
      if (kind && (kind.speaks || step.message)) {
        const message = el("textarea", { class: "pl-input", rows: 3 });
        message.value = step.message || "";
        message.addEventListener("input", () => set("message", message.value));
        parts.push(editor.labelled("Message", message), editor.variableMenu(message));
      }
      const guard = editor.conditionValue(step.if, (value) => set("if", value));
      parts.push(el("div", { class: "pl-field" }, el("span", { class: "pl-label", text: step.type === "condition" ? "Condition" : "Only if" }), guard));
      const ways = el("div", { class: "pl-grid pl-ways" });
      const trouble = el("div", { class: "pl-grid pl-ways" });
      const longest = editor.widgets.duration(step.timeout, (value) => { set("timeout", value); drawWays(); });
      const fold = el("details", { class: "pl-more pl-when-wrong" }, el("summary", {}), trouble,
        el("div", { class: "pl-field" }, el("span", { class: "pl-label", text: "Try again" }), editor.retryRules(step.retry, (value) => set("retry", value), step.type)),
        editor.labelled("It may take at most", longest));
      editor.sayLongest(fold, step.type);
      parts.push(ways, fold);
      const nested = el("div", { class: "pl-nested" });
      if (editor.isBlock(step.type)) parts.push(nested);
      parts.push(el("details", { class: "pl-more" }, el("summary", { text: "All of it as JSON" }), json));
      box.replaceChildren(...parts);
      function drawWays() {
        editor.drawWays(ways, {
          code: step.type, data: step.with || {}, ways: { ...(step.next ? { next: step.next } : {}), ...(step.on || {}) },
          hasTimeout: step.timeout !== undefined, ending: "The end of this branch", trouble,
          targets: () => siblings().map((each, index) => [each.key, titleOf(each, index)]).filter(([key]) => key && key !== step.key),
          changed: (outcome, target) => {
            if (outcome === "next") return set("next", target);
            const next = { ...(step.on || {}) };
            if (target) next[outcome] = target;
            else delete next[outcome];
            set("on", next);
          },
        });
      }
      drawWays();
      function drawNested() {
        const branches = step.with && Array.isArray(step.with.branches) ? step.with.branches : [];
        const inside = step.type === "loop" ? { "": (step.with || {}).steps || [] } : Object.fromEntries(branches.map((branch) => [branch.name, branch.steps || []]));
        editor.drawInside(nested, step.type, branches, inside, (lists) => {
          const own = step.with || {};
          set("with", step.type === "loop" ? { ...own, steps: lists[""] || [] } : { ...own, branches: (own.branches || []).map((branch) => ({ ...branch, steps: lists[branch.name] || [] })) });
        }, step.key || "step");
      }
      if (editor.isBlock(step.type)) drawNested();
    }
    draw();
    return el("details", {}, el("summary", { class: "pl-small", text: "Edit" }), box);
  }

  function withoutSteps(step) {
    const own = { ...(step.with || {}) };
    if (step.type === "loop") delete own.steps;
    if (step.type === "parallel" && Array.isArray(own.branches)) own.branches = own.branches.map(({ steps, ...branch }) => branch);
    return own;
  }
  function withSteps(step, next) {
    if (step.type === "loop") return { ...next, steps: (step.with || {}).steps || [] };
    if (step.type !== "parallel") return next;
    const before = (step.with || {}).branches || [];
    return { ...next, branches: (next.branches || []).map((branch, index) => ({ ...branch, steps: (before.find((each) => each.name === branch.name) || before[index] || {}).steps || [] })) };
  }
})();
