// The page itself: the socket to the console, and every word and number on the screen.
//
// Knows: the JSON of view.rs and input.rs, and which element shows what. Does not know: how a thing
// is drawn (draw.js) or held (hands.js). It never talks to the robot; it shows what the console
// says and how old that is, and it sends what the hands do, 60 times a second.
"use strict";

(() => {
  const byId = (id) => document.getElementById(id);
  const shown = new Map();
  // Writes only what changed: a screen reader and the layout are left in peace.
  Longhand.setText = (id, text) => {
    if (shown.get(id) === text) return;
    shown.set(id, text);
    byId(id).textContent = text;
  };
  const setText = Longhand.setText;
  const number = (v, digits = 0) => (v === null || v === undefined ? "\u2014" : v.toFixed(digits));

  // Older than this, the picture is drawn as stale. Chosen: 200 ms is where the robot latches.
  const STALE_MS = 200;
  // How often a sample goes out, at most: a frame of 60 Hz, a little less so that none is skipped.
  const SAMPLE_MS = 14;

  const token = new URLSearchParams(location.search).get("token") ?? "";
  let socket = null, holds = false, askedAgain = false, seq = 0, sentAt = 0;
  let word = null, wordAt = 0;             // the newest view and when it came
  let acks = [], command = null;           // asked for, to go with the next sample
  let refused = "", refusedUntil = 0;
  const samples = [];                      // the last 60 s
  const changes = { stage: null, at: 0, words: "" };
  let stops = null;

  // ---- the socket ------------------------------------------------------------------------------
  function connect() {
    const to = new WebSocket(`ws://${location.host}/socket?token=${token}`);
    socket = to;
    seq = 0;
    to.onmessage = (event) => { if (socket === to) hear(JSON.parse(event.data)); };
    to.onclose = () => {
      if (socket !== to) return;
      socket = null;
      holds = false;
      Longhand.hands.release();
      setTimeout(() => { if (!socket) connect(); }, 1000);
    };
  }
  function hear(said) {
    if (said.kind === "view") { word = said; wordAt = performance.now(); note(said); }
    else if (said.kind === "you") greeted(said.holds_input);
    else if (said.kind === "error") tell(said.said);
  }
  function greeted(holds_input) {
    holds = holds_input;
    if (holds) return;
    Longhand.hands.release();
    // On a reload the console may not have seen the old page go yet: ask once more, then leave it.
    if (!askedAgain) { askedAgain = true; setTimeout(takeOver, 700); }
  }
  function takeOver() {
    if (holds) return;
    const was = socket;
    socket = null;
    if (was) was.close();
    connect();
  }
  function tell(words) {
    refused = words;
    refusedUntil = performance.now() + 6000;
    setText("announce", words);
  }

  // ---- the hands -------------------------------------------------------------------------------
  function send(now) {
    if (!socket || socket.readyState !== WebSocket.OPEN || !holds) return;
    const visible = document.visibilityState === "visible", focused = document.hasFocus();
    const input = Longhand.hands.sample(now);
    Longhand.hands.show(input);
    const message = { seq: ++seq, hand_time_ms: now, ...input, visible, focused };
    if (acks.length) message.ack = acks.splice(0, 32);
    if (command) { message.state_command = command; command = null; }
    if (again) { message.task_again = true; again = false; }
    socket.send(JSON.stringify(message));
    sentAt = now;
  }
  function leave() {
    Longhand.hands.release();
    send(performance.now());
  }
  window.addEventListener("blur", leave);
  window.addEventListener("pagehide", leave);
  document.addEventListener("visibilitychange", leave);

  for (const button of document.querySelectorAll("[data-command]")) {
    button.addEventListener("click", (event) => {
      if (button.getAttribute("aria-disabled") === "true") {
        tell(`${button.textContent} applies only in ${button.dataset.from.replaceAll(" ", ", ")}.`);
      } else if (!holds) tell("This page only watches; it cannot change the operating state.");
      else command = button.dataset.command;
      if (event.detail) Longhand.hands.focus();
    });
  }
  for (const control of document.querySelectorAll("select, .hands input, summary")) {
    // After a mouse the keys go back to the hands; after the keyboard the focus stays.
    control.addEventListener("change", () => {
      if (!control.matches(":focus-visible")) Longhand.hands.focus();
    });
  }
  byId("take-over").addEventListener("click", () => {
    takeOver();
    Longhand.hands.focus();
  });

  // ---- what is remembered ----------------------------------------------------------------------
  function keep(sample) {
    samples.push(sample);
    while (samples[0].at < sample.at - 61000) samples.shift();
  }
  function note({ view, state_age_ms }) {
    const now = performance.now();
    if (state_age_ms === null || state_age_ms > STALE_MS) {  // not known: a gap in the time line
      keep({ at: now, loop_age_ms: null, stage: null, stopped: false });
      return;
    }
    const stopped = stops !== null && view.counters.safe_stops > stops;
    stops = view.counters.safe_stops;
    keep({ at: now, loop_age_ms: view.link.loop_age_ms, stage: view.stage, stopped });
    if (view.stage !== changes.stage) {
      const from = changes.stage;
      changes.stage = view.stage;
      changes.at = now;
      // Follow and Coast alternate on every jittery link; that is no news.
      const calm = (stage) => stage === "Follow" || stage === "Coast";
      if (from && !(calm(from) && calm(view.stage))) {
        changes.words = `${from} \u2192 ${view.stage}`;
        changes.wordsAt = now;
        changes.unsaid = true;
      }
    }
  }
  // Tells a screen reader of a stage once it has lasted 300 ms, so that a flicker is not read out.
  function announce(view, now) {
    if (!changes.unsaid || now - changes.at < 300) return;
    changes.unsaid = false;
    const next = view.advisory.do_next ? ` ${view.advisory.do_next}` : "";
    setText("announce", `Stage ${view.stage}, ${view.operating_state}.${next}`);
  }

  // ---- what is shown ---------------------------------------------------------------------------
  function showStage(view, age, stale) {
    const look = Longhand.STAGES[view.stage] ?? Longhand.STAGES.Disabled;
    if (shown.get("stage") !== view.stage) {
      byId("stage-shape").setAttribute("d", look.shape);
      byId("stage-card").style.setProperty("--stage", look.colour);
      document.title = `${view.stage} - Longhand console`;
    }
    setText("stage", view.stage);
    // An old stage is only what was; it must not look like what is.
    byId("stage-card").classList.toggle("is-stale", stale);
    setText("operating-state", view.operating_state + (view.is_homed ? "" : ", not enabled"));
    setText("stage-age", !stale ? "" : age === null ? "\u25b2 No robot state has come yet."
      : `\u25b2 As it was ${(age / 1000).toFixed(1)} s ago; the present stage is not known.`);
    setText("stage-meaning", look.meaning);
    setText("reason", view.reason === "None" ? "" : `Why: ${view.reason_words}`);
    setText("do-next", stale && age !== null ? "Wait until the robot's states come again."
      : view.advisory.do_next || "Nothing; go on.");
    setText("advisory", view.advisory.text);
    for (const button of document.querySelectorAll("[data-command]")) {
      const applies = button.dataset.from.split(" ").includes(view.operating_state);
      button.setAttribute("aria-disabled", String(!applies));
    }
  }

  const SHAPES = { up: "\u25cf up", connecting: "\u25d0 connecting", down: "\u2715 down" };
  function showHead(view, age) {
    setText("session", view.session || "none");
    setText("link-state", SHAPES[view.link.state] ?? view.link.state);
    byId("pedal-lock-label").hidden = !view.practice;
    setText("link-profile", [view.link_profile, view.link.words].filter(Boolean).join(", "));
    setText("view-age", age === null ? "no robot state yet"
      : `${age > STALE_MS ? "\u25b2 " : ""}${Math.round(age)} ms old`);
    const levels = [view.engaged ? "engaged" : "not engaged", view.clutch ? "clutched" : "",
      view.operator_present ? "pedal down" : "pedal up", `scale ${number(view.scale, 2)}`];
    const all = [view.input_in_use || "none", ...levels.filter(Boolean)];
    setText("input-in-use", all.join(" \u00b7 "));
  }

  const ROW = ["name", "at", "off", "jaw", "notes"];
  function showArms(view) {
    const body = byId("arms");
    for (const arm of view.arms) {
      if (!byId(arm.name + "name")) {
        const row = body.insertRow();
        for (const part of ROW) row.insertCell().id = arm.name + part;
      }
      const p = arm.measured_cp.position_mm;
      setText(arm.name + "name", arm.name);
      setText(arm.name + "at", p.map((v) => number(v, 2)).join("  "));
      const goal = arm.servo_cp && arm.servo_cp.position_mm;
      const off = goal ? Math.hypot(...p.map((v, i) => v - goal[i])) : null;
      setText(arm.name + "off", number(off, 2));
      setText(arm.name + "jaw", number(arm.measured_jaw_deg, 1));
      setText(arm.name + "notes", [arm.energy ? "\u26a1 energy on" : "energy off",
        arm.limited ? "\u25a0 limited" : ""].filter(Boolean).join(" "));
    }
  }

  // ---- the task ----------------------------------------------------------------------------------
  const MISTAKES = [["dropped_on_board", "dropped"], ["dropped_out_of_field", "lost"],
    ["wrong_peg", "wrong peg"], ["not_passed", "not passed"], ["empty_grasp", "empty grasp"],
    ["collision", "collision"], ["excessive_force", "too much force"],
    ["out_of_workspace", "out of the workspace"], ["missed_entry", "missed entry"],
    ["overshoot", "overshoot"]];
  const TASK_FIGURES = [
    ["points", (s) => number(s.points, 1)], ["penalties", (s) => `${number(s.penalties_s)} s`],
    ["force left", (s) => `${number(s.force_n[0], 1)} N`],
    ["force right", (s) => `${number(s.force_n[1], 1)} N`],
    ["path left", (s) => `${number(s.path_mm[0])} mm`],
    ["path right", (s) => `${number(s.path_mm[1])} mm`],
    ["clutched", (s) => s.clutches], ["safe stops", (s) => s.safe_stops],
  ];
  function pairs(id, prefix, figures) {
    figures.forEach(([name], i) => {
      byId(id).append(Object.assign(document.createElement("dt"), { textContent: name }),
        Object.assign(document.createElement("dd"), { id: prefix + i }));
    });
  }
  pairs("task-figures", "task-figure", TASK_FIGURES);
  let again = false, mistakes = 0;
  byId("task-again").addEventListener("click", (event) => {
    if (holds) again = true; else tell("This page only watches; it cannot begin the task anew.");
    if (event.detail) Longhand.hands.focus();
  });
  function showTask(picture) {
    byId("task").hidden = !picture;
    if (!picture) return;
    const score = picture.score;
    setText("task-name", picture.task);
    setText("task-title", picture.title);
    setText("task-time", number(score.time_s, 1));
    setText("task-limit", `s of ${number(score.limit_s)} s`);
    const errors = MISTAKES.filter(([key]) => score.errors[key])
      .map(([key, words]) => `${words} ${score.errors[key]}`);
    const lead = score.inserted && `lead ${number(score.inserted.depth_error_mm, 1)} mm from its `
      + `depth, ${number(score.inserted.lateral_mm, 1)} mm beside its line, `
      + `${number(score.inserted.angle_deg, 1)}\u00b0 askew`;
    const how = score.completed ? "\u2713 done" : score.over ? "\u2715 over, not done"
      : score.time_s > score.limit_s ? "\u25b2 beyond the cut-off: no points"
        : score.time_s > 0 ? "\u25cf under way" : "begins when the robot follows";
    const moves = `${score.moves} of ${score.moves_in_all} moves`;
    setText("task-state", [how, lead || moves, ...errors].join("; "));
    TASK_FIGURES.forEach(([, of], i) => setText(`task-figure${i}`, String(of(score))));
    const made = MISTAKES.reduce((sum, [key]) => sum + score.errors[key], 0);
    if (made > mistakes) setText("announce", errors.join(", "));
    mistakes = made;
  }

  const MARKS = { high: "!!! high", medium: "!! medium", info: "i info" };
  const RANK = { high: 0, medium: 1, info: 2 };
  const rows = new Map();
  let order = "";
  function showAlarms(alarms) {
    const sorted = [...alarms].sort((a, b) => (a.acknowledged - b.acknowledged)
      // What is the case comes before what was.
      || (a.over - b.over)
      || RANK[a.priority] - RANK[b.priority] || a.since_ms - b.since_ms);
    const list = byId("alarms");
    for (const alarm of sorted) {
      if (rows.has(alarm.id)) continue;
      const row = document.createElement("li");
      for (const name of ["mark", "since dim", "what"]) {
        row.append(Object.assign(document.createElement("span"), { className: name }));
      }
      const button = Object.assign(document.createElement("button"), { type: "button" });
      button.textContent = "Acknowledge";
      button.addEventListener("click", (event) => {
        if (holds) acks.push(alarm.id); else tell("This page only watches; it cannot acknowledge.");
        if (event.detail) Longhand.hands.focus();
      });
      row.append(button);
      rows.set(alarm.id, row);
      if (alarm.priority === "high" && !alarm.acknowledged) setText("alert", alarm.text);
    }
    for (const [id, row] of rows) {
      const alarm = alarms.find((a) => a.id === id);
      if (!alarm) {
        if (row.contains(document.activeElement)) Longhand.hands.focus();
        row.remove();
        rows.delete(id);
        continue;
      }
      const [mark, since, what, button] = row.children;
      row.dataset.priority = alarm.priority;
      row.classList.toggle("seen", alarm.acknowledged);
      const words = (element, text) => {
        if (element.textContent !== text) element.textContent = text;
      };
      words(mark, MARKS[alarm.priority]);
      const seen = alarm.acknowledged ? ", seen" : "";
      words(since, `${Math.floor(alarm.since_ms / 1000)} s ago${seen}`);
      words(what, alarm.text);
      button.setAttribute("aria-label", `Acknowledge: ${alarm.text}`);
      if (alarm.acknowledged && button === document.activeElement) Longhand.hands.focus();
      button.hidden = alarm.acknowledged;
    }
    const now = sorted.map((a) => a.id).join();
    if (now !== order) {
      order = now;
      const focused = document.activeElement;
      for (const alarm of sorted) list.append(rows.get(alarm.id));
      if (list.contains(focused)) focused.focus();
    }
    const fresh = alarms.filter((a) => !a.acknowledged).length;
    setText("alarm-count", alarms.length ? `${fresh} to acknowledge` : "");
    byId("no-alarms").hidden = alarms.length > 0;
  }

  const FIGURES = [
    ["network rtt", (v) => `${number(v.link.rtt_ms, 1)} ms`],
    ["loss", (v) => `${number(v.link.loss_percent, 2)} %`],
    ["playout", (v) => `${number(v.link.playout_delay_ms, 1)} ms`],
    ["age", (v) => `${number(v.link.age_ms, 1)} ms`],
    ["accepted", (v) => v.counters.accepted], ["rejected", (v) => v.counters.rejected],
    // The robot's count of lost commands holds those that this console never sent.
    ["lost", (v) => v.counters.lost], ["never sent", (v) => v.commands_skipped],
    ["late ticks", (v) => v.counters.late_ticks], ["missed ticks", (v) => v.counters.missed_ticks],
    ["safe stops", (v) => v.counters.safe_stops],
    ["frames", () => `${framesASecond(performance.now())} /s`],
    // From the robot state's receipt to the frame that shows it, over the last ten seconds.
    ["state to frame", () => `${number(stateToPhoton(0.5), 1)} ms`],
    ["at p99", () => `${number(stateToPhoton(0.99), 1)} ms`],
  ];
  pairs("figures", "figure", FIGURES);

  function showFigures(view, now, stale) {
    const { loop_age_ms: age, loop_age_warn_ms: warn, loop_age_max_ms: max } = view.link;
    setText("loop-age", number(age));
    const word = age === null ? "\u25cb not known" : stale ? "\u25b2 old figure"
      : max !== null && age > max ? "\u25a0 too old"
      : warn !== null && age > warn ? "\u25b2 late" : "\u25cf good";
    setText("loop-age-word", word);
    FIGURES.forEach(([, of], i) => setText(`figure${i}`, String(of(view))));
    if (changes.words) {
      const ago = Math.floor((now - changes.wordsAt) / 1000);
      setText("last-change", `${changes.words}, ${ago} s ago; \u25bc is a safe stop`);
    }
    const histogram = view[byId("histogram-of").value];
    const total = histogram.counts.reduce((a, b) => a + b, 0);
    const at = (p) => number(Longhand.quantile(histogram, p), 1);
    setText("histogram-words",
      `p50 ${at(0.5)}, p99 ${at(0.99)}, p99.9 ${at(0.999)} ms of ${total}; hatched: the worst 1 %`);
    Longhand.drawGauge(byId("gauge"), age, warn, max);
    Longhand.drawTimeline(byId("timeline"), samples, now, warn, max);
    Longhand.drawHistogram(byId("histogram"), histogram);
    byId("gauge").setAttribute("aria-label", `Loop age ${number(age)} ms, ${word.slice(2)}`);
  }

  function showBanner(now) {
    let words = "";
    const watching = socket && socket.readyState === WebSocket.OPEN && !holds && word;
    if (!socket || socket.readyState !== WebSocket.OPEN) {
      words = "\u25b2 No connection to the console; trying again. If it was restarted, open the "
        + "address it printed.";
    } else if (watching) {
      words = "\u25b2 Watching only: another open page holds the hands. Close that one, then take "
        + "over.";
    } else if (now < refusedUntil) words = `\u25b2 ${refused}`;
    byId("banner").hidden = !words;
    byId("take-over").hidden = !watching;
    setText("banner-text", words);
    const go = Longhand.hands.driving();
    const goes = go ? "keys move the hands" : "keys move the page; Esc: the hands";
    setText("keys-go", `\u2328 ${goes}`);
  }

  // ---- the picture -----------------------------------------------------------------------------
  let scene = null;
  function openPicture() {
    let missing = Longhand.sceneMissing ?? "";
    if (!missing) {
      try { scene = Longhand.openScene(byId("scene")); }
      catch (error) { missing = `this browser draws in no three dimensions (${error.message})`; }
    }
    if (missing) {
      for (const option of byId("view").options) option.disabled = option.value !== "plain";
      byId("view").value = "plain";
      byId("scene-missing").hidden = false;
      setText("scene-missing", `\u25b2 No endoscope picture: ${missing}.`);
    }
    chooseView();
    byId("view").addEventListener("change", chooseView);
  }
  function chooseView() {
    const plain = byId("view").value === "plain";
    byId("endoscope").hidden = plain;
    byId("scene-keys").hidden = plain;
    for (const id of ["views", "view-width-label", "plain-keys"]) byId(id).hidden = !plain;
  }
  // From the receipt of a state to the end of the first frame that shows it, ms.
  const drawnAfter = [];
  let drawn = null;
  function showPicture(view, age, stale) {
    const which = byId("view").value;
    if (which === "plain") {
      const width = Number(byId("view-width").value);
      Longhand.drawView(byId("front"), view.arms, [0, 2], width, age, stale);
      Longhand.drawView(byId("top"), view.arms, [0, 1], width, age, stale);
    } else {
      if (!scene.draw(view, stale, which === "close")) return;
      byId("scene-stale").hidden = !stale;
      if (stale) {
        setText("scene-stale", age === null ? "no view" : `view ${Math.round(age)} ms old`);
      }
    }
    if (drawn !== word && word.state_age_ms !== null && !stale) {
      drawn = word;
      drawnAfter.push(word.state_age_ms + (performance.now() - wordAt));
      if (drawnAfter.length > 600) drawnAfter.shift();
    }
  }
  const stateToPhoton = (share) => {
    const sorted = [...drawnAfter].sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? null;
  };
  const frames = [];  // when the last second's were drawn
  function framesASecond(now) {
    while (frames.length && frames[0] < now - 1000) frames.shift();
    return frames.length;
  }

  // ---- the loop --------------------------------------------------------------------------------
  let slowAt = 0;
  function frame() {
    const now = performance.now();
    showBanner(now);
    if (word) {
      const view = word.view;
      const age = word.state_age_ms === null ? null : word.state_age_ms + (now - wordAt);
      const stale = age === null || age > STALE_MS;
      showPicture(view, age, stale);
      showStage(view, age, stale);
      frames.push(now);
      announce(view, now);
      if (now - slowAt > 66) {  // words and curves: 15 times a second is as fast as one reads
        slowAt = now;
        showHead(view, age);
        showArms(view);
        showTask(view.practice_picture);
        showAlarms(view.alarms);
        showFigures(view, now, stale);
      }
    }
    requestAnimationFrame(frame);
  }
  openPicture();
  connect();
  Longhand.hands.focus();
  requestAnimationFrame(frame);
  // Not with the frames: a picture that is slow to draw must not let go of the pedal.
  setInterval(() => {
    const now = performance.now();
    if (now - sentAt >= SAMPLE_MS) send(now);
  }, SAMPLE_MS);
})();
