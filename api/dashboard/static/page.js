// What the pages do besides links and forms: the theme, dialogs, and saying when what is shown has become old.
(() => {
  const root = document.documentElement;
  const dialog = document.getElementById("dialog");
  const stale = document.getElementById("stale");
  const say = (text) => { document.getElementById("announce").textContent = text; };

  const theme = document.getElementById("theme");
  const name = () => { theme.textContent = `Theme: ${root.dataset.theme || "system"}`; };
  theme.hidden = false;
  name();
  theme.addEventListener("click", () => {
    const next = { undefined: "light", light: "dark", dark: undefined }[root.dataset.theme];
    if (next) { root.dataset.theme = next; localStorage.setItem("diptych-theme", next); }
    else { delete root.dataset.theme; localStorage.removeItem("diptych-theme"); }
    name();
  });

  // A question is asked in a dialog; what asked it gets the focus back (the browser sees to that).
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target?.id === "dialog-body" && !dialog.open) dialog.showModal();
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target.closest("[data-close]")) { event.preventDefault(); dialog.close(); }
  });
  dialog.addEventListener("submit", (event) => {
    // One click is one order.
    for (const button of event.target.querySelectorAll("button")) button.disabled = true;
  });

  // The first screen renews itself, but not under a reader's hands.
  const reading = (element) => dialog.open || (element.contains(document.activeElement) && !document.activeElement.id);
  document.addEventListener("htmx:beforeRequest", (event) => {
    const element = event.detail.elt;
    if (element.id === "overview" && (document.hidden || reading(element))) event.preventDefault();
  });
  document.addEventListener("visibilitychange", () => {
    const overview = document.getElementById("overview");
    if (!document.hidden && overview) htmx.trigger(overview, "refresh");
  });

  const old = (why) => {
    const since = document.querySelector("#overview time");
    stale.textContent = `${why} What you see is${since ? ` of ${since.dateTime}` : ""} not renewed.`;
    stale.hidden = false;
  };
  document.addEventListener("htmx:sendError", () => old("The server does not answer."));
  document.addEventListener("htmx:timeout", () => old("The server does not answer in time."));
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr, target } = event.detail;
    if (!xhr || target.id === "dialog-body") return;
    if (xhr.status !== 200) { event.detail.shouldSwap = false; old(`The server answered with ${xhr.status}.`); return; }
    stale.hidden = true;
  });

  // Whoever does not see the page hears when the verdict is another one, and when a run has ended.
  let verdict = document.getElementById("verdict")?.textContent.trim();
  document.addEventListener("htmx:afterSettle", () => {
    const now = document.getElementById("verdict")?.textContent.trim();
    if (now && now !== verdict) say(now);
    verdict = now;
  });
  document.addEventListener("htmx:sseClose", (event) => {
    if (event.detail.type === "message") say("The run has ended.");
  });
})();
