"use strict";
// Values under the pointer, or stepwise with the arrow keys. Without this script the page lacks nothing else.
(() => {
  const tip = document.getElementById("tip");
  const cell = (row, text) => { row.insertCell().textContent = text; };

  function show(svg, data, index) {
    const left = +svg.dataset.left, right = +svg.dataset.right, view = svg.viewBox.baseVal;
    const box = svg.getBoundingClientRect(), scale = box.width / view.width;
    const x = left + data.at[index] * (right - left);
    const cursor = svg.querySelector(".cursor");
    cursor.setAttribute("transform", `translate(${x})`);
    cursor.setAttribute("visibility", "visible");
    const head = document.createElement("b"), table = document.createElement("table");
    head.textContent = data.titles[index];
    data.names.forEach(([name, kind], number) => {
      const row = table.insertRow(), key = document.createElement("i");
      key.className = "key " + kind;
      row.insertCell().append(key);
      cell(row, name);
      cell(row, data.values[number][index]);
    });
    tip.replaceChildren(head, table);
    tip.hidden = false;
    const place = box.left + x * scale, room = document.documentElement.clientWidth;
    const beside = place + 14 + tip.offsetWidth > room ? place - 14 - tip.offsetWidth : place + 14;
    tip.style.left = Math.max(4, beside) + scrollX + "px";
    tip.style.top = box.top + scrollY + 24 + "px";
    svg.dataset.index = index;
  }

  function hide(svg) {
    tip.hidden = true;
    svg.querySelector(".cursor").setAttribute("visibility", "hidden");
  }

  document.querySelectorAll(".drawing").forEach((drawing) => {
    const data = JSON.parse(drawing.querySelector("script").textContent);
    if (!data.at.length) return;
    drawing.querySelectorAll("svg").forEach((svg) => {
      const near = (event) => {
        const box = svg.getBoundingClientRect(), scale = box.width / svg.viewBox.baseVal.width;
        const left = +svg.dataset.left, right = +svg.dataset.right;
        const share = ((event.clientX - box.left) / scale - left) / (right - left);
        let low = 0, high = data.at.length - 1;
        while (low < high) {
          const middle = (low + high) >> 1;
          if (data.at[middle] < share) low = middle + 1; else high = middle;
        }
        return low && share - data.at[low - 1] < data.at[low] - share ? low - 1 : low;
      };
      svg.addEventListener("pointermove", (event) => show(svg, data, near(event)));
      svg.addEventListener("pointerleave", () => hide(svg));
      svg.addEventListener("blur", () => hide(svg));
      svg.addEventListener("keydown", (event) => {
        const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
        if (event.key === "Escape") hide(svg);
        if (!step) return;
        event.preventDefault();
        const index = Math.min(Math.max((+svg.dataset.index || 0) + step, 0), data.at.length - 1);
        show(svg, data, index);
      });
    });
  });
})();
