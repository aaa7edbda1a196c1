//! Two instruments that are carried about by hand, for tests.
//!
//! Knows: how to bring a tip somewhere in small steps. Does not know: robots.
#![allow(dead_code, reason = "each test binary uses its own part")]

use longhand_protocol::geometry::{ArmId, PerArm, Pose};
use longhand_protocol::message::Stage;
use longhand_train::contact::{ContactWorld, Loose, Scene, Tool, ring};
use longhand_train::episode::{ArmSaid, Episode, Tick};
use nalgebra::{Isometry3, Matrix3, Rotation3, UnitQuaternion, Vector3};

/// A jaw wide open, radians.
pub const OPEN: f64 = 1.3;
/// A jaw that holds a ring firmly, radians.
pub const SHUT: f64 = 0.6;
/// How high the jaw's pivot is above a ring that it grasps, metres.
pub const ABOVE: f64 = 7.5e-3;
/// A ring's middle to the middle of its tube, and the tube's radius.
pub const RING: (f64, f64) = (9e-3, 2.5e-3);

/// A tip that hangs straight down as the arm's does at home; the jaw opens along x.
pub fn down() -> UnitQuaternion<f64> {
    let turn = Matrix3::new(0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, -1.0);
    UnitQuaternion::from_rotation_matrix(&Rotation3::from_matrix_unchecked(turn))
}

/// A tool at this place.
pub fn tool(at: Vector3<f64>, jaw: f64) -> Tool {
    Tool { tip: Isometry3::from_parts(at.into(), down()), jaw }
}

/// Rings on pegs at these places.
pub fn scene(rings: &[[f64; 2]]) -> Scene {
    let (radius, tube) = RING;
    let loose = |[x, y]: &[f64; 2]| Loose {
        parts: ring(radius, tube),
        mass: 1e-3,
        at: Vector3::new(*x, *y, tube + 1e-3),
    };
    Scene {
        rcm: [Vector3::new(-0.04, 0.0, 0.155), Vector3::new(0.04, 0.0, 0.155)],
        half: [0.08, 0.045],
        pegs: rings.to_vec(),
        peg_radius: 1.5e-3,
        peg_height: 10e-3,
        objects: rings.iter().map(loose).collect(),
    }
}

/// What can be stepped.
pub trait Stepped {
    fn step(&mut self, tools: &PerArm<Tool>);
    fn ring(&self, number: usize) -> Vector3<f64>;
}

impl Stepped for ContactWorld {
    fn step(&mut self, tools: &PerArm<Tool>) {
        Self::step(self, tools);
    }
    fn ring(&self, number: usize) -> Vector3<f64> {
        self.objects()[number].pose.translation.vector
    }
}

impl Stepped for Episode {
    fn step(&mut self, tools: &PerArm<Tool>) {
        let [one, two] = self.task().rcm;
        let said = |tool: &Tool, rcm: Vector3<f64>| ArmSaid {
            tip: Pose::new(tool.tip.translation.vector - rcm, tool.tip.rotation),
            jaw: tool.jaw,
        };
        let arms = PerArm { psm1: said(&tools.psm1, one), psm2: said(&tools.psm2, two) };
        self.tick(&Tick { arms, stage: Stage::Follow, clutch: false });
    }
    fn ring(&self, number: usize) -> Vector3<f64> {
        self.view().rings[number].at
    }
}

/// A world and the tools in it.
pub struct Bench<W> {
    pub world: W,
    pub tools: PerArm<Tool>,
    pub ticks: u32,
    pub path: PerArm<f64>,
}

impl<W: Stepped> Bench<W> {
    pub fn new(world: W) -> Self {
        let tools = PerArm {
            psm1: tool(Vector3::new(-0.04, 0.0, 0.045), OPEN),
            psm2: tool(Vector3::new(0.04, 0.0, 0.045), OPEN),
        };
        Self { world, tools, ticks: 0, path: PerArm::default() }
    }

    pub fn wait(&mut self, ms: u32) {
        for _ in 0..ms {
            self.world.step(&self.tools);
            self.ticks += 1;
        }
    }

    /// At 40 mm/s.
    pub fn go(&mut self, arm: ArmId, to: Vector3<f64>) {
        let from = self.tools.get(arm).tip.translation.vector;
        *self.path.get_mut(arm) += (to - from).norm();
        let steps = ((to - from).norm() / 40e-6).ceil().max(1.0);
        let mut done = 0.0;
        while done < steps {
            done += 1.0;
            self.tools.get_mut(arm).tip.translation = (from + (to - from) * (done / steps)).into();
            self.wait(1);
        }
    }

    /// By so much from where it is, through the air.
    pub fn by(&mut self, arm: ArmId, way: [f64; 3]) {
        let from = self.tools.get(arm).tip.translation.vector;
        self.go(arm, from + Vector3::from(way));
    }

    /// At 2 rad/s.
    pub fn jaw(&mut self, arm: ArmId, to: f64) {
        while (self.tools.get(arm).jaw - to).abs() > 1e-9 {
            let jaw = &mut self.tools.get_mut(arm).jaw;
            *jaw += (to - *jaw).clamp(-2e-3, 2e-3);
            self.wait(1);
        }
    }

    pub fn ring(&self, number: usize) -> Vector3<f64> {
        self.world.ring(number)
    }

    /// Grasps a ring at its own side (the left hand at the left) and lifts it.
    pub fn pick(&mut self, arm: ArmId, number: usize) {
        let at = self.ring(number) + Vector3::x() * RING.0 * side(arm);
        let high = Vector3::z() * 30e-3;
        self.go(arm, at + high);
        self.go(arm, at + Vector3::z() * ABOVE);
        self.jaw(arm, SHUT);
        self.go(arm, at + high);
    }

    /// From one hand to the other, over the middle of the board.
    pub fn pass(&mut self, giver: ArmId, taker: ArmId, number: usize) {
        let up = self.tools.get(giver).tip.translation.vector.z;
        self.go(giver, Vector3::new(RING.0 * side(giver), 0.0, up));
        let at = self.ring(number) + Vector3::x() * RING.0 * side(taker);
        self.go(taker, at + Vector3::z() * 20e-3);
        self.go(taker, at + Vector3::z() * ABOVE);
        self.jaw(taker, SHUT);
        self.jaw(giver, OPEN);
        self.go(giver, Vector3::new(0.035 * side(giver), 0.0, up + 15e-3));
    }

    /// Lets a ring that is held go over this place, and leaves it time to come to rest.
    pub fn put(&mut self, arm: ArmId, number: usize, [x, y]: [f64; 2], height: f64) {
        let ring = self.ring(number);
        self.by(arm, [x - ring.x, y - ring.y, 0.0]);
        let ring = self.ring(number);
        self.by(arm, [x - ring.x, y - ring.y, height - ring.z]);
        self.jaw(arm, OPEN);
        self.wait(250);
        self.by(arm, [0.0, 0.0, 25e-3]);
        self.wait(1_500);
    }
}

fn side(arm: ArmId) -> f64 {
    match arm {
        ArmId::Psm1 => -1.0,
        ArmId::Psm2 => 1.0,
    }
}
