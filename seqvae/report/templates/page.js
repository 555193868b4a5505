"use strict";
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const drawn = [];

  // Colours of the page for everything in a figure that is no line.
  function dress(figure) {
    const style = getComputedStyle(document.documentElement);
    const [ink, muted, line, grid] = ["--ink", "--muted", "--line", "--grid"].map((name) => style.getPropertyValue(name).trim());
    for (const axis of [...figure.left, ...figure.below]) {
      axis.axis_label_text_color = ink;
      axis.major_label_text_color = muted;
      axis.axis_line_color = axis.major_tick_line_color = line;
    }
    for (const part of figure.center) {
      if ("grid_line_color" in part) part.grid_line_color = part.dimension === 1 ? grid : null;
      if ("text_color" in part) part.text_color = muted;
      else if ("location" in part && "line_color" in part) part.line_color = muted;
    }
  }

  function connect(element, figure) {
    for (const box of element.querySelectorAll(".legend input")) {
      const show = () => {
        for (const renderer of figure.renderers)
          if (renderer.name && renderer.name.startsWith(box.dataset.prefix)) renderer.visible = box.checked;
      };
      box.addEventListener("change", show);
      show(); // a browser keeps the boxes of a page that is loaded again
    }
    const buttons = [...element.querySelectorAll(".zooms button")];
    for (const button of buttons)
      button.addEventListener("click", () => {
        for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
        figure.x_range.setv({ start: Number(button.dataset.begin), end: Number(button.dataset.end) });
      });
  }

  async function draw(element) {
    const item = JSON.parse(element.querySelector("script.item").textContent);
    const views = await Bokeh.embed.embed_item(item, element.dataset.figure);
    const view = Array.isArray(views) ? views[0] : [...views][0] ?? views.roots[0];
    const figure = view.model;
    dress(figure);
    connect(element, figure);
    drawn.push(figure);
    element.dataset.drawn = "true";
  }

  // Buttons and a slider of frames below a video, where the browser's own would hide it.
  function control(element) {
    const video = element.querySelector("video");
    const player = element.querySelector(".player");
    const [button, slider, output] = player.querySelectorAll("button, input, output");
    const rate = 10; // frames per second
    const frame = () => Math.round(video.currentTime * rate - 0.3);
    const show = () => {
      slider.value = frame();
      output.textContent = `frame ${Math.max(0, frame()) + 1}`;
      button.textContent = video.paused ? "\u25b6" : "\u275a\u275a";
      button.setAttribute("aria-pressed", String(!video.paused));
    };
    const start = () => {
      slider.max = Math.max(1, Math.round(video.duration * rate) - 1);
      video.controls = false;
      player.hidden = false;
      video.currentTime = (Number(element.dataset.still) + 0.3) / rate; // the frame of the picture before it
    };
    if (video.readyState > 0) start();
    else video.addEventListener("loadedmetadata", start);
    for (const event of ["timeupdate", "play", "pause", "seeked"]) video.addEventListener(event, show);
    const toggle = () => (video.paused ? video.play() : video.pause());
    button.addEventListener("click", toggle);
    video.addEventListener("click", toggle);
    slider.addEventListener("input", () => {
      video.pause();
      video.currentTime = (Number(slider.value) + 0.3) / rate;
    });
  }
  document.querySelectorAll("figure.video").forEach(control);

  dark.addEventListener("change", () => drawn.forEach(dress));
  Bokeh.set_log_level("warn");
  const all = [...document.querySelectorAll("[data-figure]")];
  const visible = new IntersectionObserver((entries) => {
    for (const entry of entries)
      if (entry.isIntersecting) {
        visible.unobserve(entry.target);
        draw(entry.target);
      }
  }, { rootMargin: "400px" });
  all.forEach((element) => visible.observe(element));
  addEventListener("beforeprint", () => all.filter((e) => !e.dataset.drawn).forEach(draw));
})();
