// The page's only script: it does as the server tells it, and sends files. All HTML is made, and escaped, by the server.
"use strict";

const PART = 64 * 1024; // bytes in one message
const WINDOW = 1024 * 1024; // bytes that the server has not taken yet
const SAMPLE_SECONDS = 8; // a sample is sent so slowly that one sees what happens

const byId = (id) => document.getElementById(id);
const address = (path) => `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}${path}`;
const pause = (milliseconds) => new Promise((resume) => setTimeout(resume, milliseconds));

let visitor = null;
let live = null;
let wasLive = false;
let sending = 0;
const early = []; // files that came before the page was connected

// ---- what the server wants ----

let pressed = null;
const held = new Map();

document.addEventListener("pointerdown", ({ target }) => { pressed = target; });
for (const kind of ["pointerup", "pointercancel"]) {
  document.addEventListener(kind, () => setTimeout(() => {
    pressed = null;
    held.forEach((change) => changes.replace(change));
    held.clear();
  }));
}

const changes = {
  hello(change) {
    // After a break the server knows nothing of what this page shows.
    if (wasLive) return location.reload();
    wasLive = true;
    visitor = change.visitor;
    document.body.dataset.live = "yes";
    early.splice(0).forEach(([file, seconds]) => upload(file, seconds));
  },
  replace(change) {
    const element = byId(change.id);
    if (!element) return;
    // A button that is replaced between press and release was not clicked.
    if (pressed && element.contains(pressed)) return void held.set(change.id, change);
    const focused = element.contains(document.activeElement) ? document.activeElement.id : "";
    const open = [...element.querySelectorAll("details[open] > summary")].map((summary) => summary.id);
    element.innerHTML = change.html;
    open.forEach((id) => { const summary = byId(id); if (summary) summary.parentElement.open = true; });
    if (focused) byId(focused)?.focus();
  },
  append: (change) => byId(change.id)?.insertAdjacentHTML("beforeend", change.html),
  prepend: (change) => byId(change.id)?.insertAdjacentHTML("afterbegin", change.html),
  set: (change) => byId(change.id)?.setAttribute(change.name, change.value),
};

function connect() {
  live = new WebSocket(address("/live"));
  live.onmessage = ({ data }) => {
    byId("banner").hidden = true;
    const change = JSON.parse(data);
    changes[change.op]?.(change);
  };
  live.onclose = () => {
    visitor = null;
    delete document.body.dataset.live;
    byId("banner").hidden = false;
    setTimeout(connect, 1000);
  };
}

document.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-cancel], [data-kill], [data-remove]");
  if (!button || live.readyState !== WebSocket.OPEN) return;
  const { cancel, kill, remove } = button.dataset;
  const wish = cancel ? { cancel: Number(cancel) } : kill ? { kill } : { remove };
  live.send(JSON.stringify(wish));
});

// ---- what the visitor sends ----

function size(bytes) {
  if (bytes < 1e3) return `${bytes} bytes`;
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(0)} kB`;
  if (bytes < 1e9) return `${(bytes / 1e6).toFixed(1)} MB`;
  return `${(bytes / 1e9).toFixed(1)} GB`;
}

function upload(file, seconds = 0) {
  if (!visitor) return void early.push([file, seconds]);
  const form = byId("settings");
  if (!form.reportValidity()) return;
  const about = new URLSearchParams(new FormData(form));
  about.set("visitor", visitor);
  about.set("name", file.name);
  about.set("size", file.size);
  const socket = new WebSocket(address(`/upload?${about}`));
  let [number, sent, received, begun] = [null, 0, 0, 0];
  let wake = () => {};
  const isOpen = () => socket.readyState === WebSocket.OPEN;

  async function send() {
    begun = performance.now();
    while (sent < file.size && isOpen()) {
      const late = sent - received >= WINDOW;
      const ahead = seconds * 1000 * (sent / file.size) - (performance.now() - begun);
      if (late) await new Promise((resume) => { wake = resume; });
      else if (ahead > 0) await pause(ahead);
      else {
        const part = await file.slice(sent, sent + PART).arrayBuffer();
        if (!isOpen()) return;
        socket.send(part);
        sent += part.byteLength;
      }
    }
    if (isOpen()) socket.send("end");
  }

  socket.onmessage = ({ data }) => {
    const told = JSON.parse(data);
    if (told.upload) {
      number = told.upload;
      // The file may be gone, or not be one that may be read.
      send().catch(() => socket.close(4000));
    }
    received = told.received;
    const [progress, bytes] = [byId(`upload-${number}-progress`), byId(`upload-${number}-bytes`)];
    if (progress) progress.value = received;
    if (bytes) bytes.textContent = `${size(received)} of ${size(file.size)}`;
    wake();
  };
  sending += 1;
  socket.onclose = () => { sending -= 1; wake(); };
}

function uploadAll(files) {
  for (const file of files) upload(file);
}

byId("file").addEventListener("change", ({ target }) => {
  uploadAll(target.files);
  target.value = "";
});

const drop = byId("drop");
// Dropped beside the zone, a file would replace the page.
for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => event.preventDefault());
for (const kind of ["dragenter", "dragover"]) drop.addEventListener(kind, () => drop.classList.add("over"));
for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
drop.addEventListener("drop", ({ dataTransfer }) => uploadAll(dataTransfer.files));

// Enter in a field is no wish to leave the page.
byId("settings").addEventListener("submit", (event) => event.preventDefault());

byId("sample").addEventListener("click", async ({ target }) => {
  const words = target.textContent;
  target.disabled = true;
  target.textContent = "Making the sample…";
  try {
    const answer = await fetch("/sample.mkv");
    if (answer.ok) upload(new File([await answer.blob()], "sample.mkv"), SAMPLE_SECONDS);
  } finally {
    target.textContent = words;
    target.disabled = false;
  }
});

window.addEventListener("beforeunload", (event) => { if (sending > 0 && visitor) event.preventDefault(); });

connect();
