// Where each outcome of a step leads: the same fields for steps of the page and for those inside blocks.
(function () {
  "use strict";
  const editor = window.pipelineEditor;
  const { select } = editor;
  const WORDS = { default: "When no case fits, go to", timeout: "When the time is over, go to", completed: "When it is answered, go to", holdout: "Those held out go to", true: "When it is met, go to", false: "When it is not met, go to", next: "Then go to", error: "When it fails, go to", skipped: "When it is skipped, go to", uncertain: "When nobody knows whether it was sent, go to" };

  // Steps that wait: where they lead when nothing came must be said.
  const ASKS = new Set(["human_task", "wait_for"]);
  // How long these wait is the half of what they say, so it is no fold of what goes wrong.
  editor.sayLongest = function (fold, code) {
    fold.querySelector("summary").textContent = ASKS.has(code) ? "How long it waits, and when it fails" : "When it fails or takes long";
    if (ASKS.has(code)) fold.open = true;
  };

  // What the parameters declare: cases, variants, answers, events.
  function declared(data) {
    const names = [];
    const list = (value) => (Array.isArray(value) ? value : []);
    for (const part of ["cases", "variants", "events"]) names.push(...list(data[part]).map((each) => each && (each.name || each.event)));
    names.push(...list(data.outcomes));
    if (data.holdout !== undefined) names.push("holdout");
    if (list(data.cases).length) names.push("default");
    return names.filter((name) => typeof name === "string" && name);
  }

  // The outcomes that decide where a step leads; and all it may end with, as choices of an edge.
  editor.mainOutcomes = ({ code, data }) => (code === "condition" ? ["true", "false"] : declared(data || {}));
  editor.outcomesOf = function ({ code, data, hasTimeout }) {
    const kind = editor.data.kinds[code];
    const main = editor.mainOutcomes({ code, data });
    const all = new Set(["next", ...main, ...(kind ? kind.outcomes : []), "skipped", "error", ...(hasTimeout ? ["timeout"] : [])]);
    const words = { next: main.length ? "otherwise" : "then", true: "when it is met", false: "when it is not met", error: "when it fails", skipped: "when it is skipped", timeout: "when the time is over", completed: "when it is answered", uncertain: "when nobody knows whether it was sent", default: "when no case fits", holdout: "those held out" };
    return [...all].map((outcome) => [outcome, words[outcome] || `on “${outcome}”`]);
  };

  // `ways` is {outcome: target}, with "next" for where the step usually leads; tells `changed(outcome, target)`.
  // Where it leads when something goes wrong stands in a box of its own, beside how often it is tried.
  editor.drawWays = function (box, { code, data, ways, hasTimeout, targets, ending, changed, trouble }) {
    const kind = editor.data.kinds[code];
    box.replaceChildren();
    trouble.replaceChildren();
    if (!kind) return;
    const main = code === "condition" ? ["true", "false"] : declared(data || {});
    const wrong = ["error", ...(hasTimeout || ways.timeout ? ["timeout"] : [])].filter((outcome) => kind.outcomes.includes(outcome) || outcome in ways || outcome === "timeout");
    const shown = [...new Set([...main, ...Object.keys(ways)])].filter((outcome) => !wrong.includes(outcome));
    const field = (outcome) => {
      const next = ["next", "The next step"];
      const usual = {
        error: [["", "Failure (default)"], next], holdout: [["", "Choose…"], next],
        timeout: [["", ASKS.has(code) ? "Choose…" : "As when it fails (default)"], next],
      }[outcome] || [["", next[1]]];
      const target = select([...usual, ...targets(), ["end", ending], ["fail", "Failure"]], ways[outcome] || "");
      target.dataset.outcome = outcome;
      target.addEventListener("change", () => changed(outcome, target.value));
      return editor.labelled(WORDS[outcome] || `On “${outcome}”, go to`, target);
    };
    for (const outcome of shown) box.append(field(outcome));
    for (const outcome of wrong) trouble.append(field(outcome));
    const others = kind.outcomes.filter((outcome) => !shown.includes(outcome) && !wrong.includes(outcome) && outcome !== "timeout");
    if (others.length === 0) return;
    const more = select([["", "Another way out…"], ...others.map((outcome) => [outcome, WORDS[outcome] || outcome])], "", { "aria-label": "Another way out" });
    more.addEventListener("change", () => { if (more.value) more.replaceWith(field(more.value)); });
    box.append(more);
  };
})();
