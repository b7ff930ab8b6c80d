// Show a picture in full on a click or on Enter; Escape or a click closes it. Without
// this script the link opens the file.
const dialog = document.createElement("dialog");
dialog.className = "picture";
document.body.append(dialog);

document.addEventListener("click", (event) => {
  const link = event.target.closest("a.picture");
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const image = link.querySelector("img"), full = new Image();
  full.src = image.currentSrc || image.src; // the light or the dark one
  full.alt = image.alt;
  const close = document.createElement("button");
  close.textContent = "×";
  close.setAttribute("aria-label", "Close");
  dialog.setAttribute("aria-label", image.alt);
  dialog.replaceChildren(close, full);
  dialog.showModal();
});

dialog.addEventListener("click", () => dialog.close());
