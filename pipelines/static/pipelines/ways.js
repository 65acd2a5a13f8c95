// Where each outcome of a step leads: the same fields for steps of the page and for those inside blocks.
(function () {
  "use strict";
  const editor = window.pipelineEditor;
  const { select } = editor;
  const WORDS = { default: "When no case fits, go to", timeout: "When the time is over, go to", completed: "When it is answered, go to", holdout: "Those held out go to", true: "When it is met, go to", false: "When it is not met, go to", next: "Then go to", error: "When it fails, go to", skipped: "When it is skipped, go to", uncertain: "When nobody knows whether it was sent, go to" };

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
  editor.drawWays = function (box, { code, data, ways, hasTimeout, targets, ending, changed }) {
    const kind = editor.data.kinds[code];
    box.replaceChildren();
    if (!kind) return;
    const main = code === "condition" ? ["true", "false"] : declared(data || {});
    const shown = [...new Set([...main, ...Object.keys(ways)])];
    const field = (outcome) => {
      const usual = outcome === "error" ? "Failure (default)" : "The next step";
      const target = select([["", usual], ...targets(), ["end", ending], ["fail", "Failure"]], ways[outcome] || "");
      target.dataset.outcome = outcome;
      target.addEventListener("change", () => changed(outcome, target.value));
      return editor.labelled(WORDS[outcome] || `On “${outcome}”, go to`, target);
    };
    for (const outcome of shown) box.append(field(outcome));
    const others = [...new Set([...kind.outcomes, ...(hasTimeout ? ["timeout"] : [])])].filter((outcome) => !shown.includes(outcome));
    if (others.length === 0) return;
    const more = select([["", "Another way out…"], ...others.map((outcome) => [outcome, WORDS[outcome] || outcome])], "", { "aria-label": "Another way out" });
    more.addEventListener("change", () => { if (more.value) more.replaceWith(field(more.value)); });
    box.append(more);
  };
})();
