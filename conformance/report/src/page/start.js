// Draws everything once, and again when the window, the color scheme or the paper asks for it.

const LINES_AT_MOST = 12;
const redraws = [() => plots.forEach(render)];

heightPlot();
behindPlot();
spreadPlot();
if (data.scores.length) (data.scores.length > LINES_AT_MOST ? scoreHeat : scoreLines)(data.scores);
peersPlot();
verdictPlot();

const redraw = () => redraws.forEach((draw) => draw());
let width = window.innerWidth;
window.addEventListener('resize', () => {
  if (width !== window.innerWidth) requestAnimationFrame(redraw);
  width = window.innerWidth;
});
for (const query of ['(prefers-color-scheme: dark)', 'print']) matchMedia(query).addEventListener('change', redraw);
// Whoever checks the page reads here that it was drawn to its end.
document.documentElement.dataset.drawn = String(plots.length);
