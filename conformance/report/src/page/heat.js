// Rows over time as colors: a thousand nodes fit where twelve lines would not.

// heat: { id, rows: [{ name, values }], levels: [{ upTo, name, text }], none, worse(a, b), say(value), order }
const HEAT_HEIGHT = 420, ROW_HIGHEST = 22;

function heatPlot(heat) {
  const natural = heat.rows.map((_, place) => place);
  let order = heat.order ?? natural;
  const height = () => clamp(heat.rows.length * ROW_HIGHEST, ROW_HIGHEST, Math.max(HEAT_HEIGHT, 0));
  const rowHeight = () => height() / heat.rows.length;
  const levelOf = (value) => (value === null ? heat.levels.length : heat.levels.findIndex((level) => value < level.upTo));
  const plot = {
    id: heat.id,
    height,
    hint: heat.hint,
    rows: () => heat.rows.length,
    rowAt: (at, area) => Math.floor(((at - area.top) / height()) * heat.rows.length),
    paint(context, area) {
      const tones = [...heat.levels.map((level) => color(`--${level.name}`)), color('--down')];
      const lines = Math.min(heat.rows.length, Math.round(height() * (window.devicePixelRatio || 1)));
      const high = height() / lines;
      const gap = high >= 8 ? 1 : 0;
      for (let line = 0; line < lines; line += 1) {
        const from = Math.floor((line * heat.rows.length) / lines);
        const to = Math.max(Math.floor(((line + 1) * heat.rows.length) / lines), from + 1);
        const y = area.top + line * high;
        for (let bin = 0; bin < data.bins; ) {
          const level = worstOf(from, to, bin);
          let until = bin + 1;
          while (until < data.bins && worstOf(from, to, until) === level) until += 1;
          const left = area.x(bin * data.width_us);
          context.fillStyle = tones[level];
          context.fillRect(left, y, area.x(endOf(until - 1)) - left + 0.3, high - gap + (gap ? 0 : 0.3));
          bin = until;
        }
      }
    },
    draw(area, layer) {
      const high = rowHeight();
      const every = high >= 11 ? 1 : Math.ceil(ticks(0, heat.rows.length, 8)[1] ?? heat.rows.length);
      for (let place = 0; place < heat.rows.length; place += every) {
        const { name, loud } = heat.rows[order[place]];
        const short = name.length > 9 ? `\u2026${name.slice(-8)}` : name;
        const y = area.top + place * high + (high >= 11 ? high / 2 + 4 : 8);
        if (y <= area.bottom + 2) layer.append(drawn('text', { class: loud ? 'tick loud' : 'tick', x: area.left - 8, y, 'text-anchor': 'end' }, order === natural || high >= 11 ? short : `#${place + 1}`));
      }
      layer.append(drawn('rect', { class: 'frame', x: area.left, y: area.top, width: area.right - area.left, height: area.bottom - area.top }));
    },
    point(bin, row, layer, area) {
      if (row === undefined) return;
      const left = area.x(bin * data.width_us);
      const box = { x: left, y: area.top + row * rowHeight(), width: area.x(endOf(bin)) - left, height: rowHeight() };
      const grow = Math.max(5 - box.height, 0) / 2;
      layer.append(drawn('rect', { class: 'cell', x: box.x - 1, y: box.y - grow, width: box.width + 2, height: box.height + 2 * grow }));
    },
    read(bin, row) {
      const picked = row === undefined ? null : heat.rows[order[row]];
      if (picked) return `${picked.name}${picked.loud ? ' (hostile)' : ''}: ${heat.say(picked.values[bin])}`;
      const counts = heat.levels.map((level) => ({ level, count: 0 })).concat({ level: { text: heat.none }, count: 0 });
      for (const { values } of heat.rows) counts[levelOf(values[bin])].count += 1;
      return counts.filter(({ count }) => count).map(({ level, count }) => `${whole(count)} ${level.text}`).join(' \u00b7 ');
    },
  };

  // The worst level of the rows that share a line of pixels. A row without a value hides no other.
  function worstOf(from, to, bin) {
    let worst = null;
    for (let place = from; place < to; place += 1) {
      const value = heat.rows[order[place]].values[bin];
      if (value !== null && (worst === null || heat.worse(value, worst))) worst = value;
    }
    return levelOf(worst);
  }

  timePlot(plot);
  legend(heat);
  if (heat.rows.length > 2 && heat.byWorst) {
    const button = made('button', 'order', 'Worst first');
    button.type = 'button';
    button.setAttribute('aria-pressed', 'false');
    button.addEventListener('click', () => {
      const pressed = order === natural;
      order = pressed ? heat.byWorst : natural;
      button.setAttribute('aria-pressed', String(pressed));
      render(plot);
    });
    byId(heat.id).querySelector('.legend').append(button);
  }
}

function legend(heat) {
  const row = made('p', 'legend');
  for (const { name, text } of [...heat.levels, { name: 'down', text: heat.none }]) {
    const swatch = drawn('svg', { width: 14, height: 10, 'aria-hidden': 'true' }, drawn('rect', { class: `swatch ${name}`, width: 14, height: 10, rx: 2 }));
    row.append(made('span', '', swatch, ` ${text}`));
  }
  byId(heat.id).append(row);
}

const BEHIND = [
  { upTo: 500, name: 'h0', text: 'under 0.5 s' },
  { upTo: 1e3, name: 'h1', text: 'under 1 s' },
  { upTo: 2e3, name: 'h2', text: 'under 2 s' },
  { upTo: 5e3, name: 'h3', text: 'under 5 s' },
  { upTo: 15e3, name: 'h4', text: 'under 15 s' },
  { upTo: 60e3, name: 'h5', text: 'under 1 min' },
  { upTo: 300e3, name: 'h6', text: 'under 5 min' },
  { upTo: Infinity, name: 'h7', text: '5 min or more' },
];

function behindPlot() {
  const rows = data.behind;
  const badness = rows.map(({ values }) => values.reduce((sum, value) => sum + Math.log1p(Math.max(value ?? 0, 500) / 500), 0));
  heatPlot({
    id: 'behind',
    rows,
    levels: BEHIND,
    none: 'down',
    byWorst: rows.map((_, place) => place).sort((a, b) => badness[b] - badness[a] || a - b),
    worse: (a, b) => a > b,
    say: (ms) => (ms === null ? 'down' : ms === 0 ? 'nothing is missing' : `behind by up to ${span(ms * 1e3)}`),
  });
}

const OPINION = [
  { upTo: -4999, name: 's0', text: 'at \u22125 or below, on the way to a ban' },
  { upTo: -2000, name: 's1', text: 'below \u22122, pruned' },
  { upTo: -1000, name: 's2', text: 'below \u22121, throttled' },
  { upTo: 0, name: 's3', text: 'below 0' },
  { upTo: Infinity, name: 's4', text: 'at 0 or above' },
];

function scoreHeat(rows) {
  heatPlot({
    id: 'scores',
    rows: rows.map(({ name, side, lowest }) => ({ name, loud: side === 'hostile', values: lowest })),
    levels: OPINION,
    none: 'no score',
    worse: (a, b) => a < b,
    say: (score) => (score === null ? 'no score' : points(score)),
  });
}
