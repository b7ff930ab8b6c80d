"use strict";
// The table that sorts, and the parallel coordinates that filter it. Data: see data.py.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const NS = "http://www.w3.org/2000/svg", STEP = 25, TOP = 34, BOTTOM = 12, SIDE = 46;
  const rows = data.columns[0].values.length;
  const brushes = data.axes.map(() => null);  // [low, high] of each axis, or null
  let order = [...Array(rows).keys()], shown = STEP, sorted = null, chosen = order;

  // numbers by size, text by letter, and what is missing last whichever way
  function compare(values, sign) {
    return (a, b) => {
      const x = values[a], y = values[b];
      if (x === null || y === null) return (x === null) - (y === null) || a - b;
      if (x === y) return a - b;
      return sign * (x < y ? -1 : 1);
    };
  }

  function text(value) {
    if (value === null) return "–";
    if (typeof value !== "number" || Number.isInteger(value)) return String(value);
    return String(Number(value.toPrecision(5)));
  }

  function element(tag, words, parent) {
    const made = document.createElement(tag);
    if (words !== undefined) made.textContent = words;
    if (parent) parent.append(made);
    return made;
  }

  function drawing(tag, attributes, parent, words) {
    const made = document.createElementNS(NS, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (words !== undefined) made.textContent = words;
    parent.append(made);
    return made;
  }

  const head = document.querySelector("#trials thead tr");
  data.columns.forEach((column, index) => {
    const cell = element("th", undefined, head);
    cell.scope = "col";
    element("button", column.name, cell).addEventListener("click", () => sort(index));
  });

  function sort(index) {
    const ascending = !(sorted && sorted.index === index && sorted.ascending);
    sorted = { index, ascending };
    order.sort(compare(data.columns[index].values, ascending ? 1 : -1));
    [...head.children].forEach((cell, i) => {
      if (i === index) cell.ariaSort = ascending ? "ascending" : "descending";
      else cell.removeAttribute("aria-sort");
    });
    select();
  }

  function fill() {
    const body = document.querySelector("#trials tbody");
    body.replaceChildren();
    for (const row of chosen.slice(0, shown)) {
      const line = element("tr", undefined, body);
      for (const column of data.columns) element("td", text(column.values[row]), line);
    }
    const more = document.getElementById("more"), count = Math.min(shown, chosen.length);
    more.hidden = count === chosen.length;
    document.getElementById("count").textContent =
      `${count} of ${chosen.length} chosen trials shown` +
      (chosen.length < rows ? `, ${rows - chosen.length} filtered out` : "");
  }

  document.getElementById("more").addEventListener("click", () => {
    shown += STEP;
    fill();
  });

  function inside(row) {
    return brushes.every((brush, axis) => {
      if (!brush) return true;
      const at = data.axes[axis].at[row];
      return at !== null && at >= brush[0] && at <= brush[1];
    });
  }

  function select() {
    chosen = order.filter(inside);
    fill();
    paint();
  }

  const box = document.getElementById("parallel");
  const canvas = box.querySelector("canvas"), svg = box.querySelector("svg");
  let place = [];  // pixels from the left, of each axis

  function height(at) {
    return TOP + (1 - at) * (box.clientHeight - TOP - BOTTOM);
  }

  function line(pen, row) {
    pen.beginPath();
    let down = false;
    data.axes.forEach((axis, i) => {
      const at = axis.at[row];
      if (at === null) { down = false; return; }
      if (down) pen.lineTo(place[i], height(at));
      else pen.moveTo(place[i], height(at));
      down = true;
    });
    pen.stroke();
  }

  function paint() {
    const ratio = window.devicePixelRatio || 1;
    canvas.width = box.clientWidth * ratio;
    canvas.height = box.clientHeight * ratio;
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const style = getComputedStyle(document.documentElement);
    pen.strokeStyle = style.getPropertyValue("--faint");
    const step = Math.ceil(rows / 3000);  // a background of more lines is one grey
    for (let row = 0; row < rows; row += step) line(pen, row);
    const best = data.rank;  // 1 for the best, null for failed ones
    const last = [...chosen].sort((a, b) => (best[a] ?? -1) - (best[b] ?? -1)).slice(-3000);
    for (const row of last) {
      if (best[row] === null) continue;
      const hue = 60 + 190 * best[row];
      pen.strokeStyle = `hsla(${hue}, 75%, 45%, ${0.25 + 0.65 * best[row] ** 4})`;
      pen.lineWidth = best[row] > 0.98 ? 1.6 : 0.9;
      line(pen, row);
    }
  }

  function lay() {
    svg.replaceChildren();
    const wide = box.clientWidth - 2 * SIDE, count = data.axes.length;
    place = data.axes.map((_, i) => SIDE + (count > 1 ? (wide * i) / (count - 1) : wide / 2));
    data.axes.forEach((axis, i) => {
      const x = place[i];
      drawing("line", { x1: x, x2: x, y1: height(1), y2: height(0) }, svg);
      const label = { x, y: i % 2 ? 10 : 22, "text-anchor": "middle" };
      drawing("text", label, svg, axis.name);
      for (const [at, words] of axis.ticks) {
        drawing("text", { x: x + 4, y: height(at) + 4 }, svg, words);
      }
      const area = { x: x - 12, width: 24, y: height(1), height: height(0) - height(1) };
      const grip = drawing("rect", { ...area, class: "grip", "data-axis": i }, svg);
      drawing("title", {}, grip, `Drag along ${axis.name} to choose trials`);
      grip.addEventListener("pointerdown", (event) => begin(event, i, grip));
      if (brushes[i]) show(i);
    });
    paint();
  }

  function value(event) {
    const y = event.clientY - box.getBoundingClientRect().top;
    const at = 1 - (y - TOP) / (box.clientHeight - TOP - BOTTOM);
    return Math.min(1, Math.max(0, at));
  }

  function begin(event, axis, grip) {
    const first = value(event);
    grip.setPointerCapture(event.pointerId);
    const move = (now) => {
      const at = value(now);
      brushes[axis] = [Math.min(first, at), Math.max(first, at)];
      show(axis);
      select();
    };
    const end = () => {
      grip.removeEventListener("pointermove", move);
      const brush = brushes[axis];
      if (!brush || brush[1] - brush[0] < 0.01) {  // a click clears
        brushes[axis] = null;
        show(axis);
      }
      select();
    };
    brushes[axis] = null;
    grip.addEventListener("pointermove", move);
    grip.addEventListener("pointerup", end, { once: true });
  }

  function show(axis) {
    svg.querySelector(`.brush[data-axis="${axis}"]`)?.remove();
    const brush = brushes[axis];
    if (!brush) return;
    const [low, high] = brush.map(height);
    const area = { x: place[axis] - 8, width: 16, y: high, height: low - high };
    drawing("rect", { ...area, class: "brush", "data-axis": axis }, svg);
  }

  document.getElementById("clear").addEventListener("click", () => {
    brushes.fill(null);
    svg.querySelectorAll(".brush").forEach((brush) => brush.remove());
    select();
  });
  window.addEventListener("resize", lay);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  fill();
  lay();
})();
