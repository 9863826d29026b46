"use strict";
// Sorts the rows of tables and switches between protocols and scores; the content is in the page.

// The title of a cell is its exact number; a cell without a digit has no value. Heads of rows are sorted as words.
function valueOf(cell) {
  const words = cell.title || cell.textContent;
  if (cell.matches("th")) return words;
  if (!/\d/.test(words)) return null;
  return Number.isNaN(Number(words)) ? words : Number(words);
}

function sortRows(table, place, ascending) {
  const sign = ascending ? 1 : -1;
  const rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => {
    const [x, y] = [valueOf(a.cells[place]), valueOf(b.cells[place])];
    if (x === null || y === null) return (x === null) - (y === null);  // cells without a value come last either way
    if (typeof x === "number" && typeof y === "number") return sign * (x - y);
    return sign * String(x).localeCompare(String(y), "en", { numeric: true });
  });
  table.tBodies[0].append(...rows);
  [...table.tHead.rows[0].cells].forEach((head, number) => {
    if (number === place) head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    else head.removeAttribute("aria-sort");
  });
}

// The same table of other protocols and scores is sorted alike, where it has such a column.
document.addEventListener("click", (event) => {
  const head = event.target.closest("thead th");
  if (!head) return;
  const table = head.closest("table");
  const ascending = head.ariaSort ? head.ariaSort !== "ascending" : !head.classList.contains("number");
  for (const other of head.closest("section").querySelectorAll(`table.${table.className}`)) {
    const heads = [...other.tHead.rows[0].cells];
    const same = heads[head.cellIndex]?.textContent === head.textContent;
    const place = same ? head.cellIndex : heads.findIndex((each) => each.textContent === head.textContent);
    if (place >= 0) sortRows(other, place, ascending);
  }
});

function show(select) {
  const what = select.dataset.switches;
  const parts = select.closest(what === "score" ? "[data-protocol]" : "section").querySelectorAll(`[data-${what}]`);
  for (const part of parts) part.hidden = part.dataset[what] !== select.value;
}
for (const select of document.querySelectorAll("select")) {
  select.addEventListener("change", () => show(select));
  show(select);  // a browser may remember the choice of a page that is opened again
}

window.addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details")) part.open = true;
});
