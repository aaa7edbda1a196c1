// Draws: the two views of the instruments, the gauge, the time line, the histogram.
//
// Knows: lengths, angles, pixels, and how each stage looks (shape, colour, pattern, two letters).
// Does not know: the socket, the keys, or where a value comes from. What is stale is drawn stale: a
// hatch over everything and the age in words, because an old picture looks just like a new one.
"use strict";

const Longhand = {};

// One look per stage. `pattern`: how its band in the time line is filled, so that it is never told
// by colour alone.
Longhand.STAGES = {
  Follow: { colour: "#4fc98f", letters: "Fo", pattern: "full",
    meaning: "The instrument follows the hand.",
    shape: "M12 2a10 10 0 1 0 .01 0M7.5 12.5l3 3 6-6.5" },
  Coast: { colour: "#7cc4ff", letters: "Co", pattern: "thin",
    meaning: "A command is late; the last motion is carried on for at most 0.5 mm.",
    shape: "M3 9c3-4 6-4 9 0s6 4 9 0M3 16c3-4 6-4 9 0s6 4 9 0" },
  Brake: { colour: "#f2c14e", letters: "Br", pattern: "dense",
    meaning: "The link is late; the instrument comes to a standstill.",
    shape: "M4 5l8 7 8-7M4 12l8 7 8-7" },
  Hold: { colour: "#ffa657", letters: "Ho", pattern: "bars",
    meaning: "The position is held; it goes on by itself when the link is good again.",
    shape: "M12 2a10 10 0 1 0 .01 0M9.5 8v8M14.5 8v8" },
  Latched: { colour: "#ff8f86", letters: "La", pattern: "rows",
    meaning: "The position is held; it goes on only after the pedal was released and pressed.",
    shape: "M5 11h14v10H5zM8 11V7a4 4 0 0 1 8 0v4M12 15v2" },
  Bedside: { colour: "#d2a8ff", letters: "Be", pattern: "dots",
    meaning: "The bedside owns the robot until it hands it over.",
    shape: "M3 6v13M3 16h18v3M21 16v-3a3 3 0 0 0-3-3h-8v6M6.5 11.5a1.5 1.5 0 1 0 .01 0" },
  SafeOff: { colour: "#ff5f56", letters: "SO", pattern: "cross",
    meaning: "Brakes are on and power is off; the robot needs a local restart.",
    shape: "M8 2h8l6 6v8l-6 6H8l-6-6V8zM8 8l8 8M16 8l-8 8" },
  Disabled: { colour: "#a9b9c3", letters: "Di", pattern: "empty",
    meaning: "Brakes are on and power is off; nothing is wrong.",
    shape: "M12 3v8M6.5 6.5a8 8 0 1 0 11 0" },
};

const INK = { text: "#e8eff3", dim: "#a9b9c3", line: "#33434e", faint: "#212e37", blue: "#7cc4ff",
  warn: "#f2c14e", bad: "#ff7b72", ok: "#4fc98f", back: "#0b1115" };

// The canvas's pen at the screen's own resolution; sizes in CSS pixels.
function pen(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const w = canvas.clientWidth, h = canvas.clientHeight;
  if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(h * ratio)) {
    canvas.width = Math.round(w * ratio);
    canvas.height = Math.round(h * ratio);
  }
  const c = canvas.getContext("2d");
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.clearRect(0, 0, w, h);
  c.font = "11px system-ui, 'DejaVu Sans', sans-serif";
  c.setLineDash([]);
  return { c, w, h };
}

function hatch(c, x, y, w, h, gap, colour) {
  c.save();
  c.beginPath();
  c.rect(x, y, w, h);
  c.clip();
  c.strokeStyle = colour;
  c.lineWidth = 1;
  c.beginPath();
  for (let at = x - h; at < x + w; at += gap) {
    c.moveTo(at, y + h);
    c.lineTo(at + h, y);
  }
  c.stroke();
  c.restore();
}

// ---- the instruments -------------------------------------------------------------------------

// The vector v turned by the unit quaternion [w, x, y, z].
function turned([w, x, y, z], v) {
  const cross = (a, b) =>
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const u = [x, y, z];
  const t = cross(u, v).map((k) => 2 * k);
  const s = cross(u, t);
  return v.map((k, i) => k + w * t[i] + s[i]);
}

const JAW_MM = 8;      // how long a jaw is drawn; the Large Needle Driver's is about that
const WRIST_MM = 9.1;  // wrist pitch to wrist yaw, kinematics.md
const RAD = Math.PI / 180;

// The points of one instrument, mm in its base: RCM, wrist, tip, both jaw ends.
// Frame: the tip's z points along the closed jaws, its x is the axis they open about.
function instrument(cp, jawDeg) {
  const p = cp.position_mm, q = cp.orientation_wxyz;
  const off = (d, by) => p.map((k, i) => k + d[i] * by);
  const half = Math.max(0, jawDeg) * RAD / 2;
  const jaw = (sign) => turned(q, [0, sign * Math.sin(half), Math.cos(half)]);
  return { rcm: [0, 0, 0], wrist: off(turned(q, [0, 0, 1]), -WRIST_MM), tip: p,
    jaws: [off(jaw(1), JAW_MM), off(jaw(-1), JAW_MM)] };
}

const centres = {};  // per panel: the mm at its middle; moves in steps, so the picture stands still

function centreOf(key, tip, axes, reach) {
  const now = centres[key] || (centres[key] = [null, null]);
  const step = 10;
  axes.forEach((axis, i) => {
    if (now[i] === null || Math.abs(tip[axis] - now[i]) > reach[i] * 0.8) {
      now[i] = Math.round(tip[axis] / step) * step;
    }
  });
  return now;
}

// One arm in one view. `axes`: which of x, y, z goes right and which goes up.
function drawArm(c, box, arm, axes, widthMm, key) {
  const scale = box.w / widthMm;
  const tip = arm.measured_cp.position_mm;
  const centre = centreOf(key + arm.name, tip, axes, [box.w / scale / 2, box.h / scale / 2]);
  const at = (v) => [box.x + box.w / 2 + (v[axes[0]] - centre[0]) * scale,
    box.y + box.h / 2 - (v[axes[1]] - centre[1]) * scale];
  const path = (...points) => {
    c.beginPath();
    points.forEach((v, i) => (i ? c.lineTo(...at(v)) : c.moveTo(...at(v))));
    c.stroke();
  };
  c.save();
  c.beginPath();
  c.rect(box.x, box.y, box.w, box.h);
  c.clip();
  drawGrid(c, box, centre, scale, widthMm);

  const is = instrument(arm.measured_cp, arm.measured_jaw_deg);
  c.lineCap = "round";
  c.strokeStyle = "#6f8592";
  c.lineWidth = Math.max(4, 5 * scale * 0.8);
  path(is.rcm, is.wrist);
  c.strokeStyle = INK.text;
  c.lineWidth = Math.max(3, 3 * scale * 0.6);
  path(is.wrist, is.tip);
  c.lineWidth = Math.max(2.5, scale * 0.9);
  is.jaws.forEach((end) => path(is.tip, end));
  c.fillStyle = arm.energy ? INK.warn : INK.text;
  c.beginPath();
  c.arc(...at(is.tip), Math.max(3, scale * 0.8), 0, 7);
  c.fill();

  if (arm.servo_cp) {
    const goal = instrument(arm.servo_cp, arm.servo_jaw_deg ?? arm.measured_jaw_deg);
    c.strokeStyle = INK.blue;
    c.lineWidth = 1.6;
    c.setLineDash([4, 3]);
    path(goal.wrist, goal.tip);
    goal.jaws.forEach((end) => path(goal.tip, end));
    c.beginPath();
    c.arc(...at(goal.tip), Math.max(6, scale * 1.4), 0, 7);
    c.stroke();
    c.setLineDash([]);
  }
  const [sx, sy] = at(arm.setpoint_cp.position_mm);
  c.strokeStyle = INK.warn;
  c.lineWidth = 1.5;
  c.beginPath();
  c.moveTo(sx - 5, sy); c.lineTo(sx + 5, sy); c.moveTo(sx, sy - 5); c.lineTo(sx, sy + 5);
  c.stroke();

  c.font = "600 12px system-ui, 'DejaVu Sans', sans-serif";
  c.fillStyle = INK.text;
  c.fillText(arm.name, box.x + 6, box.y + 15);
  const notes = [arm.energy ? "\u26a1 energy on" : "", arm.limited ? "\u25a0 limited" : ""];
  c.fillStyle = INK.warn;
  // Below the name, one a line: a narrow view must not cut the last of them off.
  notes.filter(Boolean).forEach((note, i) => c.fillText(note, box.x + 6, box.y + 31 + 16 * i));
  c.restore();
}

function drawGrid(c, box, centre, scale, widthMm) {
  const step = widthMm <= 30 ? 5 : widthMm <= 60 ? 10 : widthMm <= 120 ? 20 : 50;
  c.font = "10px system-ui, 'DejaVu Sans', sans-serif";
  c.fillStyle = "#8c9da8";
  c.lineWidth = 1;
  c.strokeStyle = INK.faint;
  const halfW = box.w / scale / 2, halfH = box.h / scale / 2;
  for (let mm = Math.ceil((centre[0] - halfW) / step) * step; mm <= centre[0] + halfW; mm += step) {
    const x = Math.round(box.x + box.w / 2 + (mm - centre[0]) * scale) + 0.5;
    c.beginPath(); c.moveTo(x, box.y); c.lineTo(x, box.y + box.h); c.stroke();
    if (x > box.x + 34 && x < box.x + box.w - 14) c.fillText(String(mm), x + 2, box.y + box.h - 4);
  }
  for (let mm = Math.ceil((centre[1] - halfH) / step) * step; mm <= centre[1] + halfH; mm += step) {
    const y = Math.round(box.y + box.h / 2 - (mm - centre[1]) * scale) + 0.5;
    c.beginPath(); c.moveTo(box.x, y); c.lineTo(box.x + box.w, y); c.stroke();
    if (y > box.y + 28 && y < box.y + box.h - 14) c.fillText(String(mm), box.x + 3, y - 2);
  }
}

// `axes`: [0, 2] is the front view, [0, 1] the top view. `age_ms`: how old the picture is.
Longhand.drawView = function (canvas, arms, axes, widthMm, age_ms, stale) {
  const { c, w, h } = pen(canvas);
  const gap = 6, half = (w - gap) / 2;
  arms.forEach((arm, i) => {
    const box = { x: i * (half + gap), y: 0, w: half, h };
    c.fillStyle = INK.back;
    c.fillRect(box.x, box.y, box.w, box.h);
    c.globalAlpha = stale ? 0.45 : 1;
    drawArm(c, box, arm, axes, widthMm, axes.join());
    c.globalAlpha = 1;
    c.strokeStyle = INK.line;
    c.strokeRect(box.x + 0.5, 0.5, box.w - 1, h - 1);
  });
  if (stale) {
    hatch(c, 0, 0, w, h, 12, "#f2c14e88");
    const words = age_ms === null ? "no view" : `view ${Math.round(age_ms)} ms old`;
    c.font = "700 15px system-ui, 'DejaVu Sans', sans-serif";
    const wide = c.measureText(words).width + 20;
    c.fillStyle = "#000d";
    c.fillRect((w - wide) / 2, h - 50, wide, 28);  // below the tips, so as not to hide them
    c.strokeStyle = INK.warn;
    c.strokeRect((w - wide) / 2, h - 50, wide, 28);
    c.fillStyle = INK.warn;
    c.fillText(words, (w - wide) / 2 + 10, h - 31);
  }
};

// ---- the gauge -------------------------------------------------------------------------------

Longhand.drawGauge = function (canvas, value, warn, max) {
  const { c, w } = pen(canvas);
  const full = (max ?? 300) * 1.25;
  const x = (ms) => Math.min(1, ms / full) * (w - 2) + 1;
  c.fillStyle = INK.back;
  c.fillRect(0, 2, w, 14);
  if (max !== null) hatch(c, x(max), 2, w - x(max), 14, 5, INK.bad);
  if (value !== null) {
    const bad = max !== null && value > max, late = warn !== null && value > warn;
    c.fillStyle = bad ? INK.bad : late ? INK.warn : INK.ok;
    c.fillRect(0, 4, x(value), 10);
    c.fillStyle = INK.text;
    c.fillRect(x(value) - 1.5, 0, 3, 18);
  }
  c.strokeStyle = INK.line;
  c.strokeRect(0.5, 2.5, w - 1, 14);
  const mark = (ms, words, colour) => {
    if (ms === null) return;
    c.fillStyle = colour;
    c.fillRect(x(ms) - 1, 0, 2, 22);
    const wide = c.measureText(words).width;
    c.fillText(words, Math.min(w - wide, Math.max(0, x(ms) - wide / 2)), 32);
  };
  mark(warn, `warn ${Math.round(warn)}`, INK.warn);
  mark(max, `latch ${Math.round(max)} ms`, INK.bad);
  c.fillStyle = INK.dim;
  c.fillText("0", 0, 32);
};

// ---- the time line ---------------------------------------------------------------------------

const SPAN_MS = 60000, BAND = 16;

function fillBand(c, look, x, y, w, h) {
  const ink = look.colour;
  c.fillStyle = ink;
  if (look.pattern === "full") c.fillRect(x, y + 3, w, h - 6);
  else if (look.pattern === "thin") hatch(c, x, y, w, h, 7, ink);
  else if (look.pattern === "dense") hatch(c, x, y, w, h, 4, ink);
  else if (look.pattern === "bars") for (let i = x; i < x + w; i += 4) c.fillRect(i, y, 2, h);
  else if (look.pattern === "rows") for (let i = y; i < y + h; i += 4) c.fillRect(x, i, w, 2);
  else if (look.pattern === "dots") {
    for (let i = x; i < x + w; i += 5) for (let j = y; j < y + h; j += 5) c.fillRect(i, j, 2, 2);
  } else if (look.pattern === "cross") { c.fillRect(x, y, w, h); hatch(c, x, y, w, h, 6, "#000"); }
  c.strokeStyle = ink;
  c.lineWidth = 1;
  c.strokeRect(x + 0.5, y + 0.5, Math.max(0, w - 1), h - 1);
}

// `samples`: [{ at, loop_age_ms, stage, stopped }], oldest first, `at` in this page's milliseconds.
Longhand.drawTimeline = function (canvas, samples, now, warn, max) {
  const { c, w, h } = pen(canvas);
  const left = 26, plot = { y: BAND + 12, h: h - BAND - 26 };
  const x = (at) => left + (1 - (now - at) / SPAN_MS) * (w - left);
  const most = samples.reduce((m, s) => Math.max(m, s.loop_age_ms ?? 0), 0);
  const full = Math.max(50, Math.ceil(Math.max(most * 1.1, (warn ?? 0) * 1.05) / 50) * 50);
  const y = (ms) => plot.y + plot.h * (1 - Math.min(1, ms / full));

  c.fillStyle = INK.back;
  c.fillRect(left, plot.y, w - left, plot.h);
  c.strokeStyle = INK.faint;
  c.fillStyle = INK.dim;
  for (let s = 0; s <= 60; s += 20) {
    const at = x(now - s * 1000);
    c.beginPath(); c.moveTo(at, plot.y); c.lineTo(at, plot.y + plot.h); c.stroke();
    const words = s ? `-${s} s` : "now";
    c.fillText(words, Math.max(0, Math.min(w - c.measureText(words).width, at - 12)), h - 1);
  }
  c.fillText(String(full), 0, plot.y + 8);
  c.fillText("0", 14, plot.y + plot.h);
  for (const [ms, colour, words] of [[warn, INK.warn, "warn"], [max, INK.bad, "latch"]]) {
    if (ms === null || ms > full) continue;
    c.strokeStyle = colour;
    c.setLineDash([3, 4]);
    c.beginPath(); c.moveTo(left, y(ms)); c.lineTo(w, y(ms)); c.stroke();
    c.setLineDash([]);
    c.fillStyle = colour;
    c.fillText(words, left + 3, y(ms) - 2);
  }

  // Bands of one stage each, then the curve, broken where nothing is known.
  let from = 0;
  for (let i = 1; i <= samples.length; i++) {
    if (i < samples.length && samples[i].stage === samples[from].stage) continue;
    const look = Longhand.STAGES[samples[from].stage];
    const x0 = Math.max(left, x(samples[from].at));
    const x1 = i < samples.length ? x(samples[i].at) : x(samples[i - 1].at);
    if (look && x1 > left) {
      fillBand(c, look, x0, 0, Math.max(1, x1 - x0), BAND);
      if (x1 - x0 > 22) {
        const name = samples[from].stage, wide = c.measureText(name).width;
        const fits = x1 - x0 > wide + 8;
        c.fillStyle = "#000c";
        c.fillRect(x0 + 3, 2, fits ? wide + 4 : 17, BAND - 4);
        c.fillStyle = look.colour;
        c.fillText(fits ? name : look.letters, x0 + 5, BAND - 4);
      }
    }
    from = i;
  }
  c.strokeStyle = INK.text;
  c.lineWidth = 1.2;
  c.beginPath();
  let down = false;
  for (const s of samples) {
    if (s.loop_age_ms === null || x(s.at) < left) { down = false; continue; }
    if (down) c.lineTo(x(s.at), y(s.loop_age_ms)); else c.moveTo(x(s.at), y(s.loop_age_ms));
    down = true;
  }
  c.stroke();
  c.fillStyle = INK.bad;
  for (const s of samples) {
    if (!s.stopped || x(s.at) < left) continue;
    c.beginPath();
    c.moveTo(x(s.at) - 5, BAND + 1); c.lineTo(x(s.at) + 5, BAND + 1); c.lineTo(x(s.at), BAND + 10);
    c.fill();
  }
};

// ---- the histogram ---------------------------------------------------------------------------

// The bucket's lower edge that the share `p` of all values does not exceed by more than a bucket.
Longhand.quantile = function (histogram, p) {
  const total = histogram.counts.reduce((a, b) => a + b, 0);
  if (!total) return null;
  let seen = 0;
  for (let i = 0; i < histogram.counts.length; i++) {
    seen += histogram.counts[i];
    if (seen >= p * total) return histogram.bucket_low_ms[i] ?? null;
  }
  return null;
};

Longhand.drawHistogram = function (canvas, histogram) {
  const { c, w, h } = pen(canvas);
  const n = histogram.counts.length;
  c.fillStyle = INK.back;
  c.fillRect(0, 0, w, h - 14);
  if (!n) return;
  // Counts on a log scale: the tail is what matters, and it is small.
  const high = Math.log1p(Math.max(1, ...histogram.counts));
  const wide = w / n;
  const p99 = Longhand.quantile(histogram, 0.99);
  for (let i = 0; i < n; i++) {
    const tall = Math.log1p(histogram.counts[i]) / high * (h - 26);
    const tail = p99 !== null && histogram.bucket_low_ms[i] >= p99;
    c.fillStyle = tail ? INK.warn : INK.blue;
    c.fillRect(i * wide + 0.5, h - 14 - tall, Math.max(1, wide - 1), tall);
    if (tail) hatch(c, i * wide, h - 14 - tall, wide, tall, 4, "#000");
  }
  c.fillStyle = INK.dim;
  c.fillText("count, log scale", 3, 10);
  const every = Math.max(1, Math.ceil(34 / wide));
  for (let i = 0; i < n; i += every) {
    const words = String(Math.round(histogram.bucket_low_ms[i] * 10) / 10);
    if (i * wide + c.measureText(words).width < w - 18) c.fillText(words, i * wide, h - 2);
  }
  c.fillText("ms", w - 16, h - 2);
};
