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

// Each picture can be saved as it is shown, in the colours that it has then.
const SHARP = 3; // pixels of a file for each of the drawing
const follow = (address, name) => Object.assign(document.createElement("a"), { href: address, download: name }).click();
const asFile = (drawing) => {
  const colours = getComputedStyle(document.documentElement);
  const { width, height } = drawing.viewBox.baseVal;
  const text = new XMLSerializer()
    .serializeToString(drawing)
    .replace(/var\((--[\w-]+)\)/g, (_, name) => colours.getPropertyValue(name).trim())
    .replace("<svg ", `<svg width="${width}" height="${height}" font-family="sans-serif" `);
  return { width, height, address: `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}` };
};
const save = {
  SVG: (file, name) => follow(file.address, `${name}.svg`),
  PNG: (file, name) => {
    const image = new Image();
    image.onload = () => {
      const canvas = Object.assign(document.createElement("canvas"), {
        width: SHARP * file.width,
        height: SHARP * file.height,
      });
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      follow(canvas.toDataURL("image/png"), `${name}.png`);
    };
    image.src = file.address;
  },
};
for (const figure of document.querySelectorAll("figure")) {
  const drawings = [...figure.querySelectorAll("svg")];
  if (!drawings.length) continue;
  const line = Object.assign(document.createElement("p"), { className: "download" });
  for (const kind of Object.keys(save)) {
    const button = Object.assign(document.createElement("button"), { textContent: kind });
    button.setAttribute("aria-label", `Save this picture as ${kind}`);
    button.addEventListener("click", () => save[kind](asFile(drawings.find((one) => one.clientWidth)), figure.id));
    line.append(button);
  }
  figure.append(line);
}
