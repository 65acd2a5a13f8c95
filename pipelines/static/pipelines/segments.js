// The page of a segment: a rule as rows, and who meets it while it is written.
(function () {
  "use strict";
  const editor = window.pipelineEditor;
  const { el } = editor;
  const PAUSE = 400;

  editor.subjectFields = () => editor.data.subjects[editor.data.subject];

  function fieldOf(node) {
    return node.closest(".field-where, .form-row") || node.parentElement;
  }

  function showWho(box, told) {
    const [heading, note, list, warnings] = ["count", "note", "people", "warnings"].map((name) => box.querySelector(`[data-rule-${name}]`));
    list.replaceChildren();
    warnings.replaceChildren(...(told.warnings || []).map((text) => el("li", { text })));
    warnings.hidden = !(told.warnings || []).length;
    if (told.problem) {
      heading.textContent = "";
      note.textContent = told.problem;
      return;
    }
    const number = told.count.toLocaleString("en");
    heading.textContent = `${told.atLeast ? "At least " : ""}${number} ${told.count === 1 ? "contact meets" : "contacts meet"} this now`;
    note.textContent = told.count === 0 ? "Nobody yet. Who meets it later enters by itself." : told.count > told.people.length ? "The newest of them:" : "";
    for (const person of told.people) {
      list.append(el("li", {}, el("a", { href: person.url, text: person.name }), el("span", { text: person.email }), el("span", { text: person.stage })));
    }
  }

  function watch(raw, box) {
    let timer = 0;
    let asked = 0;
    async function ask() {
      const mine = (asked += 1);
      const body = new FormData();
      body.append("where", raw.value);
      body.append("csrfmiddlewaretoken", document.querySelector("[name=csrfmiddlewaretoken]").value);
      try {
        const answer = await fetch(editor.data.preview, { method: "POST", body });
        const told = answer.ok ? await answer.json() : { problem: "Who meets it could not be counted just now." };
        if (mine === asked) showWho(box, told);
      } catch {
        if (mine === asked) showWho(box, { problem: "Who meets it could not be counted just now." });
      }
    }
    const later = () => { clearTimeout(timer); timer = setTimeout(ask, PAUSE); };
    raw.addEventListener("change", later);
    raw.addEventListener("input", later);
    ask();
  }

  document.addEventListener("DOMContentLoaded", () => {
    const data = document.getElementById("segment-editor-data");
    const raw = document.querySelector("[data-condition]");
    if (!data || !raw) return;
    editor.data = JSON.parse(data.textContent);
    editor.conditionBuilder(raw);
    const box = document.querySelector("[data-rule-preview]");
    const kinds = [...document.querySelectorAll('input[name="kept_by"]')];
    const show = () => {
      const ruled = kinds.length === 0 || kinds.some((kind) => kind.checked && kind.value === "dynamic");
      fieldOf(raw).hidden = !ruled;
      box.hidden = !ruled;
    };
    kinds.forEach((kind) => kind.addEventListener("change", show));
    show();
    watch(raw, box);
  });
})();
