for (const section of document.querySelectorAll(".expressions > section")) {
  const show = (id, from) => {
    for (const each of section.querySelectorAll("[data-id]")) {
      each.classList.toggle("shown", each.dataset.id === id);
    }
    const other = from === "rect" ? `tr[data-id="${id}"]` : "figure";
    section.querySelector(other)?.scrollIntoView({ block: "nearest", behavior: "smooth" });
  };
  for (const each of section.querySelectorAll("[data-id]")) {
    each.addEventListener("click", () => show(each.dataset.id, each.tagName));
    each.addEventListener("keydown", (event) => {
      if (event.key === "Enter") show(each.dataset.id, each.tagName);
    });
  }
  for (const table of section.querySelectorAll("table.sortable")) {
    const headings = [...table.querySelectorAll("th")];
    headings.forEach((heading, column) => heading.addEventListener("click", () => {
      const order = heading.dataset.order === "down" ? "up" : "down";
      headings.forEach((each) => delete each.dataset.order);
      heading.dataset.order = order;
      const key = (row) => Number(row.cells[column].dataset.key) * (order === "up" ? 1 : -1);
      const rows = [...table.querySelectorAll("tr[data-id]")].sort((a, b) => key(a) - key(b));
      rows.forEach((row) => row.parentNode.append(row));
    }));
  }
}
