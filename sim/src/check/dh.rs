//! Where the tip is, from the Denavit-Hartenberg table alone.
//!
//! Knows: the table and how to multiply. Does not know: the follower's closed form, which this is
//! here to doubt; the two share no line.
//!
//! Source: modified DH of the classic PSM and the Large Needle Driver 400006, dVRK's PSM.json and
//! LARGE_NEEDLE_DRIVER_400006.json (sawIntuitiveResearchKit). Metres, radians.

use nalgebra::{Matrix3, Rotation3, UnitQuaternion, Vector3};

/// One row: `Rot_x(alpha) Trans_x(a) Rot_z(theta) Trans_z(d)`; cosine and sine of alpha are 0 and
/// +-1, but for the first rows of other tools.
struct Row {
    cos_alpha: f64,
    sin_alpha: f64,
    a: f64,
    d: f64,
    theta: f64,
    slides: bool,
}

const QUARTER: f64 = core::f64::consts::FRAC_PI_2;

const fn row(sin_alpha: f64, a: f64, d: f64, theta: f64, slides: bool) -> Row {
    let cos_alpha = if sin_alpha > 0.5 || sin_alpha < -0.5 { 0.0 } else { 1.0 };
    Row { cos_alpha, sin_alpha, a, d, theta, slides }
}

const ROWS: [Row; 6] = [
    row(1.0, 0.0, 0.0, QUARTER, false),
    row(-1.0, 0.0, 0.0, -QUARTER, false),
    row(1.0, 0.0, -0.4318, 0.0, true),
    row(0.0, 0.0, 0.4162, 0.0, false),
    row(-1.0, 0.0, 0.0, -QUARTER, false),
    row(-1.0, 0.0091, 0.0, -QUARTER, false),
];

/// A tip: metres in the robot base, and its rotation there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TipAt {
    /// Metres.
    pub position: Vector3<f64>,
    /// A rotation matrix.
    pub rotation: Matrix3<f64>,
}

impl TipAt {
    /// The turn from `before` to this one, a rotation vector in the base, radians.
    pub fn turn_from(&self, before: &Self) -> Vector3<f64> {
        let m = self.rotation * before.rotation.transpose();
        let axis = Vector3::new(m.m32 - m.m23, m.m13 - m.m31, m.m21 - m.m12) * 0.5;
        let sine = axis.norm();
        // A tick turns by milliradians; the arc sine is good to an eighth of a turn.
        if sine < 1e-9 { axis } else { axis * (libm::asin(sine.min(1.0)) / sine) }
    }

    /// The turn from here to another rotation, likewise; good to an eighth of a turn.
    pub fn turn_to(&self, other: &UnitQuaternion<f64>) -> Vector3<f64> {
        let rotation = other.to_rotation_matrix().into_inner();
        Self { position: self.position, rotation }.turn_from(self)
    }

    /// The angle to another rotation, radians.
    pub fn angle_to(&self, other: &UnitQuaternion<f64>) -> f64 {
        let here = Rotation3::from_matrix_unchecked(self.rotation);
        UnitQuaternion::from_rotation_matrix(&here).angle_to(other)
    }
}

/// The tip at these joints.
pub fn tip(joints: &[f64; 6]) -> TipAt {
    let mut position = Vector3::zeros();
    let (mut x, mut y, mut z) = (Vector3::x(), Vector3::y(), Vector3::z());
    for (row, q) in ROWS.iter().zip(joints) {
        let (theta, d) = if row.slides { (row.theta, row.d + q) } else { (row.theta + q, row.d) };
        let (sin, cos) = libm::sincos(theta);
        let (ca, sa) = (row.cos_alpha, row.sin_alpha);
        // About x by alpha, along x by a; then about and along the z that this makes.
        position += row.a * x;
        let aside = ca * y + sa * z;
        z = ca * z - sa * y;
        (x, y) = (cos * x + sin * aside, cos * aside - sin * x);
        position += d * z;
    }
    // The tool tip's own frame, dVRK's `tooltip_offset`.
    TipAt { position, rotation: Matrix3::from_columns(&[-z, -x, y]) }
}

#[cfg(test)]
mod tests {
    use super::tip;
    use nalgebra::{Matrix3, Vector3};

    /// Golden vectors of kinematics.md, from dVRK's table with exact quarter turns.
    #[test]
    fn golden_vectors_hold_to_a_nanometre() {
        let rows = [
            ([0.0; 6], [0.0, 0.0, 0.0065]),
            ([0.0, 0.0, 0.12, 0.0, 0.0, 0.0], [0.0, 0.0, -0.1135]),
            ([0.1, 0.2, 0.12, 0.3, 0.4, 0.5], [0.009_925_789, -0.025_724_205, -0.109_416_651]),
            ([0.6, -0.3, 0.2, 2.0, -0.9, 0.8], [0.108_365_615, 0.053_331_662, -0.146_918_243]),
        ];
        for (joints, p) in rows {
            let at = tip(&joints).position;
            assert!((at - Vector3::from(p)).norm() < 1.5e-9, "{joints:?}: {at}");
        }
        let turned = tip(&[0.1, 0.2, 0.12, 0.3, 0.4, 0.5]).rotation;
        let golden = Matrix3::new(
            0.326_386_575,
            0.844_283_391,
            0.425_038_068, //
            0.785_017_815,
            0.008_357_911,
            -0.619_416_803, //
            -0.526_515_749,
            0.535_831_784,
            -0.660_049_593,
        );
        assert!((turned - golden).norm() < 3e-9, "{turned}");
    }
}
