// Asks every second how far an import is, and loads the page once it has ended.
(() => {
  const card = document.getElementById("import-progress");
  if (!card) return;
  const number = new Intl.NumberFormat("en");
  const show = (told) => {
    card.querySelector("progress").value = told.percent;
    const words = told.waiting ? "Waits for a worker." : `${number.format(told.position)} of ${number.format(told.rows)} rows`;
    const place = card.querySelector("[data-words]");
    if (place.textContent !== words) place.textContent = words;
    for (const [name, count] of Object.entries(told.counts)) {
      card.querySelector(`[data-count="${name}"]`).textContent = number.format(count);
    }
  };
  const ask = async () => {
    let wait = 1000;
    try {
      const answer = await fetch(card.dataset.url, { headers: { Accept: "application/json" } });
      const told = await answer.json();
      if (!told.working) { window.location.replace(window.location.href); return; }
      show(told);
    } catch {
      wait = 5000;
    }
    setTimeout(ask, wait);
  };
  setTimeout(ask, 1000);
})();
