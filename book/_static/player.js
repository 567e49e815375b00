// Turns the still picture before each .player into one that moves: samples on their way from noise to data, in the plane of the data.
// The paths are outputs of a chapter's cell (window.jitPaths); without scripts, and on paper, the picture stays.
(() => {
  const make = (tag, attributes = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), attributes);
    element.append(...children);
    return element;
  };

  const slider = (label, max, step) => {
    const input = make("input", { type: "range", min: 0, max, step, value: max });
    const output = make("output");
    return { input, output, row: make("label", {}, make("span", { textContent: label }), input, output) };
  };

  const start = (box) => {
    const data = window.jitPaths?.[box.dataset.key];
    if (!data) return box.remove();  // the picture comes back
    const { dims, frame, limit } = data;
    const points = (text) => Int8Array.from(atob(text), (c) => c.charCodeAt(0));
    const paths = Object.fromEntries(Object.entries(data.paths).map(([key, path]) => [key, { ...path, points: points(path.points) }]));
    const panels = data.panels.map(({ name, label, color }) => {
      const canvas = make("canvas", { width: 360, height: 360 });
      canvas.setAttribute("role", "img");
      const title = make("strong", { textContent: label.replaceAll("-", "\u2011") });  // a hyphen that does not break
      const note = make("span");
      return { name, color, canvas, note, figure: make("div", { className: "player-panel" }, title, canvas, note), title };
    });
    const time = slider("time t", 1, 0.01);
    const dimension = slider("dimension D", dims.length - 1, 1);
    const play = make("button", { type: "button", textContent: "Play" });

    const draw = () => {
      const t = Number(time.input.value), D = dims[dimension.input.value];
      time.output.textContent = t.toFixed(2);
      dimension.output.textContent = D;
      for (const { name, color, canvas, note, title } of panels) {
        const { times, points, off } = paths[`${D} ${name}`];
        const n = points.length / times.length / 2;
        let k = 0;
        while (k < times.length - 2 && times[k + 1] <= t) k += 1;
        const part = Math.min(1, Math.max(0, (t - times[k]) / (times[k + 1] - times[k])));
        const at = (i) => ((1 - part) * points[2 * n * k + i] + part * points[2 * n * (k + 1) + i]) / 127 * limit;
        const pen = canvas.getContext("2d");
        pen.fillStyle = "#fff";
        pen.fillRect(0, 0, canvas.width, canvas.height);
        pen.fillStyle = color;
        let outside = 0;
        for (let i = 0; i < 2 * n; i += 2) {
          const [x, y] = [at(i), at(i + 1)];
          if (Math.max(Math.abs(x), Math.abs(y)) > frame) outside += 1;
          else {
            pen.beginPath();
            pen.arc((x / frame + 1) / 2 * canvas.width, (1 - y / frame) / 2 * canvas.height, 2.6, 0, 7);
            pen.fill();
          }
        }
        const distance = (1 - part) * off[k] + part * off[k + 1];
        note.textContent = `${D > 2 ? `off the plane ${distance < 1 ? distance.toFixed(2) : distance.toFixed(1)}, ` : ""}outside ${Math.round(100 * outside / n)} %`;
        canvas.setAttribute("aria-label", `${title.textContent}, D = ${D}, t = ${t.toFixed(2)}: ${note.textContent}`);
      }
    };

    let timer = null;
    const stop = () => { clearInterval(timer); timer = null; play.textContent = "Play"; };
    play.addEventListener("click", () => {
      if (timer) return stop();
      if (time.input.value >= 1) time.input.value = 0;
      play.textContent = "Pause";
      timer = setInterval(() => {
        time.input.value = Number(time.input.value) + 0.01;
        draw();
        if (time.input.value >= 1) stop();
      }, 40);
    });
    time.input.addEventListener("input", () => { stop(); draw(); });
    dimension.input.addEventListener("input", draw);

    box.append(make("div", { className: "player-panels" }, ...panels.map((panel) => panel.figure)), make("div", { className: "player-controls" }, play, time.row, dimension.row));
    box.hidden = false;
    draw();
  };

  document.addEventListener("DOMContentLoaded", () => document.querySelectorAll(".player").forEach(start));
})();
