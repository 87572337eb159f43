// How long did it take, for how many: a curve that rises from nobody to all.

const SPREAD_HEIGHT = 210;

function spreadPlot() {
  const figure = byId('spread');
  const curves = data.curves.filter((curve) => curve.points.length);
  if (!curves.length) return;
  const readout = made('output', 'readout'), stage = made('div', 'stage'), svg = drawn('svg', { 'aria-hidden': 'true' });
  stage.append(svg);
  figure.append(readout, stage);
  const low = Math.max(Math.min(...curves.map((curve) => curve.points[0][0])), 100) * 0.8;
  const high = Math.max(...curves.map((curve) => curve.points.at(-1)[0]), low * 10) * 1.15;
  const logs = Math.log(high / low);
  const total = (curve) => curve.points.at(-1)[1];
  let at = null, area = null;

  // How many took no longer than this?
  function upTo(curve, micros) {
    const later = curve.points.findIndex(([end]) => end > micros);
    return later < 0 ? total(curve) : later === 0 ? 0 : curve.points[later - 1][1];
  }

  function quantile(curve, part) {
    return curve.points.find(([, count]) => count > Math.floor((total(curve) - 1) * part))[0];
  }

  function draw() {
    const width = Math.max(stage.clientWidth, 320);
    const right = width < 640 ? 14 : 104;
    area = { left: AXIS_LEFT, right: width - right, top: 10, bottom: 10 + SPREAD_HEIGHT, labels: right > 14 };
    area.x = (micros) => area.left + (Math.log(clamp(micros, low, high) / low) / logs) * (area.right - area.left);
    area.y = (part) => area.bottom - part * SPREAD_HEIGHT;
    svg.setAttribute('width', width);
    svg.setAttribute('height', area.bottom + AXIS_BOTTOM);
    stage.style.height = `${area.bottom + AXIS_BOTTOM}px`;
    const back = drawn('g', {}), front = drawn('g', {});
    for (let power = 10 ** Math.floor(Math.log10(low)); power < high; power *= 10) {
      const labeled = (area.x(2 * power) - area.x(power)) > 45 ? [power, 2 * power, 5 * power] : [power];
      for (const micros of labeled.filter((micros) => micros >= low && micros <= high)) {
        back.append(drawn('line', { class: 'grid', x1: area.x(micros), x2: area.x(micros), y1: area.top, y2: area.bottom }));
        back.append(drawn('text', { class: 'tick', x: area.x(micros), y: area.bottom + 15, 'text-anchor': 'middle' }, span(micros)));
      }
    }
    for (const part of [0, 0.25, 0.5, 0.75, 1]) {
      back.append(drawn('line', { class: 'grid', x1: area.left, x2: area.right, y1: area.y(part), y2: area.y(part) }));
      back.append(drawn('text', { class: 'tick', x: area.left - 8, y: area.y(part) + 4, 'text-anchor': 'end' }, `${100 * part}\u202f%`));
    }
    const labels = [];
    for (const curve of curves) {
      const steps = curve.points.map(([micros, count]) => `H${area.x(micros).toFixed(1)}V${area.y(count / total(curve)).toFixed(1)}`).join('');
      front.append(drawn('path', { class: `line ${curve.id}`, d: `M${area.x(low)} ${area.y(0)}${steps}H${area.right}` }));
      for (const micros of [0.5, 0.99].map((part) => quantile(curve, part))) dot(front, curve.id, area.x(micros), area.y(upTo(curve, micros) / total(curve)));
      labels.push({ y: area.y(1) + 2, text: curve.name, name: curve.id });
    }
    endLabels(area, front, labels);
    const layer = drawn('g', { class: 'cursor' });
    if (at !== null) {
      layer.append(drawn('line', { x1: area.x(at), x2: area.x(at), y1: area.top, y2: area.bottom }));
      for (const curve of curves) dot(layer, curve.id, area.x(at), area.y(upTo(curve, at) / total(curve)));
    }
    svg.replaceChildren(back, front, layer);
    const say = (curve) => `${curve.name} ${share(upTo(curve, at), total(curve))}`;
    const still = (curve) => `${curve.name}: half within ${span(quantile(curve, 0.5))}, 99\u202f% within ${span(quantile(curve, 0.99))}, all within ${span(quantile(curve, 1))}`;
    const text = at === null ? curves.map(still).join(' \u00b7 ') : `within ${span(at)}: ${curves.map(say).join(' \u00b7 ')}`;
    readout.textContent = text;
    stage.setAttribute('aria-valuetext', text);
    stage.setAttribute('aria-valuenow', String(at === null ? 0 : Math.round((Math.log(at / low) / logs) * 100)));
  }

  function moveTo(micros) {
    at = micros === null ? null : clamp(micros, low, high);
    draw();
  }

  stage.tabIndex = 0;
  stage.setAttribute('role', 'slider');
  stage.setAttribute('aria-label', figure.getAttribute('aria-label'));
  stage.setAttribute('aria-valuemin', '0');
  stage.setAttribute('aria-valuemax', '100');
  stage.addEventListener('pointermove', (event) => {
    const part = (event.clientX - stage.getBoundingClientRect().left - area.left) / (area.right - area.left);
    moveTo(part < 0 || part > 1 ? null : low * Math.exp(part * logs));
  });
  stage.addEventListener('pointerleave', () => moveTo(null));
  stage.addEventListener('blur', () => moveTo(null));
  stage.addEventListener('keydown', (event) => {
    const step = Math.exp(logs / (event.shiftKey ? 20 : 100));
    const moves = { ArrowLeft: (at ?? high) / step, ArrowRight: (at ?? low) * step, Home: low, End: high, Escape: null };
    if (!(event.key in moves)) return;
    moveTo(moves[event.key]);
    event.preventDefault();
  });
  redraws.push(draw);
  draw();
}
