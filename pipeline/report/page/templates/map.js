"use strict";
(() => {
  const points = JSON.parse(document.getElementById("points").textContent);
  const canvas = document.getElementById("canvas");
  const card = document.getElementById("card");
  const ring = document.getElementById("ring");
  const [image, grey] = [card.querySelector("img"), card.querySelector(".grey")];
  const [name, label] = [card.querySelector(".name"), card.querySelector(".label")];
  const svg = canvas.querySelector("svg");
  const order = points.x.map((_, i) => i).sort((a, b) => points.x[a] - points.x[b] || points.y[a] - points.y[b]);
  const chosen = new Set();
  let shown = -1;

  const isVisible = (i) => chosen.size === 0 || chosen.has(points.group[i]);

  function show(i) {
    if (i === shown) return;
    shown = i;
    card.hidden = i < 0;
    ring.setAttribute("cx", i < 0 ? -50 : points.x[i]);
    ring.setAttribute("cy", i < 0 ? -50 : points.y[i]);
    if (i < 0) return;
    const picture = points.picture[i];
    image.hidden = picture < 0;
    if (picture >= 0) image.src = points.pictures[picture];
    image.alt = picture < 0 ? "" : points.name[i];
    grey.hidden = picture >= 0 || !points.reason[i];
    grey.textContent = points.reason[i];
    name.textContent = points.name[i];
    label.textContent = points.label[i];
    place(i);
  }

  function place(i) {
    const scale = svg.clientWidth / 1000;
    const [x, y] = [points.x[i] * scale, points.y[i] * scale];
    const [width, height] = [card.offsetWidth, card.offsetHeight];
    const left = Math.min(Math.max(0, x - width / 2), canvas.clientWidth - width);
    card.style.left = `${left}px`;
    card.style.top = `${y - height - 16 > 0 ? y - height - 16 : y + 16}px`;
  }

  function nearest(event) {
    const box = svg.getBoundingClientRect();
    const scale = 1000 / box.width;
    const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    const reach = 30 * Math.max(1, scale);
    let [best, distance] = [-1, reach * reach];
    for (let i = 0; i < points.x.length; i++) {
      const d = (points.x[i] - x) ** 2 + (points.y[i] - y) ** 2;
      if (d < distance && isVisible(i)) [best, distance] = [i, d];
    }
    return best;
  }

  function step(by) {
    const visible = order.filter(isVisible);
    const at = visible.indexOf(shown);
    show(visible[(at + by + visible.length) % visible.length]);
  }

  canvas.addEventListener("pointermove", (event) => show(nearest(event)));
  canvas.addEventListener("pointerdown", (event) => show(nearest(event)));
  canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && show(-1));
  canvas.addEventListener("blur", () => show(-1));
  canvas.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") show(-1);
    if (by) { event.preventDefault(); step(by); }
  });

  for (const button of document.querySelectorAll(".legend button")) {
    button.addEventListener("click", () => {
      const group = Number(button.dataset.group);
      if (!chosen.delete(group)) chosen.add(group);
      button.setAttribute("aria-pressed", chosen.has(group));
      for (const mark of canvas.querySelectorAll(".mark"))
        mark.classList.toggle("dim", chosen.size > 0 && !chosen.has(Number(mark.dataset.group)));
      show(-1);
    });
  }
})();
