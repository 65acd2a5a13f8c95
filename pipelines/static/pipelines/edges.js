// The edges of a graph: rows of from, outcome and to. The form's own field stays the truth.
(function () {
  "use strict";
  const editor = window.pipelineEditor;
  const { el, select } = editor;
  const ORDER = "None: the steps run from top to bottom.";
  const GRAPH = "They say the order of the steps, and where several follow one they run side by side.";
  const inRow = (row, name) => row.querySelector(`[name$="-${name}"]`);

  function setUp(section, group) {
    const field = section.querySelector("textarea");
    const box = section.querySelector("[data-edges-rows]");
    const list = group.querySelector("[data-rows]");
    const live = el("p", { class: "pl-live", "aria-live": "polite" });
    let edges = editor.readJson(field, []);
    let before = null;
    const notes = new WeakMap();

    const rows = () => [...list.children].filter((row) => row.matches("[data-row]") && !inRow(row, "DELETE")?.checked);
    const steps = () => rows().map((row) => ({
      key: inRow(row, "key").value, code: inRow(row, "action_type").value, data: editor.readJson(inRow(row, "data"), {}) || {},
      hasTimeout: Boolean(inRow(row, "timeout").value.trim()), usual: inRow(row, "next_key").value.trim(), ways: editor.readJson(inRow(row, "edges"), {}) || {},
      label: `${row.querySelector("[data-position]").textContent}. ${row.querySelector("[data-title]").textContent}`,
    })).filter((step) => step.key);

    // What the server said of an edge stands beside it for as long as it is there.
    function takeNotes() {
      for (const node of section.querySelectorAll("[data-edges-problems] > [data-path]")) {
        const match = /^edges\[(\d+)\]/.exec(node.dataset.path);
        const edge = match && Array.isArray(edges) ? edges[Number(match[1])] : null;
        if (edge && typeof edge === "object") notes.set(edge, [...(notes.get(edge) || []), node]);
      }
    }

    function store() {
      field.value = edges.length ? JSON.stringify(edges, null, 2) : "";
      group.classList.toggle("pl-is-graph", edges.length > 0);
      section.querySelector("[data-edges-help]").textContent = edges.length ? GRAPH : ORDER;
    }

    function rowOf(edge, index, known) {
      const options = known.map((step) => [step.key, step.label]);
      const source = known.find((step) => step.key === edge.from);
      const gone = (key) => key && !["end", "fail"].includes(key) && !known.some((step) => step.key === key);
      const outcomes = source ? editor.outcomesOf(source) : [["next", "then"]];
      const control = (name, choices, title) => {
        const node = select(choices, edge[name] || (name === "on" ? "next" : ""), { "aria-label": `${title} of edge ${index + 1}`, "data-edge": name });
        node.addEventListener("change", () => {
          if (name === "on" && node.value === "next") delete edge.on;
          else edge[name] = node.value;
          if (name === "from" && edge.on && !editor.outcomesOf(known.find((step) => step.key === edge.from) || {}).some(([code]) => code === edge.on)) delete edge.on;
          store();
          if (name === "from") draw(index, "on");
        });
        return node;
      };
      const remove = el("button", { type: "button", class: "pl-remove", "aria-label": `Remove edge ${index + 1}`, title: "Remove" }, editor.icon("delete"));
      remove.addEventListener("click", () => { edges.splice(index, 1); store(); draw(Math.min(index, edges.length - 1), "from"); live.textContent = "Edge removed."; });
      const lost = [edge.from, edge.to].filter(gone);
      const told = lost.length ? [el("p", { class: "pl-warning", text: `There is no step “${lost[0]}” above.` })] : [];
      return el("li", { class: "pl-edge" },
        control("from", [["", "From…"], ...options], "Start"), control("on", outcomes, "Outcome"),
        control("to", [["", "To…"], ...options, ["end", "The end of the run"], ["fail", "Failure"]], "Target"), remove,
        el("div", { class: "pl-edge-notes" }, ...(notes.get(edge) || []), ...told));
    }

    const button = (text, run) => el("button", { type: "button", class: "pl-small", text, on: { click: run } });

    function draw(focus, name) {
      const readable = Array.isArray(edges) && edges.every((edge) => edge && typeof edge === "object" && !Array.isArray(edge));
      box.hidden = !readable;
      if (!readable) { section.querySelector("[data-edges-json]").open = true; return; }
      const known = steps();
      const line = el("ol", { class: "pl-edge-rows" }, ...edges.map((edge, index) => rowOf(edge, index, known)));
      const tools = el("div", { class: "pl-buttons" });
      if (edges.length) tools.append(button("Add an edge", add), button("Back to an order", back));
      else tools.append(button("Draw edges instead of an order", fromOrder));
      if (!edges.length && before) tools.append(button("Keep the edges after all", () => { edges = before; before = null; store(); draw(0, "from"); }));
      box.replaceChildren(line, tools, live);
      if (focus >= 0) line.children[focus]?.querySelector(`[data-edge="${name}"]`)?.focus();
    }

    function add() {
      const last = edges[edges.length - 1];
      edges.push({ from: last && last.to !== "end" && last.to !== "fail" ? last.to : "", to: "" });
      store();
      draw(edges.length - 1, edges[edges.length - 1].from ? "to" : "from");
    }

    function back() {
      before = edges;
      edges = [];
      store();
      draw();
      live.textContent = "The edges go when you save; the steps then run from top to bottom.";
    }

    // The same way on, said by edges: each step leads where it leads now.
    function fromOrder() {
      const known = steps();
      const all = rows();
      known.forEach((step, index) => {
        const after = known[index + 1] ? known[index + 1].key : "";
        const target = (key) => (!key || key === "next" ? after || "end" : key);
        const named = Object.entries(step.ways).filter(([outcome]) => outcome !== "next");
        for (const [outcome, key] of named) edges.push({ from: step.key, on: outcome, to: target(key) });
        const main = editor.mainOutcomes(step);
        const complete = main.length > 0 && main.every((outcome) => outcome in step.ways);
        const usual = step.usual || step.ways.next || "";
        if (step.code !== "end" && !complete && (usual || after)) edges.push({ from: step.key, to: target(usual) });
      });
      for (const row of all) {
        for (const name of ["next_key", "edges"]) if (inRow(row, name).value.trim()) editor.write(inRow(row, name), undefined);
      }
      store();
      draw(0, "from");
      live.textContent = `${edges.length} edges.`;
    }

    field.addEventListener("change", () => { edges = editor.readJson(field, []); if (Array.isArray(edges)) { before = null; draw(); } });
    // Names, keys, outcomes and removals of steps show here at once.
    let waiting = 0;
    const later = () => { clearTimeout(waiting); waiting = setTimeout(() => { if (!section.contains(document.activeElement)) draw(); }, 150); };
    list.addEventListener("input", later);
    list.addEventListener("change", later);
    list.addEventListener("click", later);
    new MutationObserver(later).observe(list, { childList: true });
    takeNotes();
    group.classList.toggle("pl-is-graph", Array.isArray(edges) && edges.length > 0);
    draw();
  }

  document.addEventListener("DOMContentLoaded", () => {
    const section = document.getElementById("edges-group");
    const group = document.getElementById("steps-group");
    if (editor.data && section && group && section.querySelector("textarea")) setUp(section, group);
  });
})();
