"use strict";
// The live page: what document.py says of a run, drawn again whenever it changes. Only
// what differs is touched, so that scrolling, sorting and the focus stay as they are.
(() => {
  const NS = "http://www.w3.org/2000/svg", ROW = 20, MOST = 12;  // rounds in a box
  let shown = null, stream = null, sorted = null;

  // textContent and attributes, never innerHTML: names and values are others' strings
  function element(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children.filter((child) => child !== null));
    return node;
  }

  function drawn(tag, attributes, words) {
    const node = document.createElementNS(NS, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (words) node.append(drawn("title", {}));
    if (words) node.firstChild.textContent = words;
    return node;
  }

  function picture(height, words, parts) {
    const svg = drawn("svg", { height, role: "img", "aria-label": words });
    svg.append(...parts);
    return svg;
  }

  // Make one tree of nodes the same as another one, and touch nothing that already is.
  function morph(old, next) {
    if (old.nodeType !== next.nodeType || old.nodeName !== next.nodeName) {
      old.replaceWith(next);
      return;
    }
    if (old.nodeType === Node.TEXT_NODE) {
      if (old.nodeValue !== next.nodeValue) old.nodeValue = next.nodeValue;
      return;
    }
    for (const { name } of [...old.attributes]) {
      if (name !== "style" && !next.hasAttribute(name)) old.removeAttribute(name);
    }
    for (const { name, value } of next.attributes) {
      if (name !== "style" && old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    // the policy of the page forbids the attribute, and not the object
    if (old.style.cssText !== next.style.cssText) old.style.cssText = next.style.cssText;
    const now = [...old.childNodes], then = [...next.childNodes];
    then.forEach((child, i) => (i < now.length ? morph(now[i], child) : old.append(child)));
    now.slice(then.length).forEach((child) => child.remove());
  }

  function fill(id, ...children) {
    const old = document.getElementById(id), next = old.cloneNode(false);
    next.append(...children.filter((child) => child !== null));
    morph(old, next);
  }

  const percent = (at) => `${100 * at}%`;

  function ticks(pairs) {
    const row = element("div", { class: "x" });
    for (const [at, words] of pairs) {
      // a label at an end stays inside
      const kind = at < .02 ? "first" : at > .98 ? "last" : "middle";
      const label = element("span", { class: kind, title: words }, words);
      label.style.left = percent(at);
      row.append(label);
    }
    return row;
  }

  function plot(name, heights, svg, pairs) {
    const side = element("div", { class: "y" }, ...heights.map((h) => element("span", {}, h)));
    return element("div", { class: "plot" }, element("b", {}, name), side, svg, ticks(pairs));
  }

  function best(run) {
    if (!run.best) {
      return [element("h1", {}, run.metric ? `No score yet: ${run.metric}` : "jaxtune watch")];
    }
    const list = element("dl", { class: "settings" });
    for (const [name, value] of run.best.hparams) {
      list.append(element("div", {}, element("dt", {}, name), element("dd", {}, value)));
    }
    const soft = `Trial ${run.best.trial}, by ${run.metric}.`;
    const title = element("h1", {}, `Best so far: ${run.best.score}`);
    if (run.state === "finished") title.textContent = `Best: ${run.best.score}`;
    return [title, element("p", { class: "soft" }, soft), list];
  }

  function progress(run) {
    const parts = [element("h2", {}, run.counts)];
    for (const round of run.rounds) {
      const counts = Object.entries(round.counts).filter(([, count]) => count);
      const words = counts.map(([kind, count]) => `${count} ${kind}`).join(", ");
      const bar = element("div", { class: "bar", "aria-hidden": "true" });
      for (const [kind, count] of Object.entries(round.counts)) {
        const part = element("span", { class: `part ${kind}` });
        part.style.flexGrow = count;
        bar.append(part);
      }
      const state = round.open ? "" : " (over)";
      parts.push(element("div", {}, `${round.name}${state}: ${words}`), bar);
    }
    const far = run.running.map(([epochs, count]) => `${count} scored after ${epochs} epochs`);
    if (far.length) parts.push(element("p", {}, `Running: ${far.join(", ")}.`));
    return parts;
  }

  function box(dimension) {
    const rounds = dimension.rounds.slice(-MOST), parts = [];
    rounds.forEach((round, row) => {
      const [low, high] = round.span, y = row * ROW + 3;
      const kind = `box${row === rounds.length - 1 ? " newest" : ""}${round.open ? "" : " closed"}`;
      // a box of one value has no width of its own
      const area = { class: kind, x: percent(low), width: percent(Math.max(high - low, .004)) };
      const words = `${round.name}: ${round.words}`;
      parts.push(drawn("rect", { ...area, y, height: ROW - 6, rx: 2 }, words));
    });
    rounds.forEach((round, row) => {
      for (const [at, rank] of round.dots) {
        const dot = { cx: percent(at), cy: row * ROW + ROW / 2, r: 2 };
        parts.push(drawn("circle", { ...dot, class: "dot", "fill-opacity": .1 + .8 * rank ** 3 }));
      }
    });
    if (dimension.best !== null) {
      const star = drawn("text", { class: "star", x: percent(dimension.best), y: rounds.length * ROW - ROW / 2 });
      star.textContent = "★";
      parts.push(star);
    }
    const newest = rounds[rounds.length - 1];
    const words = `${dimension.name}: the box of each round; of ${newest.name} ${newest.words}`;
    const svg = picture(rounds.length * ROW, words, parts);
    const numbers = rounds.map((round) => round.name.replace("round ", ""));
    return plot(dimension.name, numbers, svg, dimension.ticks);
  }

  function boxes(run) {
    if (!run.boxes.length) return [];
    const about = "A row for each round, the newest one below: its box, and its trials, the " +
      "best ones darkest. The star is the best trial.";
    return [
      element("h2", {}, "Boxes"),
      element("p", { class: "soft" }, about),
      element("div", { class: "grid" }, ...run.boxes.map(box)),
    ];
  }

  function history(run) {
    const { trial, at, words, best: steps, ticks: pairs } = run.history;
    if (!trial.length) return [];
    const end = Math.max(run.trials - 1, 1), across = (t) => percent(t / end);
    const up = (height) => percent(1 - height), parts = [];
    trial.forEach((t, i) => {
      parts.push(drawn("circle", { class: "others", cx: across(t), cy: up(at[i]), r: 2.5 }, words[i]));
    });
    steps.forEach(([t, height], i) => {
      const next = i + 1 < steps.length ? steps[i + 1] : [end, height];
      const level = { class: "line", y1: up(height), x2: across(next[0]) };
      parts.push(drawn("line", { ...level, x1: across(t), y2: up(height) }));
      parts.push(drawn("line", { ...level, x1: across(next[0]), y2: up(next[1]) }));
    });
    const told = run.best ? `, the best ${run.best.score}` : "";
    const svg = picture(220, `Scores of ${trial.length} trials in their order${told}`, parts);
    const sides = [...pairs].reverse().map(([, label]) => label);
    const note = "Each point is a trial; the line is the best so far of those that trained longest.";
    return [
      element("h2", {}, "Scores"),
      element("p", { class: "soft" }, note),
      plot(run.metric, sides, svg, [[0, "trial 0"], [1, `trial ${end}`]]),
    ];
  }

  function front(run) {
    if (!run.front) return [];
    const { x, y, names, front: members, words, count } = run.front, parts = [], order = [];
    x.at.forEach((at, i) => {
      const point = { cx: percent(at), cy: percent(1 - y.at[i]) };
      const kind = members[i] ? { class: "dot", r: 4.5 } : { class: "others", r: 2.5 };
      if (members[i]) order.push(drawn("circle", { ...point, ...kind }, words[i]));
      else parts.push(drawn("circle", { ...point, ...kind }, words[i]));
    });
    const told = `${count} trials are in the front of ${names.join(" and ")}`;
    const svg = picture(260, told, [...parts, ...order]);
    const sides = [...y.ticks].reverse().map(([, label]) => label);
    return [
      element("h2", {}, "Front"),
      element("p", {}, `${told}: no other trial is at least as good in all and better in one.`),
      plot(`${names[1]}, over ${names[0]}`, sides, svg, x.ticks),
    ];
  }

  // Numbers by size and text by letter, missing values last, as in the report.
  function compare(column, sign) {
    return (a, b) => {
      const x = a[column], y = b[column];
      if (x === null || y === null) return (x === null) - (y === null);
      return x === y ? 0 : sign * (x < y ? -1 : 1);
    };
  }

  function text(value) {
    if (value === null) return "–";
    if (typeof value !== "number" || Number.isInteger(value)) return String(value);
    return String(Number(value.toPrecision(5)));
  }

  function trials(run) {
    const { columns, rows } = run.table;
    if (!rows.length) return [];
    const chosen = sorted ? columns.indexOf(sorted.name) : -1;
    const lines = chosen < 0 ? rows : [...rows].sort(compare(chosen, sorted.sign));
    const head = element("tr");
    for (const [i, name] of columns.entries()) {
      const sort = i === chosen ? { "aria-sort": sorted.sign > 0 ? "ascending" : "descending" } : {};
      head.append(element("th", { scope: "col", ...sort },
        element("button", { type: "button", "data-column": name }, name)));
    }
    const body = element("tbody");
    for (const line of lines) {
      body.append(element("tr", {}, ...line.map((value) => element("td", {}, text(value)))));
    }
    const table = element("table", {}, element("thead", {}, head), body);
    return [
      element("h2", {}, `The best ${rows.length} trials`),
      element("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "best trials" }, table),
    ];
  }

  document.getElementById("trials").addEventListener("click", (event) => {
    const name = event.target.dataset.column;
    if (name === undefined) return;
    const sign = sorted && sorted.name === name ? -sorted.sign : 1;
    sorted = { name, sign };
    fill("trials", ...trials(shown));
  });

  function tell(state, words) {
    document.body.className = state;
    fill("state", element("span", { class: "lamp" }), " ", element("span", {}, words));
  }

  function show(run) {
    const begun = run.rounds !== undefined;
    // what was shown stays where a run can no longer be read
    if (begun || run.state === "waiting") shown = run;
    document.title = run.best ? `${run.best.score} · jaxtune` : "jaxtune watch";
    tell(run.state, run.words);
    fill("best", ...(begun || !shown ? best(run) : best(shown)));
    if (!begun) return;
    fill("progress", ...progress(run));
    fill("boxes", ...boxes(run));
    fill("history", ...history(run));
    fill("front", ...front(run));
    fill("trials", ...trials(run));
  }

  // A tab that nobody sees keeps no connection: a browser has few of them for a server.
  function listen() {
    if (stream || document.hidden || (shown && shown.state === "finished")) return;
    stream = new EventSource("events");
    stream.onmessage = (event) => {
      const run = JSON.parse(event.data);
      show(run);
      if (run.state === "finished") hangUp();
    };
    stream.onerror = () => tell("lost", "No connection: jaxtune watch has ended, or is busy. " +
      "What is shown is the last that was known.");
  }

  function hangUp() {
    if (stream) stream.close();
    stream = null;
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? hangUp() : listen()));
  listen();
})();
