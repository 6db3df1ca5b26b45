"use strict";
// Sorting, filtering, tooltips of points, and the choice of light or dark. The page is readable without this script.
// It writes no markup, only textContent.
(() => {
  const all = (query, root = document) => [...root.querySelectorAll(query)];

  // -- sorting: click or Enter on a heading; missing values stay last --------------------------------------------

  const value = (row, head) => {
    const cell = row.cells[head.cellIndex];
    if (head.dataset.sort === "text") return cell.textContent.trim().toLowerCase();
    return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  };

  const compare = (a, b) => {
    if (a === null || b === null) return 0;
    return typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b;
  };

  const sort = (table, head) => {
    const first = head.dataset.first;
    const other = first === "ascending" ? "descending" : "ascending";
    const order = head.getAttribute("aria-sort") === first ? other : first;
    for (const one of all("th[data-sort]", table)) one.setAttribute("aria-sort", one === head ? order : "none");
    const sign = order === "ascending" ? 1 : -1;
    const rows = all("tbody tr", table).map((row) => ({ row, key: value(row, head) }));
    rows.sort((a, b) => (a.key === null) - (b.key === null) || sign * compare(a.key, b.key));
    table.tBodies[0].append(...rows.map(({ row }) => row));
  };

  for (const table of all("table.sortable")) {
    for (const head of all("th[data-sort]", table)) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(table, head));
      head.append(button);
    }
  }

  // -- filtering by words and families -------------------------------------------------------------------------

  for (const form of all("form.filter")) {
    const rows = all("tbody tr", document.getElementById(form.dataset.table));
    const count = form.querySelector("output");
    const filter = () => {
      const words = form.elements.find.value.toLowerCase().split(/\s+/).filter(Boolean);
      const families = new Set(all("input[type=checkbox]:checked", form).map((box) => box.value));
      const any = all("input[type=checkbox]", form).length === 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !((any || families.has(row.dataset.family)) && words.every((word) => text.includes(word)));
      }
      const shown = rows.filter((row) => !row.hidden).length;
      count.textContent = `${shown} of ${rows.length} models`;
    };
    form.addEventListener("input", filter);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.hidden = false;
    filter();
  }

  // -- points: tooltips on hover, touch and focus; arrow keys move between points -------------------------------

  const show = (figure, tip, point) => {
    const frame = figure.getBoundingClientRect();
    const mark = point.getBoundingClientRect();
    tip.textContent = point.getAttribute("aria-label");
    tip.hidden = false;
    const middle = mark.left + mark.width / 2 - frame.left - tip.offsetWidth / 2;
    tip.style.left = `${Math.max(0, Math.min(middle, frame.width - tip.offsetWidth))}px`;
    const above = mark.top - frame.top - tip.offsetHeight - 6;
    tip.style.top = `${above >= 0 ? above : mark.bottom - frame.top + 6}px`;
  };

  const walk = (points, event) => {
    const at = points.indexOf(event.target.closest(".point"));
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: points.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    const next = points[Math.max(0, Math.min(to, points.length - 1))];
    points[at].setAttribute("tabindex", -1);
    next.setAttribute("tabindex", 0);
    next.focus();
  };

  for (const chart of all("svg.chart")) {
    const points = all(".point", chart);
    if (!points.length) continue;
    const figure = chart.closest("figure");
    const tip = document.createElement("div");
    tip.className = "tip";
    tip.hidden = true;
    tip.setAttribute("aria-hidden", "true");
    figure.append(tip);
    const hide = () => (tip.hidden = true);
    for (const point of points) {
      point.querySelector("title").remove();
      point.addEventListener("pointerenter", () => show(figure, tip, point));
      point.addEventListener("focus", () => show(figure, tip, point));
      point.addEventListener("pointerleave", hide);
      point.addEventListener("blur", hide);
    }
    chart.addEventListener("keydown", (event) => (event.key === "Escape" ? hide() : walk(points, event)));
  }

  // -- print: unfold everything, and restore it afterwards -------------------------------------------------------

  let unfolded = [];
  addEventListener("beforeprint", () => {
    unfolded = all("details:not([open])");
    for (const one of unfolded) one.open = true;
  });
  addEventListener("afterprint", () => {
    for (const one of unfolded) one.open = false;
  });

  // -- light or dark: the system's setting until the button is pressed ------------------------------------------

  for (const button of all("button.theme")) {
    const root = document.documentElement;
    const dark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
    const name = () => (button.textContent = dark() ? "Light page" : "Dark page");
    button.addEventListener("click", () => {
      root.dataset.theme = dark() ? "light" : "dark";
      name();
    });
    button.hidden = false;
    name();
  }
})();
