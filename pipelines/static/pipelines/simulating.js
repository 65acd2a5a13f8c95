// While a story is played its button says so; everything works without this.
const form = document.getElementById("story");
form?.addEventListener("submit", () => {
  const button = form.querySelector("button[type=submit]");
  button.textContent = "Playing…";
  button.disabled = true;
});
window.addEventListener("pageshow", () => {
  const button = form?.querySelector("button[type=submit]");
  if (button) {
    button.textContent = "Play";
    button.disabled = false;
  }
});
