"use strict";
// What every page has: columns of numbers that line up, tables that scroll by keyboard,
// and buttons that copy texts.
const page = (() => {
  // textContent, never innerHTML: names and values are the user's own strings
  function element(tag, words, parent) {
    const node = document.createElement(tag);
    if (words !== undefined) node.textContent = words;
    if (parent) parent.append(node);
    return node;
  }

  // Unseen digits after shorter numbers put the points of a column below each other.
  function alignPoints(table) {
    const lines = [...table.tBodies[0].rows], width = lines[0]?.cells.length ?? 0;
    for (let i = 1; i < width; i++) {
      const numbers = lines.map((line) => line.cells[i])
        .filter((cell) => /^-?\d+(\.\d+)?$/.test(cell.textContent));
      const tails = numbers.map((cell) => cell.textContent.replace(/^-?\d+/, "").length);
      const most = Math.max(...tails);
      numbers.forEach((cell, k) => {
        const unseen = "0".repeat(most - tails[k]);
        if (unseen) cell.dataset.unseen = tails[k] ? unseen : unseen.replace("0", ".");
      });
    }
  }

  // What scrolls can be reached by a keyboard, and what does not is passed over.
  function offerScrolling() {
    for (const box of document.querySelectorAll(".wide")) {
      const scrolls = box.scrollWidth > box.clientWidth;
      const label = box.querySelector("caption")?.textContent ?? "table";
      const given = { tabindex: 0, role: "region", "aria-label": `${label}, scrolls` };
      for (const [name, value] of Object.entries(given)) {
        if (scrolls) box.setAttribute(name, value);
        else box.removeAttribute(name);
      }
    }
  }

  function offerCopy(text) {
    const bar = document.createElement("p");
    const button = element("button", "Copy", bar), told = element("span", "", bar);
    const subject = text.closest("section")?.querySelector("h2").textContent;
    bar.className = "copy";
    button.type = "button";
    button.ariaLabel = `Copy: ${text.ariaLabel ?? subject ?? "text"}`;
    told.setAttribute("role", "status");
    button.addEventListener("click", async () => {
      told.textContent = (await copied(text)) ? "Copied" : "Selected: press Ctrl+C";
      setTimeout(() => { told.textContent = ""; }, 4000);
    });
    text.before(bar);
  }

  // Return whether a text is on the clipboard; if not, it is selected.
  async function copied(text) {
    try {
      await navigator.clipboard.writeText(text.textContent);
      return true;
    } catch {  // not allowed, or, in a page from a plain server, not there
      getSelection().selectAllChildren(text);
      return document.execCommand("copy");
    }
  }

  document.querySelectorAll("pre").forEach(offerCopy);
  // where rows are of different things, such as hyperparameters, there is nothing to
  // compare down a column
  document.querySelectorAll("table:not(:has(tbody th.words))").forEach(alignPoints);
  window.addEventListener("resize", offerScrolling);
  offerScrolling();
  return { element, alignPoints, offerScrolling };
})();
