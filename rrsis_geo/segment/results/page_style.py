"""Style sheet and script of the report page."""

from typing import Final

CSS: Final = """
:root { color-scheme: light dark; --line: #8884; --soft: #888; --mark: #ffe14d }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem }
body:has(.contents) { max-width: 1800px }
h1 { margin: 0; font-size: 1.7rem } h2 { margin: 2rem 0 .5rem; font-size: 1.15rem }
.sum { margin: .2rem 0 1rem } .note, .facts th { color: var(--soft) } .note { font-size: .85rem }
.expressions { display: grid; gap: 0 2rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 520px), 1fr)) }
.expressions > section { min-width: 0 }
figure { position: relative; margin: 0 } figure svg { position: absolute; inset: 0 }
img { width: 100%; height: auto; border-radius: 6px; display: block }
rect { fill: transparent; stroke: none; cursor: pointer }
rect.shown { stroke: var(--mark); stroke-width: 5; paint-order: stroke }
.wide { overflow-x: auto } table { border-collapse: collapse }
th, td { padding: .22rem .9rem .22rem 0; text-align: left; vertical-align: top }
:is(th, td):last-child { padding-right: .2rem }
td { overflow-wrap: anywhere } tr { border-bottom: 1px solid var(--line) }
.objects { width: 100%; font-variant-numeric: tabular-nums }
.objects th, .objects td { text-align: right; white-space: nowrap }
.sortable th, .sortable tr[data-id] { cursor: pointer }
.sortable tr.shown { background: #ffe14d55 } .sortable th[data-order]::after { content: " \\25be" }
.sortable th[data-order=up]::after { content: " \\25b4" }
.contents :is(th, td):first-child { text-align: left; white-space: normal } a { color: inherit }
.facts th { font-weight: normal; white-space: nowrap }
.warnings { border-left: 4px solid #e0a000; padding: .1rem 1rem; margin: 1rem 0 }
.warnings h2 { margin: .4rem 0 0 } .warnings ul { margin: .3rem 0; padding-left: 1.2rem }
pre { white-space: pre-wrap; padding: .8rem; border: 1px solid var(--line); border-radius: 6px }
@media (max-width: 560px) {
  body { padding: 0 .6rem } .objects { font-size: 12px } .facts th { white-space: normal }
  th, td { padding-right: .5rem } .sortable :is(th, td):nth-child(4) { display: none }
}
"""

SCRIPT: Final = """
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
"""
