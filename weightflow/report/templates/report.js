// Tables are sorted by a press on the head of a column; a second press turns the order round.
for (const table of document.querySelectorAll("table.sortable")) {
  table.querySelectorAll("thead th").forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      const value = (row) => {
        const cell = row.cells[column];
        const text = (cell.querySelector(".best") ?? cell).firstChild?.textContent.trim() ?? "";
        const number = Number.parseFloat(text.replaceAll(",", ""));
        return Number.isNaN(number) ? text : number;
      };
      const order = (a, b) => {
        const [x, y] = [value(a), value(b)];
        if (typeof x === typeof y) return (x < y ? -1 : x > y ? 1 : 0) * (up ? 1 : -1);
        return typeof x === "number" ? -1 : 1; // what has no number stays below
      };
      const rows = [...table.tBodies[0].rows].sort(order);
      table.tBodies[0].append(...rows);
      for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
    });
  });
}
