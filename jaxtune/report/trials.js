// The table of all trials, which sorts, and the parallel coordinates that filter it.
// Data: see data.py.
(() => {
  const numbers = document.getElementById("data");
  if (!numbers) return;  // another page than that of one search
  const data = JSON.parse(numbers.textContent);
  const NS = "http://www.w3.org/2000/svg", FIRST = 25;
  const LINES = 3000;  // more lines merge into one grey
  const SIDE = 64, RIGHT = 104, TOP = 42, BOTTOM = 12;  // room around axes that stand side by side
  const EDGE = 14;  // room at the ends of axes that lie below each other
  const NARROW = 78;  // pixels from axis to axis; closer ones lie below each other
  const PUSH = 0.05;  // how far a key moves a brush
  const rows = data.columns[0].values.length, failed = new Set(data.failed);
  const brushes = data.axes.map(() => null);  // [low, high] of each axis, or null
  let order = [...Array(rows).keys()], chosen = order, shown = FIRST;
  // rows are in the order of their ranks
  let sorted = { index: data.columns.findIndex((c) => c.name === "rank"), ascending: true };

  function svgElement(tag, attributes, parent, words) {
    const node = document.createElementNS(NS, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (words !== undefined) node.textContent = words;
    parent.append(node);
    return node;
  }

  function clamp(value, low, high) {
    return Math.min(high, Math.max(low, value));
  }

  // ---- the table

  // Numbers by size and text by letter; missing values last, whichever the direction,
  // and failed trials last where what was measured is sorted. Equal values are in the
  // order of the page, the best trial first.
  function compare({ values, best }, sign) {
    const missing = (row) => values[row] === null || (best !== null && failed.has(row));
    return (a, b) => {
      if (missing(a) || missing(b)) return missing(a) - missing(b) || a - b;
      if (values[a] === values[b]) return a - b;
      return sign * (values[a] < values[b] ? -1 : 1);
    };
  }

  // Python's integers as they are; other numbers with five digits, written as
  // "{:.5g}" writes them in the other tables
  function cellText(value, whole) {
    if (value === null) return "–";
    if (typeof value !== "number" || whole) return String(value);
    const [digits, power] = value.toExponential(4).split("e");
    if (power >= -4 && power < 5) return String(Number(value.toPrecision(5)));
    const sign = power < 0 ? "-" : "+";
    return `${Number(digits)}e${sign}${String(Math.abs(power)).padStart(2, "0")}`;
  }

  // as in markup.py: long texts are broken into lines
  function classes(kind, words) {
    return words.length > 24 ? `${kind} long` : kind;
  }

  const table = document.getElementById("all-trials");
  const head = table.querySelector("thead tr"), body = table.querySelector("tbody");
  data.columns.forEach((column, index) => {
    const cell = page.element("th", undefined, head);
    cell.scope = "col";
    const known = column.values.filter((value) => value !== null);
    column.class = known.some((value) => typeof value !== "number") ? "words" : "";
    column.whole = known.every(Number.isInteger);
    cell.className = classes(column.class, column.name);
    // a button inside the heading, so that a keyboard can sort too
    page.element("button", column.name, cell).addEventListener("click", () => sort(index));
  });

  // the first click shows the best first, or the smallest where nothing is better
  function sort(index) {
    const column = data.columns[index], again = sorted.index === index;
    sorted = { index, ascending: again ? !sorted.ascending : column.best !== "max" };
    order.sort(compare(column, sorted.ascending ? 1 : -1));
    update();
  }

  function sortWords() {
    const { name, best, class: kind } = data.columns[sorted.index];
    if (best !== null) {
      const first = sorted.ascending === (best === "min") ? "best" : "worst";
      return `sorted by ${name}, ${first} first`;
    }
    const ends = kind === "words" ? ["A", "Z"] : ["small", "large"];
    if (!sorted.ascending) ends.reverse();
    return `sorted by ${name}, ${ends.join(" to ")}`;
  }

  function fillTable() {
    [...head.children].forEach((cell, i) => {
      if (i !== sorted.index) cell.removeAttribute("aria-sort");
      else cell.ariaSort = sorted.ascending ? "ascending" : "descending";
    });
    body.replaceChildren();
    for (const row of chosen.slice(0, shown)) {
      const line = page.element("tr", undefined, body);
      data.columns.forEach((column, i) => {
        const words = cellText(column.values[row], column.whole);
        const cell = page.element(i ? "td" : "th", words, line);
        if (!i) cell.scope = "row";
        cell.className = classes(column.class, words);
      });
    }
    page.alignPoints(table);
    const count = Math.min(shown, chosen.length);
    document.getElementById("more").hidden = count === chosen.length;
    document.getElementById("count").textContent =
      `${chosen.length} of ${rows} trials chosen, ${count} shown, ${sortWords()}`;
    page.offerScrolling();
  }

  document.getElementById("more").addEventListener("click", ({ target }) => {
    shown *= 2;
    fillTable();
    if (target.hidden) document.getElementById("clear").focus();  // not lost
  });

  // ---- the parallel coordinates

  const box = document.getElementById("parallel");
  const canvas = box.querySelector("canvas"), svg = box.querySelector("svg");
  const columnOf = new Map(data.columns.map((column) => [column.name, column]));
  let passing = [];  // of each row, whether it passes all brushes
  let stacked = false;  // axes lie below each other, not side by side
  let places = [];  // of each axis, pixels from the left, or from the top if stacked
  let due = 0;  // the frame that is asked for

  function passes(row) {
    return brushes.every((brush, axis) => {
      if (!brush) return true;
      const at = data.axes[axis].at[row];
      return at !== null && at >= brush[0] && at <= brush[1];
    });
  }

  function update() {
    cancelAnimationFrame(due);
    passing = Array.from({ length: rows }, (_, row) => passes(row));
    chosen = order.filter((row) => passing[row]);
    fillTable();
    drawLines();
    brushes.forEach((_, axis) => drawBrush(axis));
  }

  // a pointer tells of more moves than a screen shows
  function updateSoon() {
    cancelAnimationFrame(due);
    due = requestAnimationFrame(update);
  }

  // pixels of a value at a height from 0 to 1 of an axis
  function pixels(axis, at) {
    if (stacked) return [EDGE + at * stackedLength(), places[axis]];
    return [places[axis], TOP + (1 - at) * (box.clientHeight - TOP - BOTTOM)];
  }

  function stackedLength() {
    return Math.max(0, box.clientWidth - 2 * EDGE);  // 0 wide while it is hidden
  }

  // the rectangle around a part of an axis
  function around(axis, low, high, width) {
    const [[x0, y0], [x1, y1]] = [pixels(axis, low), pixels(axis, high)];
    if (stacked) return { x: x0, y: y0 - width / 2, width: x1 - x0, height: width };
    return { x: x0 - width / 2, y: y1, width, height: y0 - y1 };
  }

  function drawLine(pen, row) {
    pen.beginPath();
    let down = false;
    data.axes.forEach((axis, i) => {
      const at = axis.at[row];
      if (at === null) { down = false; return; }  // a gap: inactive in this trial
      if (down) pen.lineTo(...pixels(i, at));
      else pen.moveTo(...pixels(i, at));
      down = true;
    });
    pen.stroke();
  }

  // the pictures' colours of scores, from the worst to the best, in the present theme
  function scoreColours(style) {
    const colours = [];
    for (let step = 0; ; step++) {
      const colour = style.getPropertyValue(`--plot-score-${step}`);
      if (!colour) return colours;
      colours.push(colour);
    }
  }

  function drawLines() {
    // a canvas has its own pixels: without the ratio, lines blur on a dense screen
    const ratio = window.devicePixelRatio || 1;
    canvas.width = box.clientWidth * ratio;
    canvas.height = box.clientHeight * ratio;
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const style = getComputedStyle(document.documentElement);
    const colours = scoreColours(style);
    pen.strokeStyle = style.getPropertyValue("--faint");
    const step = Math.ceil(rows / LINES);  // what is filtered out, thinned
    for (let row = 0; row < rows; row += step) if (!passing[row]) drawLine(pen, row);
    if (!data.ranked) {  // all failed: where they lie is all there is to see
      pen.strokeStyle = style.getPropertyValue("--soft");
      for (let row = 0; row < rows; row += step) if (passing[row]) drawLine(pen, row);
    }
    const lines = [];  // the best are in the first rows
    for (let row = 0; row < data.ranked && lines.length < LINES; row++) {
      if (passing[row]) lines.push(row);
    }
    for (const row of lines.reverse()) {  // the best last, on top
      const good = 1 - row / Math.max(1, data.ranked - 1);
      pen.strokeStyle = colours[Math.round(good * (colours.length - 1))];
      pen.globalAlpha = 0.3 + 0.7 * good ** 3;
      pen.lineWidth = good === 1 ? 3 : 1 + good ** 8;
      drawLine(pen, row);
    }
  }

  // called again when the window changes its size, since all places are in pixels
  function layOut() {
    svg.replaceChildren();
    box.querySelectorAll(".name").forEach((name) => name.remove());
    const names = data.axes.map((axis) => {
      const name = page.element("span", axis.name, box);
      name.className = "name";
      return name;
    });
    const count = data.axes.length, wide = box.clientWidth - SIDE - RIGHT;
    const apart = count > 1 ? wide / (count - 1) : wide;
    // names stand at two heights by turns, so each has twice the room
    stacked = apart < NARROW || names.some((name) => name.offsetWidth > 2 * apart - 12);
    box.classList.toggle("stacked", stacked);
    if (stacked) stack(names);
    else standApart(names, apart);
    data.axes.forEach(drawAxis);
    update();
  }

  function standApart(names, apart) {
    box.style.height = "";
    places = names.map((name, i) => {
      const x = SIDE + (names.length > 1 ? i * apart : apart / 2);
      const left = clamp(x - name.offsetWidth / 2, 0, box.clientWidth - name.offsetWidth);
      name.style.left = `${left}px`;
      name.style.top = i % 2 ? "0" : "1.1rem";
      return x;
    });
  }

  function stack(names) {
    let top = 0;
    places = names.map((name) => {
      name.style.left = "0";
      name.style.top = `${top}px`;
      const y = top + name.offsetHeight + 12;
      top = y + 40;
      return y;
    });
    box.style.height = `${top}px`;
  }

  function drawAxis(axis, i) {
    const [[x1, y1], [x2, y2]] = [pixels(i, 0), pixels(i, 1)];
    svgElement("line", { x1, y1, x2, y2 }, svg);
    drawTicks(axis.ticks, i);
    const grip = svgElement("rect", {
      ...around(i, 0, 1, 24), class: "grip", "data-axis": i, tabindex: 0, role: "slider",
      "aria-orientation": stacked ? "horizontal" : "vertical",
      "aria-valuemin": 0, "aria-valuemax": 100, "aria-label": axis.name,
    }, svg);
    svgElement("title", {}, grip, `Drag along ${axis.name} to choose trials`);
    grip.addEventListener("pointerdown", (event) => startBrush(event, i, grip));
    grip.addEventListener("keydown", (event) => moveBrush(event, i));
  }

  // Labels of values: the ends first, and between them those for which there is room.
  function drawTicks(ticks, i) {
    const room = stacked ? stackedLength() / ticks.length - 8 : roomBeside(i);
    const ends = [...ticks.slice(0, 1), ...ticks.slice(1).slice(-1)], drawn = [];
    for (const [at, words] of [...ends, ...ticks.slice(1, -1)]) {
      const text = svgElement("text", tickPlace(i, at), svg, words);
      // a long value would lie over the next axis: the table has it in full
      let end = words.length;
      while (text.getComputedTextLength() > room && --end > 0) {
        text.textContent = `${words.slice(0, end)}…`;
      }
      if (text.textContent !== words) svgElement("title", {}, text, words);
      const area = text.getBBox();
      if (drawn.some((other) => overlap(area, other))) text.remove();
      else drawn.push(area);
    }
  }

  function roomBeside(i) {
    return (i + 1 < places.length ? places[i + 1] - places[i] : RIGHT) - 8;
  }

  function tickPlace(i, at) {
    const [x, y] = pixels(i, at);
    if (!stacked) return { x: x + 5, y: y + 4 };
    const anchor = at < 0.1 ? "start" : at > 0.9 ? "end" : "middle";
    return { x, y: y + 22, "text-anchor": anchor };
  }

  function overlap(a, b) {
    return a.x < b.x + b.width && b.x < a.x + a.width
      && a.y < b.y + b.height && b.y < a.y + a.height;
  }

  // the height on an axis of a pointer, from 0 to 1
  function pointerHeight(event) {
    const { left, top } = box.getBoundingClientRect();
    const at = stacked
      ? (event.clientX - left - EDGE) / stackedLength()
      : 1 - (event.clientY - top - TOP) / (box.clientHeight - TOP - BOTTOM);
    return clamp(at, 0, 1);
  }

  function startBrush(event, axis, grip) {
    const first = pointerHeight(event), before = brushes[axis];
    // the grip is narrow: with the capture it also hears a pointer that leaves it
    grip.setPointerCapture(event.pointerId);
    const move = (now) => {
      const at = pointerHeight(now);
      brushes[axis] = [Math.min(first, at), Math.max(first, at)];
      updateSoon();
    };
    const end = ({ type }) => {
      grip.removeEventListener("pointermove", move);
      grip.removeEventListener("pointerup", end);
      grip.removeEventListener("pointercancel", end);
      const brush = brushes[axis];
      // a finger that scrolls the page chose nothing; a click removes the brush
      if (type === "pointercancel") brushes[axis] = before;
      else if (!brush || brush[1] - brush[0] < 0.01) brushes[axis] = null;
      update();
    };
    brushes[axis] = null;
    grip.addEventListener("pointermove", move);
    grip.addEventListener("pointerup", end);
    grip.addEventListener("pointercancel", end);
  }

  // Arrows move a brush, and with the shift key change its size; Escape removes it.
  function moveBrush(event, axis) {
    const by = {
      ArrowUp: PUSH, ArrowRight: PUSH, ArrowDown: -PUSH, ArrowLeft: -PUSH,
      PageUp: 4 * PUSH, PageDown: -4 * PUSH, Home: -1, End: 1,
    }[event.key];
    if (event.key === "Escape" || event.key === "Delete") brushes[axis] = null;
    else if (by === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    else brushes[axis] = pushed(brushes[axis], by, event.shiftKey);
    event.preventDefault();  // the page does not scroll
    update();
  }

  function pushed(brush, by, resize) {
    if (!brush) return by > 0 ? [0.75, 1] : [0, 0.25];
    const [low, high] = brush;
    // at the upper end there is no more room, so it grows at the lower one
    if (resize && by > 0 && high === 1) return [clamp(low - by, 0, 1), 1];
    if (resize) return [low, clamp(high + by, Math.min(1, low + PUSH), 1)];
    const step = clamp(by, -low, 1 - high);
    return [low + step, high + step];
  }

  function drawBrush(axis) {
    svg.querySelector(`.brush[data-axis="${axis}"]`)?.remove();
    const brush = brushes[axis], grip = svg.querySelector(`.grip[data-axis="${axis}"]`);
    const middle = brush ? (brush[0] + brush[1]) / 2 : 0.5;
    grip.setAttribute("aria-valuenow", Math.round(100 * middle));
    grip.setAttribute("aria-valuetext", brushWords(axis));
    if (!brush) return;
    const area = around(axis, ...brush, 16);
    svgElement("rect", { ...area, class: "brush", "data-axis": axis }, svg);
  }

  // what a brush chooses, in values of its trials
  function brushWords(axis) {
    const brush = brushes[axis];
    if (!brush) return "all values";
    const { at, column } = data.axes[axis], { values, whole } = columnOf.get(column);
    const inside = new Set(values.filter((value, row) =>
      value !== null && at[row] !== null && at[row] >= brush[0] && at[row] <= brush[1]));
    if (!inside.size) return "no trial";
    const some = [...inside].sort((a, b) => (a < b ? -1 : 1));
    if (typeof some[0] !== "number") return some.join(", ");
    return `${cellText(some[0], whole)} to ${cellText(some[some.length - 1], whole)}`;
  }

  document.getElementById("clear").addEventListener("click", () => {
    brushes.fill(null);
    update();
  });

  document.getElementById("explore").hidden = false;
  window.addEventListener("resize", layOut);
  for (const query of ["(prefers-color-scheme: dark)", "print"]) {
    matchMedia(query).addEventListener("change", layOut);
  }
  layOut();
})();
