// Keys of the inbox: j and k move between tasks, Escape closes the one in which the cursor stands.
const list = document.querySelector("[data-inbox]");
const heads = () => [...list.querySelectorAll(":scope > li > details > summary")];
const isTyping = (target) => target.closest("input, select, textarea, [contenteditable]");

function move(step) {
  const all = heads();
  const inside = document.activeElement.closest("[data-inbox] > li");
  const at = inside ? all.indexOf(inside.querySelector("summary")) : step > 0 ? -1 : all.length;
  const next = all[Math.min(all.length - 1, Math.max(0, at + step))];
  if (next) next.focus();
}

if (list) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      const details = event.target.closest("[data-inbox] details[open]");
      if (!details) return;
      details.open = false;
      details.querySelector("summary").focus();
      return;
    }
    if (isTyping(event.target)) return;
    if (event.key === "j") move(1);
    if (event.key === "k") move(-1);
  });
  const opened = list.querySelector("details[open]");
  if (opened) opened.scrollIntoView({ block: "nearest" });
}
