// Lines over time: how high the chain is, what peers are thought of, what was decided.

const x = (area, bin) => area.x(endOf(bin));

function path(area, values, y) {
  let text = '', pen = false;
  values.forEach((value, bin) => {
    if (value === null) return (pen = false);
    text += `${pen ? 'L' : 'M'}${x(area, bin).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = true;
  });
  return text;
}

function yTicks(area, layer, values, y, label = String) {
  for (const value of values) {
    layer.append(drawn('line', { class: 'grid', x1: area.left, x2: area.right, y1: y(value), y2: y(value) }));
    layer.append(drawn('text', { class: 'tick', x: area.left - 8, y: y(value) + 4, 'text-anchor': 'end' }, label(value)));
  }
}

// Labels at the ends of lines, moved apart where they would lie on each other.
function endLabels(area, layer, labels) {
  if (!area.labels) return;
  let free = area.top - 20;
  for (const { y, text, name } of [...labels].sort((a, b) => a.y - b.y)) {
    free = Math.max(y + 4, free + 13);
    const short = text.length > 14 ? `\u2026${text.slice(-10)}` : text; // ids differ at their ends
    layer.append(drawn('text', { class: `end-label ${name}`, x: area.right + 8, y: free }, short));
  }
}

const finite = (values) => values.filter((value) => value !== null);
const dot = (layer, name, cx, cy) => layer.append(drawn('circle', { class: `dot ${name}`, cx, cy, r: 3.5 }));

// What most, the median and least of the nodes have: a band with its middle, and a line above it if there is one.
function rangePlot({ id, height, hint, range, above, names, read }) {
  const { most, median, least } = range;
  const alone = data.behind.length < 2;
  const lines = [{ name: 'median', values: median, text: alone ? names.alone : names.median }];
  if (!alone) lines.unshift({ name: 'slowest', values: least, text: names.least });
  if (above) lines.unshift({ name: 'best', values: above, text: alone ? names.aboveAlone : names.above });
  const all = lines.concat({ values: most }).flatMap(({ values }) => values);
  const high = Math.max(...all, 1);
  const known = all.filter((value) => value > 0);
  // A chain that did not begin at its first block needs no room for the ones before.
  const low = above && known.length && Math.min(...known) > 100 ? Math.min(...known) : 0;
  const y = (area) => (value) => area.bottom - ((Math.max(value, low) - low) / Math.max(high - low, 1)) * (area.bottom - area.top);
  timePlot({
    id,
    height,
    hint,
    draw(area, layer) {
      const up = y(area);
      yTicks(area, layer, ticks(low, high, height / 40).filter(Number.isInteger), up, whole);
      if (!alone) {
        const back = least.map((value, bin) => `L${x(area, bin).toFixed(1)} ${up(value).toFixed(1)}`).reverse().join('');
        layer.append(drawn('path', { class: 'between', d: `${path(area, most, up)}${back}Z` }));
      }
      for (const { name, values } of lines) layer.append(drawn('path', { class: `line ${name}`, d: path(area, values, up) }));
      endLabels(area, layer, lines.map(({ name, values, text }) => ({ y: up(values[data.bins - 1]), text, name })));
    },
    point(bin, _, layer, area) {
      for (const { name, values } of lines) dot(layer, name, x(area, bin), y(area)(values[bin]));
    },
    read: (bin) => read({ alone, most: whole(most[bin]), median: whole(median[bin]), least: whole(least[bin]), above: above && whole(above[bin]) }),
  });
}

function heightPlot() {
  rangePlot({
    id: 'height',
    height: 150,
    hint: 'Point anywhere, or reach a plot with Tab and move with the arrow keys; Escape lets go.',
    range: data.height.ready,
    above: data.height.best,
    names: { alone: 'ready', aboveAlone: 'accepted', above: 'best head', median: 'median ready', least: 'slowest ready' },
    read: ({ alone, most, median, least, above }) => alone
      ? `accepted to block ${above}, ready to ${median}`
      : `best head ${above} \u00b7 ready to ${most} on the first node, ${median} on the median, ${least} on the slowest`,
  });
}

function peersPlot() {
  rangePlot({
    id: 'peers',
    height: 80,
    range: data.peers,
    names: { alone: 'peers', median: 'median', least: 'least' },
    read: ({ alone, most, median, least }) => (alone ? `${median} peers` : `${least} to ${most} peers, ${median} on the median`),
  });
}

const THRESHOLDS = [[-1000, 'throttled'], [-2000, 'pruned'], [-5000, 'ban after 30 s']];

function scoreLines(rows) {
  const all = rows.flatMap((row) => finite(row.lowest));
  const [low, high] = [Math.max(Math.min(...all, -1200), -10000), Math.max(...all, 400)];
  const pad = (high - low) * 0.06;
  const y = (area) => (value) => area.bottom - ((clamp(value, low, high) - low + pad) / (high - low + 2 * pad)) * (area.bottom - area.top);
  const nameOf = (row) => (row.side === 'unknown' ? `unknown tone${rows.indexOf(row) % 6}` : row.side);
  const lastOf = (row) => finite(row.lowest).at(-1);
  timePlot({
    id: 'scores',
    height: 190,
    rows: () => rows.length,
    rowAt(at, area) {
      const bin = cursor ?? data.bins - 1;
      const away = rows.map((row) => Math.abs(y(area)(row.lowest[bin] ?? 1e9) - at));
      return away.indexOf(Math.min(...away));
    },
    draw(area, layer) {
      const up = y(area);
      yTicks(area, layer, ticks(low / 1000, high / 1000, 5).map((value) => value * 1000), up, (value) => String(Number((value / 1000).toFixed(2))).replace('-', '\u2212'));
      let label = null;
      const labels = [];
      for (const [value, text] of THRESHOLDS.filter(([value]) => value > low)) {
        const at = up(value);
        layer.append(drawn('line', { class: 'threshold', x1: area.left, x2: area.right, y1: at, y2: at }));
        if (label && at - label.at < 13) {
          label.element.textContent += `, ${text}`;
        } else {
          label = { at, element: drawn('text', { class: 'threshold-label', x: area.left + 6, y: at - 3 }, text) };
          labels.push(label.element);
        }
      }
      for (const row of [...rows].reverse()) layer.append(drawn('path', { class: `line score ${nameOf(row)}`, d: path(area, row.lowest, up) }));
      layer.append(...labels); // above the lines, which would cross them out
      const ends = rows.filter((row) => lastOf(row) !== undefined);
      endLabels(area, layer, ends.map((row) => ({ y: up(lastOf(row)), text: row.name, name: nameOf(row) })));
    },
    point(bin, picked, layer, area) {
      const row = rows[picked];
      if (!row) return;
      layer.append(drawn('path', { class: `line picked ${nameOf(row)}`, d: path(area, row.lowest, y(area)) }));
      if (row.lowest[bin] !== null) dot(layer, nameOf(row), x(area, bin), y(area)(row.lowest[bin]));
    },
    read(bin, picked) {
      const say = (row) => `${row.name} ${row.lowest[bin] === null ? 'has no score' : points(row.lowest[bin])}`;
      const scored = rows.filter((row) => row.lowest[bin] !== null).sort((a, b) => a.lowest[bin] - b.lowest[bin]);
      return rows[picked] ? say(rows[picked]) : scored.slice(0, 4).map(say).join(' \u00b7 ') || 'nobody has a score';
    },
  });
}

// Each verdict has a lane and a scale of its own: one rejected message beside thousands accepted must be seen. A bar sums up some bins, or
// blocks that come every two seconds would beat against bins of three.
function verdictPlot() {
  const LANE = 40, GAP = 12, BARS = 120;
  const wide = Math.max(Math.round(data.bins / BARS), 1);
  const summed = (counts) => Array.from({ length: Math.ceil(data.bins / wide) }, (_, bar) => counts.slice(bar * wide, (bar + 1) * wide).reduce((a, b) => a + b, 0));
  const lanes = ['accept', 'ignore', 'reject'].map((name) => {
    const counts = data.verdicts[name], bars = summed(counts);
    return { name, counts, bars, most: Math.max(...bars, 1), total: counts.reduce((a, b) => a + b, 0) };
  });
  timePlot({
    id: 'verdicts',
    height: lanes.length * LANE + (lanes.length - 1) * GAP,
    draw(area, layer) {
      lanes.forEach(({ name, bars, most, total }, place) => {
        const floor = area.top + place * (LANE + GAP) + LANE;
        layer.append(drawn('line', { class: 'floor', x1: area.left, x2: area.right, y1: floor, y2: floor }));
        layer.append(drawn('text', { class: `lane ${name}`, x: area.left - 8, y: floor - LANE / 2 + 8, 'text-anchor': 'end' }, name));
        let outline = '';
        bars.forEach((count, bar) => {
          if (!count) return;
          const [from, to] = [area.x(bar * wide * data.width_us), area.x(endOf(Math.min((bar + 1) * wide, data.bins) - 1))];
          const top = floor - Math.max((count / most) * LANE, 1.5);
          outline += `M${from.toFixed(1)} ${floor}V${top.toFixed(1)}H${Math.max(to - 0.7, from + 0.8).toFixed(1)}V${floor}Z`;
        });
        layer.append(drawn('path', { class: `bars ${name}`, d: outline }));
        if (area.labels) layer.append(drawn('text', { class: 'tick', x: area.right + 8, y: floor }, `${whole(total)} in all`));
      });
    },
    read: (bin) => lanes.map(({ name, counts }) => `${name} ${whole(counts[bin])}`).join(' \u00b7 '),
  });
}
