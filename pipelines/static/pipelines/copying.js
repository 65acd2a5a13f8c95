// Copies of steps: each gets a key of its own, and so does every step inside it; what they say of each other goes along.
(function () {
  "use strict";
  const editor = window.pipelineEditor;

  // Lists of steps that stand in the parameters of a block.
  const listsIn = (own) => [...(Array.isArray(own.branches) ? own.branches.map((branch) => (branch || {}).steps) : []), own.steps].filter(Array.isArray);
  const keysIn = (steps) => steps.flatMap((step) => (step && typeof step === "object"
    ? [step.key, ...listsIn(step.with || {}).flatMap(keysIn)] : [])).filter(Boolean);

  // Every key of the page, with those of steps inside blocks and of steps that were taken out once.
  function taken() {
    const keys = [...document.querySelectorAll('[data-row="step"] [name$="-key"]')].map((node) => node.value);
    for (const node of document.querySelectorAll('[data-row="step"] [name$="-inside"]'))
      for (const steps of Object.values(editor.readJson(node, {}) || {})) if (Array.isArray(steps)) keys.push(...keysIn(steps));
    return new Set([...editor.data.takenKeys, ...keys]);
  }

  // A copy is named after its step: call, call_2, call_3.
  function keyAfter(key, known) {
    const base = (key || "step").replace(/_\d+$/, "").slice(0, 36);
    let number = 2;
    while (known.has(`${base}_${number}`)) number += 1;
    known.add(`${base}_${number}`);
    return `${base}_${number}`;
  }
  function newNames(keys) {
    const known = taken();
    return Object.fromEntries(keys.map((key) => [key, keyAfter(key, known)]));
  }

  const renamed = (key, names) => (typeof key === "string" && Object.hasOwn(names, key) ? names[key] : key);
  // Texts name what a step answered as steps.<key>, code as steps['<key>'].
  const retold = (text, names) => text
    .replace(/\bsteps\.([a-z][a-z0-9_]*)/g, (_, key) => `steps.${renamed(key, names)}`)
    .replace(/\bsteps(\\?['"]\])?\[(\\?['"])([a-z][a-z0-9_]*)\2\]/g, (_, closing, quote, key) => `steps${closing || ""}[${quote}${renamed(key, names)}${quote}]`);
  function deep(value, names) {
    if (typeof value === "string") return retold(value, names);
    if (Array.isArray(value)) return value.map((each) => deep(each, names));
    if (!value || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, deep(each, names)]));
  }
  function stepCopy(step, names) {
    if (!step || typeof step !== "object") return step;
    const made = deep(step, names);
    if (step.key) made.key = renamed(step.key, names);
    if (step.next) made.next = renamed(step.next, names);
    if (step.on) made.on = ways(step.on, names);
    const own = step.with || {};
    if (Array.isArray(own.steps)) made.with.steps = listCopy(own.steps, names);
    if (Array.isArray(own.branches)) made.with.branches.forEach((branch, index) => {
      if (Array.isArray(own.branches[index].steps)) branch.steps = listCopy(own.branches[index].steps, names);
    });
    return made;
  }
  const listCopy = (steps, names) => steps.map((step) => stepCopy(step, names));
  const ways = (on, names) => Object.fromEntries(Object.entries(on).map(([outcome, to]) => [outcome, renamed(to, names)]));

  // A step inside a block, with whatever is inside it.
  editor.copyOfStep = (step) => stepCopy(step, newNames(keysIn([step])));

  // What a copy of a row has of its own: its identity, its place, and that nobody removed it.
  const OWN = new Set(["id", "pipeline", "number", "DELETE"]);
  editor.copyRow = function (from, to, inRow) {
    const inside = editor.readJson(inRow(from, "inside"), {});
    const lists = Object.values(inside && typeof inside === "object" ? inside : {}).filter(Array.isArray);
    const names = newNames([inRow(from, "key").value, ...lists.flatMap(keysIn)]);
    for (const field of from.querySelectorAll("[name]")) {
      const name = (/-\d+-(\w+)$/.exec(field.name) || [])[1];
      if (name && !OWN.has(name) && inRow(to, name)) inRow(to, name).value = retold(field.value, names);
    }
    for (const name of ["key", "next_key"]) inRow(to, name).value = renamed(inRow(from, name).value, names);
    const on = editor.readJson(inRow(from, "edges"), {});
    if (on && Object.keys(on).length) inRow(to, "edges").value = JSON.stringify(ways(on, names), null, 2);
    if (lists.length) inRow(to, "inside").value = JSON.stringify(Object.fromEntries(
      Object.entries(inside).map(([branch, steps]) => [branch, listCopy(steps, names)])));
  };
})();
