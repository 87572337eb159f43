// Plots over time. They share one cursor: what is read in one is shown in all.

const plots = [];
let cursor = null;

const endOf = (bin) => Math.min((bin + 1) * data.width_us, data.end_us);
const period = (bin) => `${moment(bin * data.width_us)}\u2013${moment(endOf(bin))}`;

// plot: { id, height, rows?, row?, paint?(context, area), draw(area, layer), read(bin, row) }
// A plot with rows is also read up and down.
function timePlot(plot) {
  const figure = byId(plot.id);
  plot.readout = made('output', 'readout');
  plot.stage = made('div', 'stage');
  plot.svg = drawn('svg', { 'aria-hidden': 'true' });
  if (plot.paint) plot.stage.append((plot.canvas = made('canvas', '')));
  plot.stage.append(plot.svg);
  figure.append(plot.readout, plot.stage);
  const { stage } = plot;
  stage.tabIndex = 0;
  stage.setAttribute('role', 'slider');
  stage.setAttribute('aria-label', figure.getAttribute('aria-label'));
  stage.setAttribute('aria-valuemin', '0');
  stage.setAttribute('aria-valuemax', String(data.bins - 1));
  stage.addEventListener('pointermove', (event) => point(plot, event));
  stage.addEventListener('pointerdown', (event) => point(plot, event));
  stage.addEventListener('pointerleave', () => move(plot, null));
  stage.addEventListener('keydown', (event) => key(plot, event));
  stage.addEventListener('blur', () => move(plot, null));
  plots.push(plot);
  render(plot);
}

function render(plot) {
  const width = Math.max(plot.stage.clientWidth, 320);
  const height = typeof plot.height === 'function' ? plot.height() : plot.height;
  const right = width < 640 ? 10 : 104;
  const area = { left: AXIS_LEFT, right: width - right, top: AXIS_TOP, bottom: AXIS_TOP + height, width, labels: right > 10 };
  area.x = (micros) => area.left + (micros / Math.max(data.end_us, 1)) * (area.right - area.left);
  plot.area = area;
  const full = area.bottom + AXIS_BOTTOM;
  plot.svg.setAttribute('width', width);
  plot.svg.setAttribute('height', full);
  plot.stage.style.height = `${full}px`;
  const back = drawn('g', {}), front = drawn('g', {}), content = drawn('g', {});
  plot.cursorLayer = drawn('g', { class: 'cursor' });
  for (const at of timeTicks(data.end_us, (area.right - area.left) / 90)) {
    const x = area.x(at);
    if (!plot.paint) back.append(drawn('line', { class: 'grid', x1: x, x2: x, y1: area.top, y2: area.bottom }));
    back.append(drawn('text', { class: 'tick', x, y: area.bottom + 15, 'text-anchor': 'middle' }, tickLabel(at)));
  }
  if (plot.paint) paint(plot, area, full);
  drawMarks(area, back, front, Boolean(plot.paint));
  plot.draw(area, content);
  plot.svg.replaceChildren(back, content, front, plot.cursorLayer);
  showCursor(plot);
}

function paint(plot, area, full) {
  const ratio = window.devicePixelRatio || 1;
  plot.canvas.width = Math.round(area.width * ratio);
  plot.canvas.height = Math.round(full * ratio);
  plot.canvas.style.width = `${area.width}px`;
  plot.canvas.style.height = `${full}px`;
  const context = plot.canvas.getContext('2d');
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  plot.paint(context, area);
}

// Faults as bands while they last, every mark as a line with its number; marks too close to tell apart share a label. Where colors speak
// already, the band shrinks to a bar above them.
function drawMarks(area, back, front, colored) {
  let last = null;
  for (const mark of data.marks) {
    const x = area.x(mark.at_us);
    if (mark.until_us !== null) {
      const width = Math.max(area.x(mark.until_us) - x, 1);
      const [y, height] = colored ? [area.top - 4, 3] : [area.top, area.bottom - area.top];
      back.append(drawn('rect', { class: colored ? 'fault-bar' : 'fault-band', x, y, width, height }));
    }
    front.append(drawn('line', { class: `mark ${mark.kind}`, x1: x, x2: x, y1: area.top - 3, y2: area.bottom }));
    if (mark.number === null) continue;
    if (last && x - last.x < 17) {
      last.text.textContent = `${last.number}\u2013${mark.number}`;
    } else {
      const text = drawn('text', { class: `mark-number ${mark.kind}`, x, y: area.top - 7, 'text-anchor': 'middle' }, String(mark.number));
      front.append(text);
      last = { x, number: mark.number, text };
    }
  }
}

function point(plot, event) {
  const box = plot.stage.getBoundingClientRect();
  const [x, y] = [event.clientX - box.left, event.clientY - box.top];
  const { left, right, top, bottom } = plot.area;
  if (x < left - 4 || x > right + 4) return move(plot, null);
  const micros = ((x - left) / (right - left)) * data.end_us;
  if (plot.rows) plot.row = clamp(plot.rowAt(clamp(y, top, bottom - 0.01), plot.area), 0, plot.rows() - 1);
  move(plot, clamp(Math.floor(micros / data.width_us), 0, data.bins - 1));
}

function key(plot, event) {
  const step = event.shiftKey ? 10 : 1;
  const from = cursor ?? -1;
  const bins = {
    ArrowLeft: cursor === null ? data.bins - 1 : cursor - step,
    ArrowRight: from + step,
    Home: 0,
    End: data.bins - 1,
  };
  if (event.key === 'Escape') {
    move(plot, null);
  } else if (event.key in bins) {
    move(plot, clamp(bins[event.key], 0, data.bins - 1));
  } else if (plot.rows && (event.key === 'ArrowUp' || event.key === 'ArrowDown')) {
    plot.row = clamp((plot.row ?? -1) + (event.key === 'ArrowDown' ? step : -step), 0, plot.rows() - 1);
    move(plot, cursor ?? data.bins - 1);
  } else {
    return;
  }
  event.preventDefault();
}

function move(plot, bin) {
  cursor = bin;
  if (bin === null) plot.row = undefined;
  plots.forEach(showCursor);
}

function showCursor(plot) {
  const { area, cursorLayer, readout, stage } = plot;
  cursorLayer.replaceChildren();
  if (cursor === null) {
    readout.replaceChildren(plot.hint ?? '\u00a0');
    return;
  }
  const x = area.x(Math.min((cursor + 0.5) * data.width_us, data.end_us));
  cursorLayer.append(drawn('line', { x1: x, x2: x, y1: area.top, y2: area.bottom }));
  plot.point?.(cursor, plot.row, cursorLayer, area);
  const near = data.marks.filter((mark) => Math.floor(mark.at_us / data.width_us) === cursor);
  const said = near.slice(0, 3).map((mark) => `\u2003${mark.number ?? ''} ${mark.what}`).join('');
  const text = `${plot.read(cursor, plot.row)}${said}`;
  readout.replaceChildren(made('b', '', period(cursor)), `\u2003${text}`);
  stage.setAttribute('aria-valuenow', String(cursor));
  stage.setAttribute('aria-valuetext', `${period(cursor)}: ${text}`);
}
