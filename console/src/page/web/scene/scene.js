// The picture: both instruments, and the task where there is one, as an endoscope would show them.
//
// Knows: shapes, light, cameras, and how old a picture may look fresh. Does not know: the socket,
// the keys, what a task is for. It draws what the console says that the robot last said, never the
// hand; the hand's own command is a ghost, so that the delay between both can be seen.
//
// Frame: the board's, millimetres: x to the surgeon's right, y away, z up. An instrument hangs from
// its remote centre; the axes of its base are the board's. The tip's z points along the closed
// jaws, its x is the axis they open about (sim/train, `instrument`).
import * as THREE from "three";

const BLADE = 8, LINK = 9.1, SHAFT_R = 4, LINK_R = 3;  // mm: sim/train, `instrument`
// Where the arms hang where no task says it. Chosen: as the shipped tasks have it.
const RCM = [[-40, 0, 155], [40, 0, 155]];
const RAD = Math.PI / 180;
// With more than this from frame to frame on average, the picture is made plainer. Chosen: below 40
// frames a second, over so many of them.
const SLOW_MS = 25, JUDGED_OVER = 30;
// How plain, step by step: shadows, the most pixels for each of the page's, the view from above, and
// the least time from picture to picture, which leaves the processor to the hands.
const LOOKS = [{ shadows: true, ratio: 2, top: true, every: 0 },
  { shadows: false, ratio: 1, top: true, every: 0 },
  { shadows: false, ratio: 0.6, top: false, every: 60 }];
const PLAINEST = LOOKS.length - 1;

const INK = { board: 0x5d7a86, edge: 0x2c3c45, from: 0xb9c6cc, to: 0xe8d9a8, ring: 0xd9603b,
  held: 0xffc46b, metal: 0xc9d2d8, dark: 0x5b666d, ghost: 0x6fbcff, energy: 0xf2c14e,
  lead: 0xf2f2f2, target: 0x4fc98f, back: 0x0b1115 };

const up = new THREE.Vector3(0, 1, 0), scratch = new THREE.Vector3();

// A cylinder's mesh, laid from a to b. Its geometry is one long about y.
function lay(mesh, a, b) {
  scratch.subVectors(b, a);
  const length = Math.max(1e-3, scratch.length());
  mesh.position.copy(a).addScaledVector(scratch, 0.5);
  mesh.scale.set(1, length, 1);
  mesh.quaternion.setFromUnitVectors(up, scratch.divideScalar(length));
}

const tube = (r0, r1, material) =>
  new THREE.Mesh(new THREE.CylinderGeometry(r1, r0, 1, 20), material);

// One instrument; `look` makes its materials, so that a ghost is the same thing in another look.
class Tool {
  constructor(look, casts) {
    this.group = new THREE.Group();
    this.look = { shaft: look(INK.dark), link: look(INK.metal), blade: look(INK.metal) };
    this.shaft = tube(SHAFT_R, SHAFT_R, this.look.shaft);
    this.link = tube(LINK_R, LINK_R * 0.8, this.look.link);
    this.pin = new THREE.Mesh(new THREE.SphereGeometry(LINK_R * 0.82, 16, 12), this.look.link);
    // A blade lies along z from its pivot, narrower at its end, flat where the two meet.
    const shape = new THREE.CylinderGeometry(0.55, 1.25, BLADE, 4, 1);
    shape.rotateY(Math.PI / 4).rotateX(Math.PI / 2).translate(0, 0, BLADE / 2);
    this.blades = [1, -1].map(() => new THREE.Mesh(shape, this.look.blade));
    for (const part of [this.shaft, this.link, this.pin, ...this.blades]) {
      part.castShadow = casts;
      this.group.add(part);
    }
  }

  // `cp`: the tip in the arm's base; `rcm`: where that base is.
  show(cp, jawDeg, rcm, energy) {
    const base = new THREE.Vector3(...rcm);
    const tip = new THREE.Vector3(...cp.position_mm).add(base);
    const [w, x, y, z] = cp.orientation_wxyz;
    const turn = new THREE.Quaternion(x, y, z, w);
    const along = new THREE.Vector3(0, 0, 1).applyQuaternion(turn);
    const wrist = tip.clone().addScaledVector(along, -LINK);
    lay(this.shaft, base, wrist);
    lay(this.link, wrist, tip);
    this.pin.position.copy(wrist);
    const half = Math.max(0, jawDeg) * RAD / 2;
    this.blades.forEach((blade, i) => {
      blade.position.copy(tip);
      const open = new THREE.Quaternion().setFromAxisAngle(new THREE.Vector3(1, 0, 0),
        i ? half : -half);
      blade.quaternion.copy(turn).multiply(open);
    });
    this.look.blade.emissive?.setHex(energy ? INK.energy : 0);
    return tip;
  }
}

const solid = (colour) =>
  new THREE.MeshStandardMaterial({ color: colour, roughness: 0.45, metalness: 0.35 });
const ghostly = () => new THREE.MeshBasicMaterial({
  color: INK.ghost, transparent: true, opacity: 0.32, depthWrite: false });

// The board with its pegs, and what lies on them. Made anew where the task is another.
class Task {
  constructor(picture) {
    this.key = Task.key(picture);
    this.group = new THREE.Group();
    const [x, y] = picture.half_mm;
    const board = new THREE.Mesh(new THREE.BoxGeometry(2 * x, 2 * y, 4), solid(INK.board));
    board.position.z = -2;
    board.material.roughness = 0.9;
    board.material.metalness = 0;
    board.receiveShadow = true;
    this.group.add(board, grid(x, y));
    for (const peg of picture.pegs) {
      const colour = peg.side === "from" ? INK.from : INK.to;
      const mesh = tube(picture.peg_radius_mm, picture.peg_radius_mm, solid(colour));
      const [px, py] = peg.at_mm;
      lay(mesh, new THREE.Vector3(px, py, 0), new THREE.Vector3(px, py, picture.peg_height_mm));
      mesh.castShadow = mesh.receiveShadow = true;
      this.group.add(mesh);
    }
    const shape = picture.rings.length
      ? new THREE.TorusGeometry(picture.ring_radius_mm, picture.tube_radius_mm, 14, 48) : null;
    this.rings = picture.rings.map(() => {
      const mesh = new THREE.Mesh(shape, solid(INK.ring));
      mesh.material.metalness = 0;
      mesh.castShadow = mesh.receiveShadow = true;
      this.group.add(mesh);
      return mesh;
    });
    if (picture.path_mm) this.path(picture.path_mm);
  }

  static key(picture) {
    return [picture.task, picture.pegs.length, picture.rings.length].join();
  }

  // The planned way of a lead, and the lead itself.
  path([entry, target]) {
    const [a, b] = [entry, target].map((p) => new THREE.Vector3(...p));
    const plan = tube(0.25, 0.25, new THREE.MeshBasicMaterial({ color: INK.target,
      transparent: true, opacity: 0.7, depthTest: false }));
    lay(plan, a, b);
    const goal = new THREE.Mesh(new THREE.SphereGeometry(1, 16, 12),
      new THREE.MeshBasicMaterial({ color: INK.target, depthTest: false }));
    goal.position.copy(b);
    this.lead = tube(0.65, 0.65, solid(INK.lead));
    this.lead.castShadow = true;
    this.group.add(plan, goal, this.lead);
  }

  show(picture, tips) {
    picture.rings.forEach((ring, i) => {
      const mesh = this.rings[i];
      const [w, x, y, z] = ring.orientation_wxyz;
      mesh.position.set(...ring.position_mm);
      mesh.quaternion.set(x, y, z, w);
      mesh.material.color.setHex(ring.held.length ? INK.held : INK.ring);
      mesh.visible = !ring.lost;
    });
    if (this.lead) {
      this.lead.visible = Boolean(picture.lead_mm);
      if (picture.lead_mm) lay(this.lead, tips[1], new THREE.Vector3(...picture.lead_mm));
    }
  }
}

// Lines every 10 mm: a length to judge by.
function grid(x, y) {
  const points = [];
  for (let at = -Math.floor(x / 10) * 10; at <= x; at += 10) {
    points.push(new THREE.Vector3(at, -y, 0.05), new THREE.Vector3(at, y, 0.05));
  }
  for (let at = -Math.floor(y / 10) * 10; at <= y; at += 10) {
    points.push(new THREE.Vector3(-x, at, 0.05), new THREE.Vector3(x, at, 0.05));
  }
  const lines = new THREE.LineSegments(new THREE.BufferGeometry().setFromPoints(points),
    new THREE.LineBasicMaterial({ color: INK.edge, transparent: true, opacity: 0.55 }));
  return lines;
}

class Picture {
  constructor(canvas) {
    this.canvas = canvas;
    const look = isPainted() ? PLAINEST : 0;
    this.renderer = new THREE.WebGLRenderer({ canvas, antialias: look === 0,
      powerPreference: "high-performance" });
    this.renderer.setClearColor(INK.back);
    this.renderer.shadowMap.enabled = LOOKS[look].shadows;
    this.renderer.autoClear = false;
    this.scene = new THREE.Scene();
    this.light();
    this.tools = [0, 1].map(() => new Tool(solid, true));
    this.ghosts = [0, 1].map(() => new Tool(ghostly, false));
    for (const tool of [...this.tools, ...this.ghosts]) this.scene.add(tool.group);
    this.camera = new THREE.PerspectiveCamera(38, 1, 10, 900);
    this.camera.up.set(0, 0, 1);
    this.top = new THREE.OrthographicCamera(-1, 1, 1, -1, 1, 600);
    this.top.up.set(0, 1, 0);
    this.middle = new THREE.Vector3(0, 0, 10);
    this.task = null;
    this.look = look;
    this.lamp.castShadow = LOOKS[look].shadows;
    this.frames = [];
    this.drawnAt = -Infinity;
  }

  light() {
    this.scene.add(new THREE.HemisphereLight(0xffffff, 0x30404a, 1.1));
    const lamp = new THREE.DirectionalLight(0xffffff, 2.2);
    lamp.position.set(50, -90, 260);
    lamp.castShadow = true;
    lamp.shadow.mapSize.set(1024, 1024);
    Object.assign(lamp.shadow.camera, { left: -120, right: 120, top: 90, bottom: -90, near: 50,
      far: 400 });
    this.scene.add(lamp);
    this.lamp = lamp;
  }

  // What to draw: the view, whether it is stale, and whether to go near the tips. Says whether it
  // was drawn.
  draw(view, stale, close) {
    const now = performance.now();
    if (now - this.drawnAt < LOOKS[this.look].every) return false;
    this.drawnAt = now;
    const picture = view.practice_picture ?? EMPTY;
    if (!this.task || this.task.key !== Task.key(picture)) {
      if (this.task) this.forget(this.task);
      this.task = new Task(picture);
      this.scene.add(this.task.group);
    }
    const rcm = picture.rcm_mm;
    const tips = view.arms.map((arm, i) =>
      this.tools[i].show(arm.measured_cp, arm.measured_jaw_deg, rcm[i], arm.energy));
    view.arms.forEach((arm, i) => {
      const is = Boolean(arm.servo_cp);
      this.ghosts[i].group.visible = is;
      if (is) this.ghosts[i].show(arm.servo_cp, arm.servo_jaw_deg ?? arm.measured_jaw_deg, rcm[i]);
    });
    this.task.show(picture, tips);
    this.canvas.classList.toggle("is-stale", stale);
    this.aim(picture, tips, close);
    this.render(picture);
    this.judge(now);
    return true;
  }

  // The endoscope looks from the surgeon's side, over the board's near edge.
  aim(picture, tips, close) {
    const [x, y] = picture.half_mm;
    const wanted = close
      ? tips[0].clone().add(tips[1]).multiplyScalar(0.5) : new THREE.Vector3(0, 0, 8);
    this.middle.lerp(wanted, close ? 0.06 : 1);
    const apart = close ? Math.max(60, tips[0].distanceTo(tips[1]) * 1.6) : 2.2 * x;
    const far = Math.max(apart / this.camera.aspect, close ? 60 : 2 * y + 25) * 1.15;
    this.camera.position.set(this.middle.x, this.middle.y - 0.72 * far, this.middle.z + far);
    this.camera.lookAt(this.middle);
    this.top.position.set(0, 0, 400);
    this.top.lookAt(0, 0, 0);
  }

  render(picture) {
    const look = LOOKS[this.look];
    const ratio = Math.min(look.ratio, window.devicePixelRatio || 1);
    const w = this.canvas.clientWidth, h = this.canvas.clientHeight;
    if (!w || !h) return;
    if (this.renderer.getPixelRatio() !== ratio) this.renderer.setPixelRatio(ratio);
    const size = this.renderer.getSize(new THREE.Vector2());
    if (size.x !== w || size.y !== h) this.renderer.setSize(w, h, false);
    this.camera.aspect = w / h;
    this.camera.updateProjectionMatrix();
    this.renderer.setScissorTest(false);
    this.renderer.setViewport(0, 0, w, h);
    this.renderer.clear();
    this.renderer.render(this.scene, this.camera);
    if (!look.top) return;
    // The board from above, in a corner: one eye alone judges depth badly.
    const [x, y] = picture.half_mm.map((half) => half * 1.12);
    const wide = Math.min(w * 0.3, 260), high = wide * y / x;
    Object.assign(this.top, { left: -x, right: x, top: y, bottom: -y });
    this.top.updateProjectionMatrix();
    const at = [w - wide - 8, h - high - 8];
    this.renderer.setScissorTest(true);
    this.renderer.setScissor(...at, wide, high);
    this.renderer.setViewport(...at, wide, high);
    this.renderer.clear();
    this.renderer.render(this.scene, this.top);
  }

  // A machine without a graphics card still gets its picture, a plainer one.
  judge(now) {
    if (this.look === PLAINEST) return;
    this.frames.push(now);
    if (this.frames.length <= JUDGED_OVER) return;
    const mean = (this.frames.at(-1) - this.frames[0]) / JUDGED_OVER;
    this.frames = [];
    // A page that nobody looked at drew nothing: that says nothing about the machine.
    if (mean <= SLOW_MS || mean > 2000 || document.visibilityState !== "visible") return;
    this.look += 1;
    this.renderer.shadowMap.enabled = LOOKS[this.look].shadows;
    this.lamp.castShadow = LOOKS[this.look].shadows;
    this.scene.traverse((part) => { if (part.material) part.material.needsUpdate = true; });
  }

  forget(task) {
    this.scene.remove(task.group);
    task.group.traverse((part) => {
      part.geometry?.dispose();
      part.material?.dispose();
    });
  }
}

// Whether the browser draws without a graphics card, by the processor alone.
function isPainted() {
  const gl = document.createElement("canvas").getContext("webgl2");
  const known = gl?.getExtension("WEBGL_debug_renderer_info");
  const name = known ? String(gl.getParameter(known.UNMASKED_RENDERER_WEBGL)) : "";
  gl?.getExtension("WEBGL_lose_context")?.loseContext();
  return /swiftshader|llvmpipe|software/i.test(name);
}

// Where there is no task: a bare board under both arms, to judge lengths by.
const EMPTY = { task: "", half_mm: [80, 45], rcm_mm: RCM, pegs: [], rings: [], lead_mm: null,
  peg_radius_mm: 0, peg_height_mm: 0, ring_radius_mm: 0, tube_radius_mm: 0, path_mm: null };

// The picture on this canvas; throws where the browser draws in no three dimensions.
Longhand.openScene = (canvas) => new Picture(canvas);
