// Rules that many steps share, drawn over the JSON they are kept as: trying again, hours for sending, waits.
(function () {
  "use strict";
  const editor = window.pipelineEditor;
  const { el, select } = editor;
  const DAYS = [["mon", "Mon"], ["tue", "Tue"], ["wed", "Wed"], ["thu", "Thu"], ["fri", "Fri"], ["sat", "Sat"], ["sun", "Sun"]];
  const ERRORS = [["timeout", "No answer in time"], ["connection", "No connection"], ["http_5xx", "Server error (5xx)"], ["http_429", "Too many calls (429)"], ["http_4xx", "Call refused (4xx)"], ["smtp_4xx", "Mail put off (4xx)"], ["smtp_5xx", "Mail refused (5xx)"]];
  const INSIDE = [["branch", "A branch or round failed"], ["timeout", "It took too long"], ["too_many", "Too many rounds"], ["called", "The called pipeline failed"]];
  const FITTING = { parallel: ["branch", "timeout"], loop: ["branch", "timeout", "too_many"], call: ["called", "timeout"] };
  const isObject = (value) => Boolean(value) && typeof value === "object" && !Array.isArray(value);

  // Boxes to tick over a list of words; words that are none of them are typed beside.
  function ticks(options, value, changed, strangers) {
    const given = Array.isArray(value) ? value : [];
    const chosen = new Set(given.filter((each) => options.some(([code]) => code === each)));
    let others = given.filter((each) => !chosen.has(each));
    const tell = () => {
      const all = [...options.map(([code]) => code).filter((code) => chosen.has(code)), ...others];
      changed(all.length ? all : undefined);
    };
    const box = el("div", { class: "pl-ticks" }, ...options.map(([code, label]) => {
      const node = el("input", { type: "checkbox", class: "pl-check", value: code });
      node.checked = chosen.has(code);
      node.addEventListener("change", () => { if (node.checked) chosen.add(code); else chosen.delete(code); tell(); });
      return el("label", { class: "pl-tick" }, node, ` ${label}`);
    }));
    if (strangers) {
      const words = editor.words(others, (next) => { others = next || []; tell(); });
      words.placeholder = strangers;
      words.setAttribute("aria-label", strangers);
      box.append(words);
    }
    return box;
  }

  // A setter that keeps what the fields do not show.
  function fieldsOver(given, changed) {
    let now = { ...given };
    return (name) => (value) => {
      now = { ...now };
      if (value === undefined || value === "") delete now[name];
      else now[name] = value;
      changed(Object.keys(now).length ? now : undefined);
    };
  }
  const input = (value, tell, attributes) => {
    const node = el("input", { class: "pl-input", value: value === undefined ? "" : editor.shown(value), ...attributes });
    node.addEventListener("input", () => tell(node.value.trim() === "" ? undefined : node.value.trim()));
    return node;
  };
  const number = (value, tell, attributes) => input(value, (text) => tell(text === undefined ? undefined : editor.parsed(text)), { inputmode: "decimal", ...attributes });
  const choice = (options, value, tell) => {
    const node = select(options, value === undefined ? "" : String(value));
    node.addEventListener("change", () => tell(node.value || undefined));
    return node;
  };
  const group = (title, control, help) => {
    const field = el("div", { class: "pl-field pl-wide", role: "group", "aria-label": title }, el("span", { class: "pl-label", text: title }), control, help ? el("p", { class: "pl-help", text: help }) : null);
    return field;
  };

  // One rule of trying again, or several of which the first that fits counts; blocks fail by what is inside them.
  editor.retryRules = function (value, changed, type) {
    const fitting = FITTING[type];
    const errors = fitting ? INSIDE.filter(([code]) => fitting.includes(code)) : ERRORS;
    if (value !== undefined && !isObject(value) && !Array.isArray(value)) return editor.jsonArea(value, changed);
    const rules = value === undefined ? [] : Array.isArray(value) ? value : [value];
    return editor.cards(rules, (next) => changed(!next ? undefined : next.length === 1 ? next[0] : next), {
      addLabel: "Add a rule of trying again",
      titleOf: (rule) => {
        const names = (rule && rule.on) || [];
        return names.length && !names.includes("*") ? `After ${names.map((name) => (errors.find(([code]) => code === name) || [name, name])[1]).join(", ").toLowerCase()}` : "After any error";
      },
      fresh: () => ({ max: 3, delay: "5m", backoff: 2 }),
      draw: (rule, tell) => {
        const set = fieldsOver(rule || {}, (next) => tell(next || {}));
        const own = rule || {};
        const on = Array.isArray(own.on) && own.on.join() === "*" ? undefined : own.on;
        return el("div", { class: "pl-grid" },
          group("After these errors", ticks(errors, on, set("on"), "Other codes, such as not_found"), fitting ? "None ticked means any error. Only what failed inside is repeated." : "None ticked means any error."),
          editor.labelled("Tries after the first", number(own.max, set("max"), { placeholder: "3" })),
          editor.labelled("First wait", editor.widgets.duration(own.delay, set("delay")), "1 minute when empty."),
          editor.labelled("Each wait is longer by the factor", number(own.backoff, set("backoff"), { placeholder: "1" }), "2 doubles it every time."),
          editor.labelled("Longest wait", editor.widgets.duration(own.max_delay, set("max_delay"))),
          editor.labelled("Left to chance", number(own.jitter, set("jitter"), { placeholder: "0" }), "0 to 1: which share of the wait may fall away, so that not all come back at once."),
        );
      },
    });
  };

  const hourLines = (hours) => {
    const each = (value) => (Array.isArray(value) ? value : [value]);
    if (isObject(hours)) return DAYS.flatMap(([day]) => (day in hours ? each(hours[day]).map((range) => `${day} ${range}`) : [])).join("\n");
    return hours === undefined ? "" : each(hours).join("\n");
  };
  function readHours(text) {
    const lines = text.split("\n").map((line) => line.trim()).filter(Boolean);
    const one = (list) => (list.length === 1 ? list[0] : list);
    if (!lines.length) return undefined;
    const named = lines.map((line) => /^(mon|tue|wed|thu|fri|sat|sun)\w*\s+(.+)$/i.exec(line));
    if (!named.some(Boolean)) return one(lines);
    const found = {};
    named.forEach((match, index) => { const day = match ? match[1].toLowerCase() : ""; (found[day] = found[day] || []).push(match ? match[2] : lines[index]); });
    return Object.fromEntries(Object.entries(found).map(([day, ranges]) => [day, one(ranges)]));
  }

  function zoneFields(value, set, nobody) {
    const fixed = value !== undefined && !["team", "subject"].includes(value);
    const zone = input(fixed ? value : undefined, (text) => set(text), { placeholder: "Europe/Berlin", "aria-label": "Time zone" });
    zone.hidden = !fixed;
    const whose = choice([["", nobody], ["subject", "the contact"], ["team", "the team"], ["fixed", "this zone"]], fixed ? "fixed" : value, (code) => {
      zone.hidden = code !== "fixed";
      set(code === "fixed" ? zone.value.trim() || undefined : code);
    });
    return editor.labelled("By the clock of", el("span", { class: "pl-zone" }, whose, zone));
  }

  // When messages may leave; empty fields leave it to whoever says it next: the pipeline, then the team.
  editor.windowFields = function (value, changed) {
    if (value !== undefined && !isObject(value)) return editor.jsonArea(value, changed);
    const given = value || {};
    const set = fieldsOver(given, changed);
    const hours = el("textarea", { class: "pl-input", rows: 2, placeholder: "09:00-17:00" });
    hours.value = hourLines(given.hours);
    const days = group("Days", ticks(DAYS, given.days, set("days")), "None ticked means every day.");
    hours.addEventListener("input", () => {
      const read = readHours(hours.value);
      // Hours of each day say the days themselves.
      days.hidden = isObject(read);
      if (days.hidden) { days.querySelectorAll("input").forEach((node) => { node.checked = false; }); set("days")(undefined); }
      set("hours")(read);
    });
    days.hidden = isObject(given.hours);
    return el("div", { class: "pl-grid pl-window" },
      days,
      editor.labelled("Hours", hours, "One line each; for hours of one day put it in front: mon 09:00-17:00."),
      editor.labelled("Quiet hours", input(given.quiet, set("quiet"), { placeholder: "21:00-08:00" }), "No message leaves in these, on no day."),
      zoneFields(given.tz, set("tz"), "the team (default)"),
      editor.labelled("On holidays", choice([["", "nothing leaves (default)"], ["send", "messages leave"]], given.holidays === "skip" ? "" : given.holidays, set("holidays"))),
      editor.labelled("Spread over", editor.widgets.duration(given.spread, set("spread")), "What waited does not leave all at the first second."),
      editor.labelled("Beyond what one person gets", choice([["", "waits (default)"], ["skip", "is not sent"]], given.capped === "wait" ? "" : given.capped, set("capped"))),
    );
  };

  // A wait that looks at the clock: a span, a date, an hour, weekdays.
  editor.delayRule = function (value, changed) {
    const given = isObject(value) ? value : value === undefined ? {} : { for: value };
    const set = fieldsOver(given, changed);
    return el("div", { class: "pl-grid pl-delay-rule" },
      editor.labelled("Wait", editor.widgets.duration(given.for, set("for"))),
      editor.labelled("Counted from", choice([["", "the step before (default)"], ["start", "the start of the run"]], given.from === "previous" ? "" : given.from, set("from"))),
      editor.labelled("Or until", input(given.until, set("until"), { placeholder: "{{ demo_date }} or 2027-03-01T09:00" }), "A date; the wait is then added to it."),
      editor.labelled("At", input(given.at, set("at"), { placeholder: "09:00" }), "Then on to this hour."),
      group("On", ticks(DAYS, given.days, set("days")), "Then on to one of these days."),
      zoneFields(given.tz, set("tz"), "the pipeline (default)"),
      editor.labelled("Up to longer, by chance", editor.widgets.duration(given.jitter, set("jitter"))),
      editor.labelled("If the date is past", choice([["", "go on at once (default)"], ["skip", "skip the step"]], given.if_past === "now" ? "" : given.if_past, set("if_past"))),
    );
  };

  // What a rule of waiting comes to, in a few words.
  editor.delayWords = function (rule) {
    const days = Array.isArray(rule.days) ? rule.days.map((day) => (DAYS.find(([code]) => code === day) || [day, day])[1]).join(", ") : "";
    const parts = [rule.until ? `on ${editor.shown(rule.until).replace(/^=\s*/, "")}` : "", rule.for ? `after ${editor.shown(rule.for)}` : "",
      rule.from === "start" ? "from the start" : "", days ? `on ${days}` : "", rule.at ? `at ${rule.at}` : ""];
    return parts.filter(Boolean).join(" ") || "by a rule";
  };

  // Fields over a control that holds JSON, which folds away below them and opens when they cannot show it.
  editor.over = function (field, { empty, readable, draw }) {
    const box = el("div", { class: "pl-over" });
    const json = el("details", { class: "pl-more" }, el("summary", { text: "As JSON" }));
    let internal = false;
    // The words of the field name its first control; the JSON says what it is.
    const label = field.id && document.querySelector(`label[for="${field.id}"]`);
    field.before(box, json);
    json.append(field);
    if (label) field.setAttribute("aria-label", `${label.textContent.trim()}, as JSON`);
    const write = (next) => {
      internal = true;
      editor.write(field, typeof next === "string" ? JSON.stringify(next) : next);
      internal = false;
    };
    const redraw = () => {
      const value = editor.readJson(field, empty);
      const shows = !(value === undefined && field.value.trim() !== "") && readable(value);
      box.hidden = !shows;
      if (!shows) json.open = true;
      else box.replaceChildren(draw(value, write));
      const first = shows && box.querySelector("input,select,textarea");
      if (label && first) {
        first.id = first.id || `${field.id}-fields`;
        label.htmlFor = first.id;
      }
    };
    field.addEventListener("change", () => { if (!internal) redraw(); });
    redraw();
    if (field.closest(".pl-field.pl-has-errors")) json.open = true;
    return json;
  };
})();
