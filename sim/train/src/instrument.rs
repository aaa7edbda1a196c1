//! An instrument as a body in the world: two jaw blades, the wrist's link and the shaft.
//!
//! Knows: where they are for a tip pose and a jaw angle; how far two capsules are apart. Does not
//! know: forces, objects, or what the drives do.
//!
//! The tip's frame, as the page draws it: z points along the closed jaws, x is the axis they open
//! about. Lengths in metres, angles in radians.

use nalgebra::{Isometry3, Vector3};

/// How long a blade is. Source: the page draws it so; the Large Needle Driver's is about that.
pub const BLADE_M: f64 = 8e-3;
/// A blade's radius. Chosen: a needle driver's blade is about a millimetre across.
pub const BLADE_RADIUS_M: f64 = 0.6e-3;
/// From the wrist's pitch axis to its yaw axis. Source: kinematics.md, A of wrist yaw.
const LINK_M: f64 = 0.0091;
/// Half of an 8 mm instrument. Source: da Vinci's EndoWrist instruments are 8 mm.
const SHAFT_RADIUS_M: f64 = 4e-3;
/// Chosen: the clevis is a little thinner than the shaft.
const LINK_RADIUS_M: f64 = 3e-3;
/// How much of the shaft is looked at. Chosen: what can come near the board or the other arm.
const SHAFT_M: f64 = 60e-3;

/// A segment with a radius.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Capsule {
    /// One end of its axis.
    pub a: Vector3<f64>,
    /// The other.
    pub b: Vector3<f64>,
    /// Metres.
    pub radius: f64,
}

/// How far two capsules are apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gap {
    /// Between the surfaces, metres; negative where they overlap.
    pub distance: f64,
    /// The unit direction from the first to the second; zero where their axes meet.
    pub normal: Vector3<f64>,
    /// Half way between the two nearest points of the axes.
    pub middle: Vector3<f64>,
}

impl Capsule {
    /// The same capsule, carried by `pose`.
    #[must_use]
    pub fn carried(&self, pose: &Isometry3<f64>) -> Self {
        let at = |p: &Vector3<f64>| pose.rotation * p + pose.translation.vector;
        Self { a: at(&self.a), b: at(&self.b), radius: self.radius }
    }

    /// How far this capsule and another are apart.
    pub fn gap(&self, other: &Self) -> Gap {
        let (p, q) = nearest(self, other);
        let apart = q - p;
        let length = apart.norm();
        let normal = if length > 0.0 { apart / length } else { Vector3::zeros() };
        let distance = length - self.radius - other.radius;
        Gap { distance, normal, middle: (p + q) * 0.5 }
    }

    /// How far its lowest point is above the height `z`; negative below.
    pub fn above(&self, z: f64) -> f64 {
        self.a.z.min(self.b.z) - self.radius - z
    }
}

/// The nearest points of two axes. Source: Ericson, "Real-Time Collision Detection", 5.1.9.
fn nearest(one: &Capsule, two: &Capsule) -> (Vector3<f64>, Vector3<f64>) {
    let (d1, d2, r) = (one.b - one.a, two.b - two.a, one.a - two.a);
    let (a, e, f) = (d1.dot(&d1), d2.dot(&d2), d2.dot(&r));
    let share = |x: f64| x.clamp(0.0, 1.0);
    let (s, t) = if a <= POINT && e <= POINT {
        (0.0, 0.0)
    } else if a <= POINT {
        (0.0, share(f / e))
    } else {
        let c = d1.dot(&r);
        if e <= POINT {
            (share(-c / a), 0.0)
        } else {
            let b = d1.dot(&d2);
            let denominator = a * e - b * b;
            let s = if denominator > 0.0 { share((b * f - c * e) / denominator) } else { 0.0 };
            let t = (b * s + f) / e;
            match t {
                t if t < 0.0 => (share(-c / a), 0.0),
                t if t > 1.0 => (share((b - c) / a), 1.0),
                t => (s, t),
            }
        }
    };
    (one.a + d1 * s, two.a + d2 * t)
}

/// An axis whose length squared is below this is a point, square metres.
const POINT: f64 = 1e-18;

/// The parts of one instrument, in the board's frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Instrument {
    /// Both blades, from the jaw's pivot to their ends.
    pub blades: [Capsule; 2],
    /// The wrist's link.
    pub link: Capsule,
    /// The lower end of the shaft.
    pub shaft: Capsule,
}

impl Instrument {
    /// The parts for a tip at `tip` with its jaw at `jaw`, on an arm whose remote centre is `rcm`.
    /// All in the board's frame. A jaw closed further than shut is shut.
    pub fn new(rcm: Vector3<f64>, tip: &Isometry3<f64>, jaw: f64) -> Self {
        let pivot = tip.translation.vector;
        let half = jaw.max(0.0) * 0.5;
        let (sine, cosine) = (libm::sin(half), libm::cos(half));
        let blade = |side: f64| Capsule {
            a: pivot,
            b: pivot + tip.rotation * Vector3::new(0.0, side * sine, cosine) * BLADE_M,
            radius: BLADE_RADIUS_M,
        };
        // kinematics.md, closed form: the wrist's yaw axis is the tip's x.
        let axis = tip.rotation * Vector3::x();
        let reach = pivot - rcm;
        let across = reach - axis * reach.dot(&axis);
        let wrist = pivot - unit(across) * LINK_M;
        let up = unit(rcm - wrist);
        Self {
            blades: [blade(1.0), blade(-1.0)],
            link: Capsule { a: wrist, b: pivot, radius: LINK_RADIUS_M },
            shaft: Capsule { a: wrist, b: wrist + up * SHAFT_M, radius: SHAFT_RADIUS_M },
        }
    }

    /// All its parts.
    pub fn parts(&self) -> [Capsule; 4] {
        let [left, right] = self.blades;
        [left, right, self.link, self.shaft]
    }
}

fn unit(v: Vector3<f64>) -> Vector3<f64> {
    let length = v.norm();
    if length > 0.0 { v / length } else { Vector3::z() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::{Translation3, UnitQuaternion};

    fn capsule(a: [f64; 3], b: [f64; 3]) -> Capsule {
        Capsule { a: Vector3::from(a), b: Vector3::from(b), radius: 0.1 }
    }

    #[test]
    fn gaps_of_crossed_parallel_and_end_to_end() {
        let along_x = capsule([0.0; 3], [1.0, 0.0, 0.0]);
        let crossed = capsule([0.5, -1.0, 1.0], [0.5, 1.0, 1.0]);
        assert!((along_x.gap(&crossed).distance - 0.8).abs() < 1e-12);
        assert!((along_x.gap(&crossed).normal - Vector3::z()).norm() < 1e-12);
        let beside = capsule([0.0, 0.5, 0.0], [1.0, 0.5, 0.0]);
        assert!((along_x.gap(&beside).distance - 0.3).abs() < 1e-12);
        let ahead = capsule([3.0, 0.0, 0.0], [2.0, 0.0, 0.0]);
        assert!((along_x.gap(&ahead).distance - 0.8).abs() < 1e-12);
        let point = capsule([0.5, 0.0, 0.15], [0.5, 0.0, 0.15]);
        assert!((point.gap(&along_x).distance + 0.05).abs() < 1e-12, "overlap is negative");
        assert!((along_x.above(-0.3) - 0.2).abs() < 1e-12);
    }

    #[test]
    fn a_jaw_opens_about_the_tips_x_and_the_shaft_points_at_the_remote_centre() {
        let down = UnitQuaternion::from_axis_angle(&Vector3::x_axis(), std::f64::consts::PI);
        let tip = Isometry3::from_parts(Translation3::new(0.01, 0.0, 0.03), down);
        let rcm = Vector3::new(-0.04, 0.02, 0.155);
        let open = Instrument::new(rcm, &tip, 1.0);
        let [left, right] = open.blades;
        assert!((left.b - right.b).norm() > 7e-3);
        assert!((left.b.x - 0.01).abs() < 1e-12, "no blade leaves the plane about x");
        assert!(left.b.z < 0.03, "the jaws point down");
        let axis = (open.shaft.b - open.shaft.a).normalize();
        let to_rcm = (rcm - open.shaft.a).normalize();
        assert!((axis - to_rcm).norm() < 1e-12);
        let shut = Instrument::new(rcm, &tip, -0.3);
        assert!((shut.blades[0].b - shut.blades[1].b).norm() < 1e-12);
    }
}
