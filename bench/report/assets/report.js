// Draws every chart of the page from the data beside it, again when the page's width changes.
"use strict";
(() => {
  const { Plot, d3 } = window;
  const NARROWEST = 300;
  const WIDEST = 960;
  const colour = (unit) => ({ hash: "var(--hash)", token: "var(--token)" })[unit] ?? "var(--other)";
  const known = (value) => value !== null && value !== undefined;
  const of = (unit) => (unit === "1" || unit === "" ? "" : ` ${unit}`);
  const three = d3.format(".3~s");
  const plain = (value) => (Math.abs(value) >= 1e-3 && Math.abs(value) < 1e7
    ? d3.format(",.3~r")(value) : d3.format(".2~e")(value));
  const shorten = (text, width) => {
    const most = Math.max(12, Math.floor(width / 6.6));
    return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
  };

  const traceMarks = (data) => {
    const peak = d3.max(data.points, (d) => d.power) || 1;
    const isBlock = (d) => d.phase === "block";
    const paint = (d) => (isBlock(d) ? colour(data.units[d.workload]) : "var(--other)");
    const says = (d) => [d.phase, d.workload, `${d.start} to ${d.end} s`].filter(known).join(", ");
    const near = { x: "t", y: "power" };
    return [
      Plot.rect(data.spans, {
        x1: "start", x2: "end", y1: 0, y2: 1.06 * peak, fill: paint, title: says,
        fillOpacity: (d) => (isBlock(d) ? 0.22 : 0.07), className: "mark-spans",
      }),
      Plot.line(data.points, { ...near, stroke: "var(--ink)", strokeWidth: 1, className: "mark-points" }),
      Plot.rect(data.throttles ?? [], {
        x1: "start", x2: "end", y1: 1.08 * peak, y2: 1.13 * peak, fill: "var(--bad)",
        stroke: "var(--bad)", className: "mark-throttles",
        title: (d) => `held back by ${d.cause}, ${d.start} to ${d.end} s`,
      }),
      Plot.ruleY([0]),
      Plot.tip(data.points, Plot.pointerX({
        ...near, fill: "var(--paper)", title: (d) => `${d.t} s\n${d.power} W`,
      })),
    ];
  };

  const trace = (data) => ({
    height: 330, marginLeft: 50, marginBottom: 42, x: { label: "seconds", labelOffset: 38 }, y: { label: "watts", grid: true },
    marks: traceMarks(data),
  });

  const blocks = (data) => {
    const rows = data.rows.filter((d) => known(d.each));
    const { mid, lo, hi } = data.interval;
    return {
      height: 250, marginLeft: 64, marginBottom: 42, x: { label: "block", labelOffset: 38, ticks: d3.range(1, rows.length + 1), tickFormat: "d" },
      y: { label: data.unit, grid: true, inset: 12, tickFormat: (d) => d3.format(".5~r")(d) },
      marks: [
        Plot.rect([0], {
          x1: 0.5, x2: data.rows.length + 0.5, y1: lo, y2: hi, fill: colour(data.of),
          fillOpacity: 0.18, className: "mark-interval",
        }),
        Plot.ruleY([mid], { stroke: colour(data.of), className: "mark-middle" }),
        Plot.dot(rows, {
          x: "block", y: "each", r: 5, fill: colour(data.of), className: "mark-rows",
          title: (d) => `block ${d.block}: ${d.each} ${data.unit}`,
        }),
      ],
    };
  };

  // A row a name above its mark, so that long names need no margin.
  const named = (rows, name, width) => Plot.text(rows, {
    frameAnchor: "left", y: (d, i) => i, dx: 4, dy: -13, textAnchor: "start", fill: "var(--ink)",
    stroke: "var(--paper)", strokeWidth: 4,
    text: (d) => shorten(name(d), width), className: "mark-names",
  });
  const down = (count) => ({
    height: count * 36 + 62, marginLeft: 24, marginRight: 24, marginTop: 12, marginBottom: 38,
    y: { axis: null, domain: [count - 0.45, -0.85] },
  });

  const rangeMarks = (data, rows, width) => {
    const spread = rows.filter((d) => known(d[data.low]));
    const place = new Map(rows.map((d, i) => [d, i]));
    const y = (d) => place.get(d);
    const price = spread.length < rows.length ? rows.filter((d) => !known(d[data.low])) : [];
    const shade = (d) => ("runs" in d && !d.runs ? "var(--other)" : "var(--token)");
    const says = (d) => `${d[data.name]}: ${plain(d[data.mid])}`;
    return [
      Plot.ruleX(price, { x: data.mid, stroke: "var(--bad)", strokeDasharray: "4 3" }),
      Plot.link(spread, {
        x1: data.low, x2: data.high, y1: y, y2: y, stroke: shade, strokeWidth: 4,
        strokeOpacity: 0.45, className: "mark-ranges",
      }),
      Plot.dot(rows, {
        x: data.mid, y, r: 5, fill: (d) => (price.includes(d) ? "var(--bad)" : shade(d)),
        title: says, className: "mark-rows",
      }),
      named(rows, says, width),
    ];
  };

  const ranges = (data, width) => {
    const rows = data.rows.filter((d) => known(d[data.mid]));
    const all = rows.flatMap((d) => [d[data.mid], d[data.low], d[data.high]].filter(known));
    const type = all.every((value) => value > 0) ? "log" : "linear";
    const rule = known(data.rule) ? [data.rule] : [];
    return {
      ...down(rows.length), x: { type, label: data.unit, grid: true, nice: true, tickFormat: plain, ticks: width < 600 ? 4 : 8 },
      marks: [
        Plot.ruleX(rule, { stroke: "var(--bad)", strokeDasharray: "4 3", className: "mark-rule" }),
        Plot.text(rule, {
          x: (d) => d, frameAnchor: "bottom", dy: -4, dx: 5, textAnchor: "start", fill: "var(--bad)",
          text: (d) => `${data.rule_says} ${plain(d)}`,
        }),
        ...rangeMarks(data, rows, width),
      ],
    };
  };

  const times = (value) => (value >= 1 ? `×${three(value)}` : `÷${three(1 / value)}`);
  const factors = (data, width) => {
    const rows = data.rows.filter((d) => known(d.away));
    const says = (d) => `${times(d.away)}  ${d.winner} over ${d.loser} once ${d.what} is ${d.direction} `
      + plain(d.at) + of(d.unit);
    return {
      ...down(rows.length), x: { type: "log", label: "times today's value", grid: true, nice: true, tickFormat: times, ticks: width < 600 ? 4 : 8 },
      marks: [
        Plot.ruleX([1], { stroke: "var(--ink)" }),
        Plot.link(rows, {
          x1: 1, x2: "away", y1: (d, i) => i, y2: (d, i) => i, stroke: "var(--roof)",
          strokeWidth: 3, strokeOpacity: 0.45,
        }),
        Plot.dot(rows, { x: "away", y: (d, i) => i, r: 5, fill: "var(--roof)", title: says, className: "mark-rows" }),
        named(rows, says, width),
      ],
    };
  };

  const tornado = (data, width) => {
    const y = (d, i) => i;
    const says = (d) => `${d.what}, ${plain(d.low)} to ${plain(d.high)}${of(d.unit)}: `
      + `${plain(d.at_low)} to ${plain(d.at_high)}`;
    return {
      ...down(data.rows.length), x: { label: data.unit, grid: true, nice: true },
      marks: [
        Plot.ruleX([0], { stroke: "var(--ink)" }),
        Plot.link(data.rows, {
          x1: "at_low", x2: "at_high", y1: y, y2: y, stroke: "var(--token)", strokeWidth: 8,
          strokeOpacity: 0.5, className: "mark-rows", title: says,
        }),
        Plot.dot(data.rows, { x: "at_low", y, r: 5, fill: "var(--paper)", stroke: "var(--token)", strokeWidth: 2 }),
        Plot.dot(data.rows, { x: "at_high", y, r: 5, fill: "var(--token)" }),
        named(data.rows, says, width),
      ],
    };
  };

  const bars = (data, width) => {
    const rows = data.rows.filter((d) => known(d.share));
    const says = (d) => `${d.name}: ${plain(d.share)} %`;
    const most = d3.max(rows, (d) => d.share) || 1;
    return {
      ...down(rows.length), x: { label: data.unit, grid: true, domain: [0, Math.max(most, data.full ?? 0)] },
      marks: [
        Plot.link(rows, {
          x1: 0, x2: "share", y1: (d, i) => i, y2: (d, i) => i, strokeWidth: 10, strokeLinecap: "butt",
          stroke: (d) => (data.of ? colour(data.of) : d.name.includes("hash") ? "var(--hash)" : "var(--token)"),
          title: says, className: "mark-rows",
        }),
        Plot.ruleX([0], { stroke: "var(--ink)" }),
        named(rows, says, width),
      ],
    };
  };

  const roof = (row) => {
    const ridge = row.peak / row.bandwidth;
    const ends = [Math.min(row.intensity, ridge) / 8, ridge, Math.max(row.intensity, ridge) * 8];
    return ends.map((x) => ({ x, y: Math.min(x * row.bandwidth, row.peak), name: row.name }));
  };
  const roofline = (data) => {
    const rows = data.rows.filter((d) => known(d.intensity));
    return {
      height: 340, marginLeft: 60, marginRight: 20, marginBottom: 42,
      x: { type: "log", label: "FLOP a byte read", labelOffset: 38, grid: true, tickFormat: plain, ticks: 6 },
      y: { type: "log", label: "FLOP/s", grid: true, inset: 14, tickFormat: "~s" },
      marks: [
        Plot.line(rows.flatMap(roof), { x: "x", y: "y", z: "name", stroke: "var(--roof)", strokeWidth: 2 }),
        Plot.dot(rows, { x: "intensity", y: "flops", r: 6, fill: colour(data.of), className: "mark-rows" }),
        Plot.text(rows, {
          x: "intensity", y: "flops", dy: -16, fill: "var(--ink)", stroke: "var(--paper)", strokeWidth: 3,
          text: (d) => `${d.name} peaks: ${plain(d.share)} % of the roof`,
        }),
      ],
    };
  };

  const KINDS = { trace, blocks, ranges, factors, tornado, bars, roofline };

  const key = (data) => {
    if (data.kind !== "trace") return null;
    const list = document.createElement("ul");
    list.className = "key";
    const entries = [...Object.entries(data.units).map(([name, unit]) => [`${name}, measured blocks`, unit]),
      ["other phases", "other"]];
    if (data.throttles?.length) entries.push(["held back (throttled)", "bad"]);
    for (const [text, kind] of entries) {
      const item = document.createElement("li");
      const swatch = document.createElement("span");
      swatch.className = `swatch ${kind}`;
      item.append(swatch, text);
      list.append(item);
    }
    return list;
  };

  const draw = (figure) => {
    const place = figure.querySelector(".plot");
    const width = Math.max(NARROWEST, Math.min(WIDEST, place.clientWidth || WIDEST));
    if (Number(place.dataset.width) === width) return;
    const data = JSON.parse(figure.querySelector('script[type="application/json"]').textContent);
    const chart = Plot.plot({
      ...KINDS[data.kind](data, width), width, ariaLabel: place.dataset.title,
      ariaDescription: place.dataset.about,
    });
    for (const style of chart.querySelectorAll("style")) style.remove();
    chart.setAttribute("role", "img");
    for (const part of chart.querySelectorAll("[aria-label]")) part.removeAttribute("aria-label");
    const legend = key(data);
    place.replaceChildren(...(legend ? [legend] : []), chart);
    place.dataset.width = width;
  };

  const watcher = new ResizeObserver((changes) => {
    for (const change of changes) draw(change.target.closest("figure"));
  });
  for (const figure of document.querySelectorAll("figure.chart")) {
    draw(figure);
    watcher.observe(figure.querySelector(".plot"));
  }
})();
