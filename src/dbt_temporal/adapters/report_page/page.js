"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const [UID, NAME, KIND, STATUS, READY, STARTED, BEGAN, TAKEN, ENDED, SECS, TRIES, FAILED, TEXT, PARENT, PATH, CRITICAL] =
    Array.from({ length: 16 }, (_, i) => i);
  const one = (id) => document.getElementById(id);
  const box = one("rows"), axis = one("axis"), panel = one("node");
  const spacer = document.createElement("div");
  spacer.className = "spacer";
  box.append(spacer);
  const narrow = matchMedia("(max-width: 40rem)");
  let shown = [], chosen = null, due = false;

  const secs = (s) => (s === null ? "–" : s < 60 ? s.toFixed(2) + " s" : span(s));
  const span = (s) => {
    const t = Math.round(s), h = Math.floor(t / 3600), m = Math.floor((t % 3600) / 60);
    return h ? `${h} h ${m} min` : m ? `${m} min ${t % 60} s` : `${t} s`;
  };
  const make = (tag, cls, text) => {
    const made = document.createElement(tag);
    if (cls) made.className = cls;
    if (text !== undefined) made.textContent = text;
    return made;
  };

  const orders = {
    start: (a, b) => (a[STARTED] ?? Infinity) - (b[STARTED] ?? Infinity) || a[READY] - b[READY],
    long: (a, b) => b[ENDED] - b[STARTED] - (a[ENDED] - a[STARTED]),
    thread: (a, b) => b[STARTED] - b[READY] - (a[STARTED] - a[READY]),
    name: (a, b) => (a[NAME] < b[NAME] ? -1 : 1),
  };
  const kept = {
    all: () => true,
    bad: (row) => row[STATUS] === "error" || row[STATUS] === "cancelled",
    notes: (row) => row[STATUS] === "warn",
    retried: (row) => row[TRIES] > 1,
    skipped: (row) => row[STATUS] === "skipped",
    critical: (row) => row[CRITICAL],
  };

  function choose() {
    const words = one("find").value.toLowerCase().split(/\s+/).filter(Boolean);
    const keep = kept[one("keep").value];
    shown = data.rows.filter((row) => {
      const text = (row[UID] + " " + data.kinds[row[KIND]]).toLowerCase();
      return keep(row) && words.every((word) => text.includes(word));
    });
    shown.sort(orders[one("order").value]);
    one("count").textContent = `${shown.length} of ${data.rows.length} nodes`;
    box.scrollTop = 0;
    draw();
  }

  function draw() {
    due = false;
    const height = narrow.matches ? 38 : 24;
    const room = Math.min(Math.max(shown.length, 1) * height, Math.max(innerHeight * 0.7, 240));
    box.style.height = room + 2 + "px";
    spacer.style.height = shown.length * height + "px";
    const first = Math.max(Math.floor(box.scrollTop / height), 0);
    const rows = shown.slice(first, first + Math.ceil(room / height) + 1);
    let [from, to] = [data.from, data.to];
    if (one("zoom").checked) {
      const ran = rows.filter((row) => row[STARTED] !== null);
      if (ran.length) {
        from = Math.min(...ran.map((row) => Math.min(row[READY], row[STARTED])));
        to = Math.max(...ran.map((row) => row[ENDED]));
      }
    }
    const scale = 100 / Math.max(to - from, 0.001);
    drawAxis(from, to);
    spacer.replaceChildren(...rows.map((row, i) => drawRow(row, (first + i) * height, from, scale)));
  }

  function drawAxis(from, to) {
    const wanted = Math.max((to - from) / (axis.clientWidth / 110 || 1), 0.01);
    const step = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200].find(
      (each) => each >= wanted) || 86400;
    const marks = [];
    for (let at = Math.ceil(from / step) * step; at <= to + 1e-9; at += step) {
      const text = step < 1 ? at.toFixed(2) + " s" : span(at);
      const place = ((at - from) * 100) / Math.max(to - from, 0.001);
      const mark = make("span", place < 5 ? "first" : place > 95 ? "last" : "", text);
      mark.style.left = place + "%";
      marks.push(mark);
    }
    axis.replaceChildren(...marks);
  }

  function drawRow(row, top, from, scale) {
    const line = make("div", "row" + (row[CRITICAL] ? " critical" : "") + (row === chosen ? " chosen" : ""));
    line.style.top = top + "px";
    line.tabIndex = 0;
    line.setAttribute("role", "button");
    line.setAttribute("aria-label", `${row[UID]}: ${row[STATUS]}`);
    const name = make("span", "name", row[NAME]);
    if (row[STATUS] !== "success") name.classList.add(row[STATUS]);
    name.title = row[UID];
    const track = make("div", "track");
    const bar = (cls, begin, end) => {
      if (end <= begin && cls !== "b-" + row[STATUS]) return;
      const left = Math.min(Math.max((begin - from) * scale, 0), 100), right = Math.min(Math.max((end - from) * scale, 0), 100);
      if (right < 0 || (begin - from) * scale > 100) return;
      const made = make("i", "bar " + cls);
      made.style.left = `min(${left}%, 100% - 2px)`;
      made.style.width = right - left + "%";
      track.append(made);
    };
    if (row[STARTED] !== null) {
      bar("b-thread", row[READY], row[STARTED]);
      let at = row[STARTED];
      for (const [begin, end] of row[FAILED]) {
        bar("b-pause", at, begin);
        bar("b-failed", begin, end);
        at = end;
      }
      const bad = row[FAILED].length && row[STATUS] === "error" && row[FAILED][row[FAILED].length - 1][1] >= row[ENDED] - 0.001;
      if (bad) {
        const [begin, end] = row[FAILED][row[FAILED].length - 1];
        bar("b-error", begin, end);
      } else {
        const begin = Math.max(row[BEGAN], at);
        bar("b-pause", at, begin);
        bar("b-worker", begin, row[TAKEN] ?? begin);
        bar("b-" + row[STATUS], Math.max(row[TAKEN] ?? begin, begin), row[ENDED]);
      }
    }
    line.append(name, track);
    line.addEventListener("click", () => tell(row));
    line.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); tell(row); }
    });
    return line;
  }

  function tell(row) {
    chosen = row;
    const facts = make("dl");
    const fact = (name, text) => { if (text) facts.append(make("dt", "", name), make("dd", "", text)); };
    fact("Kind", data.kinds[row[KIND]]);
    fact("File", row[PATH]);
    if (row[STARTED] === null) {
      fact("Not run", row[TEXT] || "its turn never came");
    } else {
      const parent = row[PARENT] === null ? "" : `, when ${data.rows[row[PARENT]][NAME]} had ended`;
      fact("Ready", `at ${secs(row[READY])}${parent}`);
      fact("Waited for a thread", secs(row[STARTED] - row[READY]));
      if (row[TAKEN] !== null) fact("Then for a worker", secs(row[TAKEN] - row[BEGAN]));
      fact("Ran", `${secs(row[STARTED])} to ${secs(row[ENDED])}; dbt measured ${secs(row[SECS])}`);
      if (row[TRIES] > 1) fact("Attempts", String(row[TRIES]));
      for (const [begin, end, why] of row[FAILED]) fact("Failed", `${secs(begin)} to ${secs(end)}: ${why}`);
      fact("Says", row[TEXT]);
    }
    const head = make("div");
    head.append(make("span", "word " + row[STATUS], row[STATUS]), " ", make("span", "id", row[UID]));
    panel.replaceChildren(head, facts);
    panel.hidden = false;
    draw();
  }

  const later = () => { if (!due) { due = true; requestAnimationFrame(draw); } };
  box.addEventListener("scroll", later);
  addEventListener("resize", later);
  for (const id of ["find", "keep", "order"]) one(id).addEventListener("input", choose);
  one("zoom").addEventListener("input", draw);
  one("gantt").hidden = false;
  choose();
})();
