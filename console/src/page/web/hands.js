// Hands: mouse, pen, finger, keys and gamepad as rates and levels.
//
// Knows: which key, stick or drag is which motion; hand space (x right, y up, z toward the
// surgeon); the console's bounds. Does not know: the robot, the scale, the clutch rule. What goes
// out is a rate that holds until the next sample, never a place: a sample that is lost cannot make
// a jump.
//
// Everything held is a level, read at each sample. Nothing is toggled, save the pedal lock, which
// is off until asked for and goes off by itself whenever the page is left.
"use strict";

Longhand.hands = (() => {
  const RATE_MAX = 1.0, TURN_MAX = 10.0, JAW_MAX = 10.0;  // input.rs refuses more
  const DRAG_M_PER_PX = 0.0003, DRAG_RAD_PER_PX = 0.006, WHEEL_M_PER_PX = 0.00003;
  const JAW_RAD_S = 1.2, TURN_RAD_S = 1.0, DEAD_ZONE = 0.15;
  const HOLDS = 1.5;  // of the time to the next sample: a late timer does not make the hand stutter
  const RAMP = 0.25;  // share of the way to a key's speed taken per sample: full in about 0.2 s

  const HANDS = ["psm1", "psm2"];
  const STILL = { linear: [0, 0, 0], angular: [0, 0, 0], jaw: 0 };
  const keys = new Set();      // codes of the keys that are down
  const holds = new Map();     // on-screen buttons that are down: id -> Set of what holds it
  const drag = {};             // what the pads have moved since the last sample
  const sent = {};             // of it, what the last sample carries
  const keyed = {};            // speeds of keys and buttons, ramped
  for (const hand of HANDS) {
    drag[hand] = { linear: [0, 0, 0], angular: [0, 0, 0] };
    sent[hand] = { linear: [0, 0, 0], angular: [0, 0, 0] };
    keyed[hand] = { linear: [0, 0, 0], angular: [0, 0, 0], jaw: 0 };
  }
  let chosen = "psm1", source = "keyboard", locked = false, sampledAt = null, meantFor = 0.016;
  const other = (hand) => (hand === "psm1" ? "psm2" : "psm1");
  const area = document.getElementById("hands");
  const lock = document.getElementById("pedal-lock");

  // ---- keys ----------------------------------------------------------------------------------
  // Of the chosen hand and of the other: [code, what, axis, sign].
  const MOVES = [
    ["KeyD", "KeyL", 0, 1], ["KeyA", "KeyJ", 0, -1],
    ["KeyW", "KeyI", 1, 1], ["KeyS", "KeyK", 1, -1],
    ["KeyE", "KeyO", 2, 1], ["KeyQ", "KeyU", 2, -1],
  ];
  // Turning, seen from the seat: W tips away, D turns right, E rolls counter-clockwise.
  const TURN_SIGN = [-1, 1, 1], TURN_AXIS = [1, 0, 2];
  const DRIVES = new Set(["Space", "KeyC", "Digit1", "Digit2", "KeyF", "KeyG", "KeyN", "KeyM",
    "KeyV", "KeyB", ...MOVES.flatMap(([a, b]) => [a, b])]);

  // Whether keys move the hands: not while a control has the focus, for there they press it.
  const driving = () => {
    const at = document.activeElement;
    return document.hasFocus() && !(at && at.closest("button, select, input, summary, a"));
  };
  document.addEventListener("keydown", (event) => {
    if (event.code === "Escape") {
      document.getElementById("keys").open = false;
      area.focus();
      return;
    }
    if (event.ctrlKey || event.altKey || event.metaKey || !DRIVES.has(event.code) || !driving()) {
      return;
    }
    event.preventDefault();
    if (event.repeat) return;
    if (event.code === "Digit1") choose("psm1");
    else if (event.code === "Digit2") choose("psm2");
    else keys.add(event.code);
    if (event.code !== "Space" && event.code !== "KeyC") source = "keyboard";
  });
  document.addEventListener("keyup", (event) => keys.delete(event.code));
  // Tab or a click moved the focus: what was held on the keys is let go.
  document.addEventListener("focusin", () => { if (!driving()) keys.clear(); });

  function choose(hand) {
    chosen = hand;
    for (const card of document.querySelectorAll("[data-hand]")) {
      card.classList.toggle("is-chosen", card.dataset.hand === hand);
    }
  }

  // ---- on-screen buttons that act while they are held ------------------------------------------
  function holdButton(button, id) {
    const by = new Set();
    holds.set(id, by);
    button.setAttribute("aria-pressed", "false");
    const show = () => button.setAttribute("aria-pressed", String(by.size > 0));
    const press = (who) => { by.add(who); show(); };
    const let_go = (who) => { by.delete(who); show(); };
    button.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      button.setPointerCapture(event.pointerId);
      if (id !== "pedal" && id !== "clutch") source = "mouse";
      press(event.pointerId);
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      button.addEventListener(end, (event) => {
        let_go(event.pointerId);
        // A mouse leaves the focus where it was, so that Space stays the pedal.
        if (end === "pointerup") area.focus({ preventScroll: true });
      });
    }
    button.addEventListener("contextmenu", (event) => event.preventDefault());
    button.addEventListener("keydown", (event) => {
      if (event.code !== "Space" && event.code !== "Enter") return;
      event.preventDefault();
      press("key");
    });
    button.addEventListener("keyup", (event) => {
      if (event.code === "Space" || event.code === "Enter") let_go("key");
    });
    button.addEventListener("blur", () => let_go("key"));
    by.show = show;
  }
  const held = (id) => holds.get(id).size > 0;
  holdButton(document.getElementById("pedal"), "pedal");
  holdButton(document.getElementById("clutch"), "clutch");
  lock.addEventListener("change", () => { locked = lock.checked; });

  // ---- pads ------------------------------------------------------------------------------------
  for (const card of document.querySelectorAll("[data-hand]")) {
    const hand = card.dataset.hand, pad = card.querySelector("[data-pad]");
    const turns = card.querySelector("[data-turn]");
    for (const button of card.querySelectorAll("[data-hold]")) {
      holdButton(button, hand + button.dataset.hold);
    }
    const down = new Map();  // pointer -> { x, y, turn }
    pad.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 && event.button !== 2) return;
      event.preventDefault();
      pad.setPointerCapture(event.pointerId);
      area.focus({ preventScroll: true });
      choose(hand);
      const turn = event.button === 2 || turns.checked;
      down.set(event.pointerId, { x: event.clientX, y: event.clientY, turn });
      pad.classList.add("is-down");
    });
    pad.addEventListener("pointermove", (event) => {
      const was = down.get(event.pointerId);
      if (!was) return;
      const dx = event.clientX - was.x, dy = event.clientY - was.y;
      was.x = event.clientX;
      was.y = event.clientY;
      source = "mouse";
      if (was.turn) {
        drag[hand].angular[1] += dx * DRAG_RAD_PER_PX;
        drag[hand].angular[0] += dy * DRAG_RAD_PER_PX;
      } else {
        drag[hand].linear[0] += dx * DRAG_M_PER_PX;
        drag[hand].linear[1] -= dy * DRAG_M_PER_PX;
      }
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      pad.addEventListener(end, (event) => {
        down.delete(event.pointerId);
        pad.classList.toggle("is-down", down.size > 0);
      });
    }
    pad.addEventListener("wheel", (event) => {
      event.preventDefault();
      choose(hand);
      source = "mouse";
      const px = event.deltaMode === 0 ? event.deltaY : event.deltaY * 33;
      drag[hand].linear[2] += px * WHEEL_M_PER_PX;
    }, { passive: false });
    pad.addEventListener("contextmenu", (event) => event.preventDefault());
    pad.release = () => { down.clear(); pad.classList.remove("is-down"); };
  }

  // ---- gamepad ---------------------------------------------------------------------------------
  // The browser's "standard" layout: 0 A, 1 B, 2 X, 3 Y, 4 LB, 5 RB, 6 LT, 7 RT.
  function stick(x, y) {
    const length = Math.hypot(x, y);
    if (length <= DEAD_ZONE) return [0, 0];
    const share = Math.min(1, (length - DEAD_ZONE) / (1 - DEAD_ZONE)) / length;
    return [x * share, y * share];
  }
  function gamepad() {
    const pads = navigator.getGamepads ? [...navigator.getGamepads()].filter(Boolean) : [];
    const pad = pads.find((p) => p.mapping === "standard");
    const words = pad ? `In use: ${pad.id}.` : pads.length
      ? `${pads[0].id} has no standard layout and is not used.`
      : "No gamepad seen; press one of its buttons.";
    Longhand.setText("gamepad", words);
    if (!pad) return null;
    const button = (i) => pad.buttons[i]?.value ?? 0;
    const beyond = (v) => (v <= DEAD_ZONE ? 0 : (v - DEAD_ZONE) / (1 - DEAD_ZONE));
    const sides = HANDS.map((_, i) => {
      const [x, y] = stick(pad.axes[2 * i] ?? 0, pad.axes[2 * i + 1] ?? 0);
      const deep = button(4 + i) > 0.5;
      return {
        linear: deep ? [0, 0, y] : [x, -y, 0],
        angular: deep ? [0, 0, -x] : [0, 0, 0],
        jaw: beyond(button(2 - i)) - beyond(button(6 + i)),
      };
    });
    // X (2) opens the left jaw, B (1) the right one.
    const moved = sides.some((s) => [...s.linear, ...s.angular, s.jaw].some((v) => v !== 0));
    if (moved) source = "gamepad";
    return { sides, pedal: button(0) > 0.5, clutch: button(3) > 0.5 };
  }

  // ---- one sample ------------------------------------------------------------------------------
  function rates(hand, seconds, pad) {
    const speed = Number(document.getElementById("speed").value);
    const shift = shifted;
    const column = hand === chosen ? 0 : 1;
    const want = { linear: [0, 0, 0], angular: [0, 0, 0], jaw: 0 };
    for (const move of MOVES) {
      if (!keys.has(move[column])) continue;
      const [, , axis, sign] = move;
      if (shift) want.angular[TURN_AXIS[axis]] += TURN_SIGN[TURN_AXIS[axis]] * sign * TURN_RAD_S;
      else want.linear[axis] += sign * speed;
    }
    want.linear[2] += ((held(hand + "near") ? 1 : 0) - (held(hand + "away") ? 1 : 0)) * speed;
    const opens = keys.has(["KeyG", "KeyM"][column]) || held(hand + "open");
    const closes = keys.has(["KeyF", "KeyN"][column]) || held(hand + "close");
    want.jaw = ((opens ? 1 : 0) - (closes ? 1 : 0)) * JAW_RAD_S;

    const now = keyed[hand], moved = drag[hand];
    const side = pad ? pad.sides[HANDS.indexOf(hand)] : STILL;
    const toward = (is, to) => (Math.abs(to - is) < 1e-4 ? to : is + (to - is) * RAMP);
    const clamp = (v, most) => Math.max(-most, Math.min(most, v));
    const jaw_rad_s = clamp(want.jaw + side.jaw * JAW_RAD_S, JAW_MAX);
    const out = { linear_m_s: [], angular_rad_s: [], jaw_rad_s };
    for (let i = 0; i < 3; i++) {
      // Starting is ramped; stopping is at once, as a hand expects.
      now.linear[i] = want.linear[i] === 0 ? 0 : toward(now.linear[i], want.linear[i]);
      now.angular[i] = want.angular[i] === 0 ? 0 : toward(now.angular[i], want.angular[i]);
      // The wheel clicks; a click is spread over a few samples instead of sent as a blow.
      const share = i === 2 && Math.abs(moved.linear[2]) > 1e-5 ? 0.3 : 1;
      const v = moved.linear[i] * share;
      moved.linear[i] -= v;
      sent[hand].linear[i] = v;
      const linear = now.linear[i] + v / seconds + side.linear[i] * speed;
      out.linear_m_s.push(clamp(linear, RATE_MAX));
      const w = moved.angular[i];
      moved.angular[i] = 0;
      sent[hand].angular[i] = w;
      const angular = now.angular[i] + w / seconds + side.angular[i] * TURN_RAD_S;
      out.angular_rad_s.push(clamp(angular, TURN_MAX));
    }
    return out;
  }
  let shifted = false;
  for (const kind of ["keydown", "keyup"]) {
    document.addEventListener(kind, (event) => { shifted = event.shiftKey; });
  }

  function sample(now) {
    // A long wait must not turn a drag into a crawl, nor a short one into a blow.
    const passed = sampledAt === null ? 0.016 : (now - sampledAt) / 1000;
    const seconds = Math.min(0.05, Math.max(0.008, passed));
    sampledAt = now;
    // The last sample's rates were held until now, but no longer than it said: what is then missing
    // of its drag goes on with this one, and what was too much is taken back.
    const rest = 1 - Math.min(passed, HOLDS * meantFor) / meantFor;
    for (const hand of HANDS) {
      for (const way of ["linear", "angular"]) {
        for (let i = 0; i < 3; i++) drag[hand][way][i] += sent[hand][way][i] * rest;
      }
    }
    meantFor = seconds;
    const pad = gamepad();
    const energy = (hand) =>
      held(hand + "energy") || keys.has(hand === chosen ? "KeyV" : "KeyB");
    return {
      source,
      for_ms: seconds * HOLDS * 1000,
      psm1: rates("psm1", seconds, pad),
      psm2: rates("psm2", seconds, pad),
      operator_present: held("pedal") || keys.has("Space") || Boolean(pad && pad.pedal),
      pedal_locked: locked,
      clutch: held("clutch") || keys.has("KeyC") || Boolean(pad && pad.clutch),
      energy: { psm1: energy("psm1"), psm2: energy("psm2") },
    };
  }

  // Lets go of everything: the page was left, hidden, or has lost the console.
  function release() {
    keys.clear();
    for (const by of holds.values()) { by.clear(); by.show(); }
    for (const pad of document.querySelectorAll("[data-pad]")) pad.release();
    for (const hand of HANDS) {
      drag[hand] = { linear: [0, 0, 0], angular: [0, 0, 0] };
      keyed[hand] = { linear: [0, 0, 0], angular: [0, 0, 0], jaw: 0 };
    }
    for (const hand of HANDS) sent[hand] = { linear: [0, 0, 0], angular: [0, 0, 0] };
    locked = false;
    lock.checked = false;
    sampledAt = null;
  }

  // What is held, whichever way, shown on the on-screen buttons.
  function show(input) {
    document.getElementById("pedal").setAttribute("aria-pressed", String(input.operator_present || input.pedal_locked));
    document.getElementById("clutch").setAttribute("aria-pressed", String(input.clutch));
  }

  choose("psm1");
  return { sample, release, show, driving, focus: () => area.focus({ preventScroll: true }) };
})();
