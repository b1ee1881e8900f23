// What every page does beside htmx: copying, the token of the session, and small things that follow what is on the page.
"use strict";

const token = document.querySelector('meta[name="csrf-token"]')?.content ?? "";

document.addEventListener("htmx:config:request", (event) => {
  event.detail.ctx.request.headers["X-CSRF-Token"] = token;
});

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue; // only where the address is safe: https, or this machine
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.previousElementSibling.textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
}

// A refused form begins with what was wrong.
document.getElementById("problem")?.focus();

// The columns that were seen in a file before it was sent are offered where a column is asked for.
const columns = document.getElementById("columns");
const seen = sessionStorage.getItem("columns:" + location.pathname.split("/").pop());
if (columns && seen) for (const name of JSON.parse(seen)) columns.append(new Option(name, name));

// A job that has ended offers no cancelling, and its page what comes afterwards.
document.addEventListener("end", () => {
  if (document.querySelector(".while-live")) location.reload();
});
