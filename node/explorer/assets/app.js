// Live pages: at every block the server draws <main> anew and we put it in place.
// Without this script every page works; it is then as fresh as its last load.
"use strict";

const PAUSE_MS = 700; // at most so often, however fast blocks come
let busy = false;
let again = false;

async function refresh() {
  if (busy || document.hidden) { again = true; return; }
  busy = true;
  again = false;
  try {
    const answer = await fetch(location.href, { headers: { "X-Part": "main" } });
    const main = document.getElementById("main");
    // Somebody selecting or typing is not disturbed.
    const active = document.activeElement;
    const reading = !getSelection().isCollapsed || (active && main.contains(active));
    if (answer.ok && !reading) {
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      main.replaceChildren(...fresh.getElementById("main").childNodes);
    }
  } catch { /* the stream reconnects, and the next block tries again */ }
  setTimeout(() => { busy = false; if (again) refresh(); }, PAUSE_MS);
}

if (document.querySelector("main[data-live]")) {
  const stream = new EventSource("/live");
  stream.onmessage = refresh;
  document.addEventListener("visibilitychange", () => { if (!document.hidden && again) refresh(); });
}
