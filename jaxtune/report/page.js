"use strict";
// The table that sorts, and the parallel coordinates that filter it. Data: see data.py.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const NS = "http://www.w3.org/2000/svg", STEP = 25, TOP = 34, BOTTOM = 12, SIDE = 46;
  const LINES = 3000;  // more lines merge into one grey
  const rows = data.columns[0].values.length;
  const brushes = data.axes.map(() => null);  // [low, high] of each axis, or null
  let order = [...Array(rows).keys()], shown = STEP, sorted = null, chosen = order;

  // Numbers by size and text by letter; missing values last, whichever the direction.
  // Equal values are in the order of the page, the best trial first.
  function compare(values, sign) {
    return (a, b) => {
      const x = values[a], y = values[b];
      if (x === null || y === null) return (x === null) - (y === null) || a - b;
      if (x === y) return a - b;
      return sign * (x < y ? -1 : 1);
    };
  }

  function cellText(value) {
    if (value === null) return "–";
    if (typeof value !== "number" || Number.isInteger(value)) return String(value);
    return String(Number(value.toPrecision(5)));
  }

  // textContent, never innerHTML: names and values are the user's own strings
  function htmlElement(tag, words, parent) {
    const node = document.createElement(tag);
    if (words !== undefined) node.textContent = words;
    if (parent) parent.append(node);
    return node;
  }

  function svgElement(tag, attributes, parent, words) {
    const node = document.createElementNS(NS, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (words !== undefined) node.textContent = words;
    parent.append(node);
    return node;
  }

  const head = document.querySelector("#trials thead tr");
  data.columns.forEach((column, index) => {
    const cell = htmlElement("th", undefined, head);
    cell.scope = "col";
    // a button inside the heading, so that a keyboard can sort too
    htmlElement("button", column.name, cell).addEventListener("click", () => sort(index));
  });

  function sort(index) {
    const ascending = !(sorted && sorted.index === index && sorted.ascending);
    sorted = { index, ascending };
    order.sort(compare(data.columns[index].values, ascending ? 1 : -1));
    [...head.children].forEach((cell, i) => {
      if (i === index) cell.ariaSort = ascending ? "ascending" : "descending";
      else cell.removeAttribute("aria-sort");
    });
    update();
  }

  function fillTable() {
    const body = document.querySelector("#trials tbody");
    body.replaceChildren();
    for (const row of chosen.slice(0, shown)) {
      const line = htmlElement("tr", undefined, body);
      for (const column of data.columns) {
        htmlElement("td", cellText(column.values[row]), line);
      }
    }
    const more = document.getElementById("more"), count = Math.min(shown, chosen.length);
    more.hidden = count === chosen.length;
    document.getElementById("count").textContent =
      `${count} of ${chosen.length} chosen trials shown` +
      (chosen.length < rows ? `, ${rows - chosen.length} filtered out` : "");
  }

  document.getElementById("more").addEventListener("click", () => {
    shown += STEP;
    fillTable();
  });

  function passesBrushes(row) {
    return brushes.every((brush, axis) => {
      if (!brush) return true;
      const at = data.axes[axis].at[row];
      return at !== null && at >= brush[0] && at <= brush[1];
    });
  }

  function update() {
    chosen = order.filter(passesBrushes);
    fillTable();
    drawLines();
  }

  const box = document.getElementById("parallel");
  const canvas = box.querySelector("canvas"), svg = box.querySelector("svg");
  let axisX = [];  // of each axis, pixels from the left

  function pixelY(at) {
    return TOP + (1 - at) * (box.clientHeight - TOP - BOTTOM);
  }

  function drawLine(pen, row) {
    pen.beginPath();
    let down = false;
    data.axes.forEach((axis, i) => {
      const at = axis.at[row];
      if (at === null) { down = false; return; }  // a gap: inactive in this trial
      if (down) pen.lineTo(axisX[i], pixelY(at));
      else pen.moveTo(axisX[i], pixelY(at));
      down = true;
    });
    pen.stroke();
  }

  function drawLines() {
    // a canvas has its own pixels: without the ratio, lines blur on a dense screen
    const ratio = window.devicePixelRatio || 1;
    canvas.width = box.clientWidth * ratio;
    canvas.height = box.clientHeight * ratio;
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const style = getComputedStyle(document.documentElement);
    pen.strokeStyle = style.getPropertyValue("--faint");
    const step = Math.ceil(rows / LINES);  // all trials, thinned, as a grey background
    for (let row = 0; row < rows; row += step) drawLine(pen, row);
    const rank = data.rank;  // 1 for the best, 0 for the worst, null for failed trials
    // the worst first, so that the best are drawn on top
    const last = [...chosen].sort((a, b) => (rank[a] ?? -1) - (rank[b] ?? -1)).slice(-LINES);
    for (const row of last) {
      if (rank[row] === null) continue;
      const hue = 60 + 190 * rank[row];
      pen.strokeStyle = `hsla(${hue}, 75%, 45%, ${0.25 + 0.65 * rank[row] ** 4})`;
      pen.lineWidth = rank[row] > 0.98 ? 1.6 : 0.9;
      drawLine(pen, row);
    }
  }

  // called again when the window changes its size, since all places are in pixels
  function layOut() {
    svg.replaceChildren();
    const wide = box.clientWidth - 2 * SIDE, count = data.axes.length;
    axisX = data.axes.map((_, i) => SIDE + (count > 1 ? (wide * i) / (count - 1) : wide / 2));
    data.axes.forEach((axis, i) => {
      const x = axisX[i];
      svgElement("line", { x1: x, x2: x, y1: pixelY(1), y2: pixelY(0) }, svg);
      // at two heights by turns, so that long names of neighbours do not overlap
      const label = { x, y: i % 2 ? 10 : 22, "text-anchor": "middle" };
      svgElement("text", label, svg, axis.name);
      for (const [at, words] of axis.ticks) {
        svgElement("text", { x: x + 4, y: pixelY(at) + 4 }, svg, words);
      }
      const area = { x: x - 12, width: 24, y: pixelY(1), height: pixelY(0) - pixelY(1) };
      const grip = svgElement("rect", { ...area, class: "grip", "data-axis": i }, svg);
      svgElement("title", {}, grip, `Drag along ${axis.name} to choose trials`);
      grip.addEventListener("pointerdown", (event) => startBrush(event, i, grip));
      if (brushes[i]) drawBrush(i);
    });
    drawLines();
  }

  // the height of a pointer on the axes, from 0 at the bottom to 1 at the top
  function pointerHeight(event) {
    const y = event.clientY - box.getBoundingClientRect().top;
    const at = 1 - (y - TOP) / (box.clientHeight - TOP - BOTTOM);
    return Math.min(1, Math.max(0, at));
  }

  function startBrush(event, axis, grip) {
    const first = pointerHeight(event);
    // the grip is narrow: with the capture it also hears a pointer that leaves it
    grip.setPointerCapture(event.pointerId);
    const move = (now) => {
      const at = pointerHeight(now);
      brushes[axis] = [Math.min(first, at), Math.max(first, at)];
      drawBrush(axis);
      update();
    };
    const end = () => {
      grip.removeEventListener("pointermove", move);
      const brush = brushes[axis];
      if (!brush || brush[1] - brush[0] < 0.01) {  // a click, which removes the brush
        brushes[axis] = null;
        drawBrush(axis);
      }
      update();
    };
    brushes[axis] = null;
    grip.addEventListener("pointermove", move);
    grip.addEventListener("pointerup", end, { once: true });
  }

  function drawBrush(axis) {
    svg.querySelector(`.brush[data-axis="${axis}"]`)?.remove();
    const brush = brushes[axis];
    if (!brush) return;
    const [low, high] = brush.map(pixelY);
    const area = { x: axisX[axis] - 8, width: 16, y: high, height: low - high };
    svgElement("rect", { ...area, class: "brush", "data-axis": axis }, svg);
  }

  document.getElementById("clear").addEventListener("click", () => {
    brushes.fill(null);
    svg.querySelectorAll(".brush").forEach((brush) => brush.remove());
    update();
  });
  window.addEventListener("resize", layOut);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawLines);
  fillTable();
  layOut();
})();
