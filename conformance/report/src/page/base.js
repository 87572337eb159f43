'use strict';
// What all plots share: the data, a few elements, numbers as text. Nothing here asks for anything outside of this page.

const data = JSON.parse(document.getElementById('data').textContent);
// Elements of drawings need their namespace; the page's own icon knows it.
const DRAWING = document.querySelector('svg').namespaceURI;
const AXIS_LEFT = 66, AXIS_TOP = 20, AXIS_BOTTOM = 22;

const byId = (id) => document.getElementById(id);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

function drawn(name, attributes, ...children) {
  const element = document.createElementNS(DRAWING, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function made(name, className, ...children) {
  const element = document.createElement(name);
  element.className = className;
  element.append(...children);
  return element;
}

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

const whole = (number) => Math.round(number).toString().replace(/\B(?=(\d{3})+$)/g, '\u202f');
const points = (thousandths) => (thousandths / 1000).toFixed(2).replace('-', '\u2212');
const share = (part, all) => (all ? (100 * part) / all : 0).toFixed(part === all ? 0 : 1) + '\u202f%';

// A span in microseconds, with three figures that count.
function span(micros) {
  if (micros < 1e3) return `${Math.round(micros)}\u202fµs`;
  if (micros < 1e6) return `${Number((micros / 1e3).toPrecision(3))}\u202fms`;
  if (micros < 120e6) return `${Number((micros / 1e6).toPrecision(3))}\u202fs`;
  return moment(micros);
}

// A time of the run: seconds, or minutes and hours where the run is long.
function moment(micros) {
  const digits = data.width_us < 1e6 ? 2 : data.width_us < 10e6 && data.width_us % 1e6 ? 1 : 0;
  const seconds = micros / 1e6;
  if (data.end_us <= 120e6 && micros <= 120e6) return `${seconds.toFixed(digits)}\u202fs`;
  const rest = (seconds % 60).toFixed(digits).padStart(digits ? digits + 3 : 2, '0');
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}:${rest}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, '0')}:${rest}`;
}

// Round numbers from low to high, about so many.
function ticks(low, high, about, steps = [1, 2, 5, 10]) {
  const raw = Math.max((high - low) / Math.max(about, 1), 1e-9);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = (steps.find((factor) => factor * power >= raw) ?? 10) * power;
  const found = [];
  for (let k = Math.ceil(low / step); k * step <= high + step * 1e-9; k += 1) found.push(k * step);
  return found;
}

// The same for times, in steps that people read.
function timeTicks(end, about) {
  const raw = end / 1e6 / Math.max(about, 1);
  const steps = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];
  const step = (steps.find((step) => step >= raw) ?? 86400 * Math.ceil(raw / 86400)) * 1e6;
  return Array.from({ length: Math.floor(end / step) + 1 }, (_, k) => k * step);
}

function tickLabel(micros) {
  const seconds = micros / 1e6;
  if (data.end_us <= 120e6) return `${Number(seconds.toFixed(2))}\u202fs`;
  const [hours, minutes, rest] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, Math.round(seconds % 60)];
  const two = (number) => String(number).padStart(2, '0');
  return hours || data.end_us >= 3600e6 ? `${hours}:${two(minutes)}${rest ? `:${two(rest)}` : ''}` : `${minutes}:${two(rest)}`;
}
