// What the style sheet cannot see: which tables hold sentences, and which pictures are wide or on white.
document.addEventListener("DOMContentLoaded", () => {
  for (const table of document.querySelectorAll("article table.docutils")) {
    const columns = [...table.querySelectorAll("thead th")].map((cell) => cell.textContent.trim());
    const cells = [...table.querySelectorAll("tbody td")];
    const short = (cell) => cell.textContent.trim().length < 12;
    if (columns.length < 2 || cells.filter(short).length > 0.6 * cells.length) continue;
    if (columns.length === 2 && cells.every((cell) => cell.cellIndex === 0 || short(cell))) continue;
    table.classList.add("sentences");
    for (const cell of cells) {
      cell.dataset.column = columns[cell.cellIndex] ?? "";
      cell.classList.toggle("empty", cell.textContent.trim() === "");
    }
  }
  for (const image of document.querySelectorAll("article img")) {
    const name = image.getAttribute("src");
    if (image.closest(".sphx-glr-thumbcontainer")) continue;
    const themed = image.matches(".only-light, .only-dark");
    image.classList.add(themed ? "drawing" : "on-white");
    if (image.closest("a")) continue;
    const link = document.createElement("a");
    link.href = name;
    link.className = "whole-picture";
    image.replaceWith(link);
    link.append(image);
    const measure = () => {
      image.style.setProperty("--own-width", `${image.naturalWidth}px`);
      link.classList.toggle("wide", !themed && image.naturalWidth > 1.5 * image.naturalHeight);
    };
    if (image.complete) measure();
    else image.addEventListener("load", measure);
  }
});
