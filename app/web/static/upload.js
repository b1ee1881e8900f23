// Files on their way into a dataset, in pieces (tus 1.0.0): after any interruption an upload goes on where it was.
"use strict";

(() => {
  const form = document.querySelector("[data-upload]");
  if (!form) return;
  const at = (name) => form.querySelector(`[data-${name}]`);
  const input = form.querySelector("input[type=file]");
  const token = document.querySelector('meta[name="csrf-token"]').content;
  const PIECE = 8 * 1024 * 1024;
  const PAUSES_S = [0.5, 1, 2, 4, 8, 15];
  const PEEK_BYTES = 65536;
  let chosen = [];

  at("drop").hidden = false;
  const encoded = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));
  const known = (dataset, file) => `upload:${dataset}:${file.name}:${file.size}:${file.lastModified}`;
  const sleep = (seconds) => new Promise((go) => setTimeout(go, 1000 * seconds));
  const size = (bytes) => {
    const units = ["B", "kB", "MB", "GB"];
    let step = 0;
    while (bytes >= 1000 && step < 3) (bytes /= 1000), step++;
    return `${step ? bytes.toPrecision(3) : bytes} ${units[step]}`;
  };

  class Refused extends Error {}

  async function ask(method, address, headers = {}, body = undefined) {
    const answer = await fetch(address, { method, headers: { "X-CSRF-Token": token, ...headers }, body });
    if (answer.ok) return answer;
    const problem = await answer.json().catch(() => ({}));
    const said = [problem.detail, problem.hint].filter(Boolean).join(" ") || `Refused (${answer.status}).`;
    // 409: it stands elsewhere, or is held by a request that has not ended; 5xx, 408, 429: it will pass.
    if (answer.status >= 500 || [408, 409, 423, 429].includes(answer.status)) throw new Error(said);
    throw new Refused(said);
  }

  // XMLHttpRequest tells how much of a piece has gone, which fetch does not.
  function patch(address, offset, piece, tell) {
    return new Promise((done, fail) => {
      const request = new XMLHttpRequest();
      request.open("PATCH", address);
      const headers = { "X-CSRF-Token": token, "Tus-Resumable": "1.0.0", "Upload-Offset": offset, "Content-Type": "application/offset+octet-stream" };
      for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
      request.upload.onprogress = (event) => tell(offset + event.loaded);
      request.onload = () => {
        if (request.status === 204) return done(Number(request.getResponseHeader("Upload-Offset")));
        let said = `Refused (${request.status}).`;
        try { const problem = JSON.parse(request.responseText); said = `${problem.detail} ${problem.hint}`; } catch {}
        fail(request.status >= 500 || [408, 409, 423, 429].includes(request.status) ? new Error(said) : new Refused(said));
      };
      request.onerror = request.ontimeout = request.onabort = () => fail(new Error("The connection broke."));
      request.send(piece);
    });
  }

  async function begin(dataset, file) {
    const metadata = `dataset ${encoded(dataset)},path ${encoded(file.name)}`;
    const headers = { "Tus-Resumable": "1.0.0", "Upload-Length": file.size, "Upload-Metadata": metadata };
    const address = (await ask("POST", "/v1/uploads", headers)).headers.get("Location");
    localStorage.setItem(known(dataset, file), address);
    return new URL(address, location.origin).pathname;
  }

  async function send(dataset, file, row) {
    const bar = row.querySelector("progress"), said = row.querySelector("[role=status]");
    const tell = (sent) => { bar.value = file.size ? sent / file.size : 1; row.querySelector(".percent").textContent = `${Math.floor(100 * bar.value)} %`; };
    let failures = 0;
    for (;;) {
      try {
        let address = localStorage.getItem(known(dataset, file)), offset = 0;
        if (address) {
          address = new URL(address, location.origin).pathname;
          const answer = await fetch(address, { method: "HEAD", headers: { "Tus-Resumable": "1.0.0" } });
          if (answer.ok) offset = Number(answer.headers.get("Upload-Offset"));
          else if (answer.status < 500 && ![408, 409, 423, 429].includes(answer.status)) address = await begin(dataset, file);
          else throw new Error(`The service answers ${answer.status}.`);
          if (failures || offset) said.textContent = `Going on at ${size(offset)}.`;
        } else address = await begin(dataset, file);
        while (offset < file.size) {
          tell(offset);
          offset = await patch(address, offset, file.slice(offset, offset + PIECE), tell);
          failures = 0;
        }
        tell(file.size);
        localStorage.removeItem(known(dataset, file));
        said.textContent = "Arrived.";
        return;
      } catch (error) {
        if (error instanceof Refused) { said.textContent = error.message; localStorage.removeItem(known(dataset, file)); throw error; }
        const pause = PAUSES_S[Math.min(failures++, PAUSES_S.length - 1)];
        said.textContent = `${error.message} Trying again in ${pause} s.`;
        await Promise.race([sleep(pause), new Promise((go) => window.addEventListener("online", go, { once: true }))]);
      }
    }
  }

  function show(files) {
    chosen = [...files];
    const list = at("files");
    list.replaceChildren(...chosen.map((file) => {
      const row = document.createElement("li"), name = document.createElement("span"), much = document.createElement("span");
      const bar = document.createElement("progress"), percent = document.createElement("span"), said = document.createElement("span");
      name.textContent = file.name; name.className = "name";
      much.textContent = size(file.size); much.className = "dim";
      bar.value = 0; bar.setAttribute("aria-label", `Sent of ${file.name}`);
      percent.className = "percent"; percent.textContent = "0 %"; said.className = "dim"; said.setAttribute("role", "status");
      row.append(name, much, bar, percent, said);
      return row;
    }));
    const title = document.getElementById("name");
    if (title && !title.value && chosen.length) title.value = chosen[0].name.replace(/(\.[a-z0-9]{1,8}){1,2}$/i, "");
    if (at("send")) at("send").textContent = chosen.length ? "Upload" : "Create";
    if (chosen.length) peek(chosen[0]);
  }

  // The head of a text file, as it looks from here: nothing is sent for it.
  async function peek(file) {
    at("peek").replaceChildren();
    if (!/\.(csv|tsv|txt|inter|dat|jsonl|ndjson)$/i.test(file.name)) return;
    const text = await file.slice(0, PEEK_BYTES).text();
    const lines = text.split(/\r?\n/).filter(Boolean).slice(0, 6);
    if (!lines.length) return;
    let rows;
    if (lines[0].startsWith("{")) {
      try {
        const items = lines.slice(0, 5).map((line) => JSON.parse(line));
        const names = Object.keys(items[0]);
        rows = [names, ...items.map((item) => names.map((name) => typeof item[name] === "object" ? JSON.stringify(item[name]) : String(item[name] ?? "")))];
      } catch { return; }
    } else {
      const mark = ["\t", "::", ";", "|", ","].find((one) => lines[0].includes(one)) ?? ",";
      rows = lines.map((line) => line.split(mark).map((cell) => cell.replace(/^"|"$/g, "")));
    }
    form.dataset.columns = JSON.stringify(rows[0].slice(0, 200));
    const table = document.createElement("table");
    table.className = "rows cells";
    const caption = table.createCaption();
    caption.textContent = `How ${file.name} begins`; caption.className = "dim";
    rows.forEach((cells, number) => {
      const line = (number ? table.tBodies[0] ?? table.createTBody() : table.createTHead()).insertRow();
      for (const cell of cells.slice(0, 20)) {
        const box = document.createElement(number ? "td" : "th");
        box.textContent = cell.length > 60 ? cell.slice(0, 60) + "…" : cell;
        line.append(box);
      }
    });
    at("peek").append(table);
  }

  async function sendAll(dataset) {
    const rows = [...at("files").children];
    for (const [number, file] of chosen.entries()) await send(dataset, file, rows[number]);
    if (form.dataset.columns) sessionStorage.setItem("columns:" + dataset, form.dataset.columns);
    location.assign(`/ui/datasets/${dataset}`);
  }

  const drop = at("drop");
  for (const name of ["dragenter", "dragover"]) drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => { event.preventDefault(); take(event.dataTransfer.files); });
  input.addEventListener("change", () => take(input.files));

  function take(files) {
    show(files);
    // On the page of a dataset there is nothing else to say: they are sent at once.
    if (form.dataset.dataset && chosen.length) sendAll(form.dataset.dataset).catch(() => {});
  }

  form.addEventListener("submit", async (event) => {
    if (!chosen.length) return; // an empty dataset; its files come on its own page
    event.preventDefault();
    at("send").disabled = true;
    try {
      if (!form.dataset.made) {
        const body = JSON.stringify({ name: document.getElementById("name").value.trim(), kind: form.elements.kind.value });
        form.dataset.made = (await (await ask("POST", "/v1/datasets", { "Content-Type": "application/json" }, body)).json()).id;
      }
      at("said").textContent = "Sending…";
      await sendAll(form.dataset.made);
    } catch (error) {
      at("said").textContent = error.message;
      at("send").disabled = false;
    }
  });
})();
